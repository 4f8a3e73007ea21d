"""Raw frames in numbers: plain bias frames of any size, made fast, as cameras write them.

For benchmarks of large frames; a night with stars is what `mirar_dask.testing` simulates.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from astropy.io import fits

_HIT = 1e-4
"""Part of the pixels that a cosmic ray meets."""


def make_frames(folder: Path, n: int, size: int, *, seed: int = 1) -> list[Path]:
    """Write what is missing of n frames of size x size pixels: uint16 with BZERO.

    Returns
    -------
    list of Path
        Their paths, in order.
    """
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"frame{number:03d}.fits" for number in range(n)]
    for number, path in enumerate(paths):
        if path.exists():
            continue
        random = np.random.Generator(np.random.SFC64([seed, number]))
        counts = random.standard_normal((size, size), np.float32)
        counts *= 6
        counts += 1000.5 + 5 * np.sin(np.arange(size, dtype=np.float32))
        hits = random.integers(0, counts.size, round(_HIT * counts.size))
        counts.reshape(-1)[hits] += random.exponential(3000, hits.size)
        hdu = fits.PrimaryHDU(np.minimum(counts, 60000).astype(np.uint16))
        minute, second = divmod(10 * number, 60)
        hdu.header.update(
            OBSCLASS="bias",
            TARGET="bias",
            OBJECT="bias",
            EXPTIME=0.0,
            FILTER="none",
            **{"DATE-OBS": f"2026-03-14T18:{minute:02d}:{second:02d}.000"},
        )
        temporary = path.with_suffix(".tmp")
        hdu.writeto(temporary, overwrite=True)
        temporary.replace(path)
    return paths


def warm(paths: list[Path]) -> None:
    """Read files once, so that what follows finds them in the page cache."""
    for path in paths:
        with path.open("rb", buffering=0) as file:
            while file.read(1 << 24):
                pass
