"""Holds what the sides made of a night against each other and against the truth."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from nights import Night
from numpy.typing import NDArray

TOLERANCE = 2e-6
"""Of max(1, |pixel|): what float32 arithmetic may differ from float64."""
LEAST_AGREEMENT = 0.9999
"""Fraction of the pixels of each product that must agree with the reference's."""
LARGEST_DEVIATION = 1.05
"""From the truth; 1 is the noise of photons and readout, and nothing else."""
SAMPLE = 4


class Disagreement(RuntimeError):
    """Raised when sides did not do the same; their times are not to be compared then."""


def product(out: Path, name: str) -> Path:
    """Find what a side made of a frame."""
    return next(path for path in sorted(out.rglob(name)) if path.is_file())


def shape(out: Path, night: Night) -> tuple[int, int]:
    """Return the shape of a product."""
    header = fits.getheader(product(out, night.names("science")[0]))
    return header["NAXIS2"], header["NAXIS1"]


def check(
    outputs: Mapping[str, Path], night: Night, reference: str | None
) -> dict[str, dict[str, float]]:
    """Hold a sample of each side's products against the reference's and against the truth.

    Parameters
    ----------
    outputs : mapping
        Label of a side to its output folder.
    night : Night
        What they reduced.
    reference : str, optional
        Label of the side that the others must agree with.

    Raises
    ------
    Disagreement
        If a side made too few products, or others than it should.
    """
    names = night.names("science")
    sample = names[:: max(1, len(names) // SAMPLE)]
    found: dict[str, dict[str, float]] = {}
    for label, out in outputs.items():
        made = {path.name for path in out.rglob("*.fits")}
        if missing := set(names) - made:
            raise Disagreement(f"{label} made no product of {len(missing)} of {len(names)} frames")
        found[label] = {}
        if night.truth is not None:
            deviations = [night.truth.deviation(product(out, name)) for name in sample]
            found[label]["deviation"] = float(np.median(deviations))
        if reference is not None:
            found[label]["agreement"] = min(
                agreement(
                    fits.getdata(product(out, name)),
                    fits.getdata(product(outputs[reference], name)),
                    # ccdproc normalises flats by their mean, the others by their median.
                    scaled=label.startswith("ccdproc"),
                )
                for name in sample
            )
        _judge(label, found[label], reference)
    return found


def agreement(ours: NDArray[Any], theirs: NDArray[Any], *, scaled: bool = False) -> float:
    """Return the fraction of the pixels that agree; NaN agrees with NaN.

    With `scaled`, one factor may separate the frames.
    """
    a, b = ours.astype(np.float64), theirs.astype(np.float64)
    tolerance = TOLERANCE
    if scaled:
        bright = b > 50
        a *= np.nanmedian(b[bright] / a[bright])
        tolerance *= 2
    near = np.abs(a - b) <= tolerance * np.maximum(1, np.abs(b))
    return float(np.mean(near | (np.isnan(a) & np.isnan(b))))


def _judge(label: str, found: Mapping[str, float], reference: str | None) -> None:
    if found.get("agreement", 1.0) < LEAST_AGREEMENT:
        raise Disagreement(
            f"only {found['agreement']:.3%} of the pixels of {label} agree with {reference}"
        )
    deviation = found.get("deviation", 1.0)
    if deviation > LARGEST_DEVIATION and not label.startswith("ccdproc"):
        raise Disagreement(
            f"products of {label} deviate from the truth by {deviation:.2f} of their noise"
        )
