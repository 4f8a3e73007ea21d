"""Small frames and headers for the tests of reading and writing."""

from __future__ import annotations

import bz2
import gzip
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

CORE = {
    "OBSCLASS": "science",
    "TARGET": "M13",
    "DATE-OBS": "2026-01-02T03:04:05",
    "COADDS": 1,
    "GAIN": 1.5,
    "CALSTEPS": "",
    "PROCFAIL": "",
    "EXPTIME": 30.0,
}


@pytest.fixture
def core_header() -> fits.Header:
    """Make a header with the core fields that no file name gives."""
    return fits.Header(CORE)


@pytest.fixture
def counts() -> np.ndarray:
    """Make a small image of counts that fit into any integer of 16 bits."""
    return np.random.default_rng(0).integers(0, 30_000, (7, 5), dtype=np.int16)


@pytest.fixture
def write_as() -> Callable[[str, Path, np.ndarray, fits.Header], Path]:
    """Give the function that writes an image in one of several ways."""
    return _write_as


def _write_as(kind: str, path: Path, data: np.ndarray, header: fits.Header) -> Path:
    """Write an image as ``plain``, ``gz``, ``bz2``, ``tiles`` or ``extension``; return its path."""
    if kind == "tiles":
        target = path.with_name(path.name + ".fz")
        fits.CompImageHDU(data, header).writeto(target)
        return target
    if kind == "extension":
        fits.HDUList([fits.PrimaryHDU(), fits.ImageHDU(data, header)]).writeto(path)
        return path
    fits.PrimaryHDU(data, header).writeto(path)
    pack: dict[str, Callable[[bytes], bytes]] = {"gz": gzip.compress, "bz2": bz2.compress}
    if kind == "plain":
        return path
    target = path.with_name(f"{path.name}.{kind}")
    target.write_bytes(pack[kind](path.read_bytes()))
    path.unlink()
    return target
