"""Small images and batches for tests, with the header keys that every image has."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd
from astropy.io import fits

from mirar_dask.data import Image, ImageBatch, SourceBatch, SourceTable
from mirar_dask.paths import core_source_fields

_CORE = {
    "OBSCLASS": "science",
    "TARGET": "field",
    "DATE-OBS": "2024-03-01T05:00:00.000",
    "COADDS": 1,
    "GAIN": 1.5,
    "CALSTEPS": "",
    "PROCFAIL": "",
    "EXPTIME": 30.0,
}


def make_header(name: str = "a.fits", **keys: Any) -> fits.Header:
    """Make a header with the core fields; ``keys`` replace or add, None leaves one out.

    A double underscore in a name stands for a hyphen: ``DATE__OBS``.
    """
    values = {**_CORE, "RAWPATH": f"/night/raw/{name}", "BASENAME": name}
    values.update({key.replace("__", "-"): value for key, value in keys.items()})
    return fits.Header([(key, value) for key, value in values.items() if value is not None])


def make_image(name: str = "a.fits", data: Any = None, **keys: Any) -> Image:
    """Make an image; its pixels are ten by eight and different from each other, unless given.

    Examples
    --------
    >>> make_image("b.fits", FILTER="r")["FILTER"]
    'r'
    """
    if data is None:
        data = np.arange(80, dtype=np.float32).reshape(10, 8)
    return Image(np.asarray(data), make_header(name, **keys))


def make_batch(names: Iterable[str] | str = ("a.fits", "b.fits"), **keys: Any) -> ImageBatch:
    """Make a batch of images that have these header keys in common."""
    names = [names] if isinstance(names, str) else names
    return ImageBatch([make_image(name, **keys) for name in names])


def make_sources(name: str = "a.fits", **keys: Any) -> SourceBatch:
    """Make a batch of one table of two sources, with the columns that every table has."""
    columns: dict[str, Any] = dict.fromkeys(core_source_fields, None)
    columns.update(ra=[10.0, 10.1], dec=[-5.0, -5.1], objectid=["s1", "s2"])
    return SourceBatch([SourceTable(pd.DataFrame(columns), dict(make_header(name, **keys)))])
