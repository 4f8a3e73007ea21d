"""Broken frames, as every night has some: planted to see that they are reported and harm nobody.

Used by `simulate_night(bad_files=True)` and by the tests of loaders and engines.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mirar_dask.testing.dialects import DIALECTS

if TYPE_CHECKING:
    from mirar_dask.testing.truth import NightTruth


def plant_broken_frames(
    folder: Path | str, night: NightTruth, kinds: Iterable[str] | None = None
) -> dict[str, str]:
    """Write broken frames beside the good ones of a night.

    Parameters
    ----------
    folder : path
        The folder with the night's frames.
    night : NightTruth
        The night; its first science frame (else its first frame) is the model of the broken ones.
    kinds : iterable of str, optional
        What to plant, of `BROKEN_KINDS`; by default all of it.

    Returns
    -------
    dict
        File name -> what is wrong with that file.

    Raises
    ------
    KeyError
        If a kind is unknown.
    """
    folder = Path(folder)
    model = folder / next(iter(night.names("science") or night.frames))
    planted = {}
    for kind in BROKEN_KINDS if kinds is None else kinds:
        reason, plant = BROKEN_KINDS[kind]
        name = f"broken_{kind}.fits"
        plant(model, folder / name, night)
        planted[name] = reason
    return planted


def _truncated(model: Path, path: Path, night: NightTruth) -> None:
    raw = model.read_bytes()
    ny, nx = night.camera.raw_shape(night.shape)
    path.write_bytes(raw[: -ny * nx])  # half of the pixels, of two bytes each


def _empty(model: Path, path: Path, night: NightTruth) -> None:
    path.write_bytes(b"")


def _text(model: Path, path: Path, night: NightTruth) -> None:
    path.write_text("Clouds since ten o'clock, dome closed.\n" * 40, encoding="utf-8")


def _no_exptime(model: Path, path: Path, night: NightTruth) -> None:
    from astropy.io import fits

    with fits.open(model, do_not_scale_image_data=True) as hdus:
        for key in DIALECTS[night.dialect].exptime_keys:
            del hdus[0].header[key]
        hdus.writeto(path, overwrite=True)


def _other_size(model: Path, path: Path, night: NightTruth) -> None:
    _rewrite(model, path, lambda pixels: pixels[: pixels.shape[0] // 2, : pixels.shape[1] // 2])


def _colour_cube(model: Path, path: Path, night: NightTruth) -> None:
    _rewrite(model, path, lambda pixels: np.stack([pixels] * 3))


def _rewrite(model: Path, path: Path, change: Callable[[np.ndarray], np.ndarray]) -> None:
    from astropy.io import fits

    with fits.open(model) as hdus:
        header = hdus[0].header.copy()
        for key in ("BZERO", "BSCALE", "BIASSEC", "TRIMSEC", "DATASEC"):
            header.remove(key, ignore_missing=True)
        fits.PrimaryHDU(np.ascontiguousarray(change(hdus[0].data)), header).writeto(
            path, overwrite=True
        )


BROKEN_KINDS: Mapping[str, tuple[str, Callable[[Path, Path, NightTruth], None]]] = {
    "truncated": ("the file ends before its pixels do", _truncated),
    "empty": ("the file has no bytes", _empty),
    "text": ("the file is text and no FITS", _text),
    "no_exptime": ("the header has no exposure time", _no_exptime),
    "other_size": ("the frame has a quarter of the others' pixels", _other_size),
    "colour_cube": ("the frame has three colour planes", _colour_cube),
}
"""Kind -> what is wrong, and how it is made."""
