"""Folders and frames for the tests of loaders and savers."""

from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from mirar_dask.paths import Roots, use_roots
from mirar_dask.testing.images import make_header

NIGHT = "cam/20240301"


@pytest.fixture
def roots(tmp_path):
    """Let paths be below the test's own folder."""
    with use_roots(Roots(tmp_path / "raw", tmp_path / "out")) as roots:
        yield roots


@pytest.fixture
def night_folder(roots) -> Path:
    """Return the folder for the raw frames of the night cam/20240301."""
    folder = roots.raw / NIGHT / "raw"
    folder.mkdir(parents=True)
    return folder


def write_frame(path: Path, data=None, **keys) -> np.ndarray:
    """Write a frame of 16-bit integers with all core fields, and return its pixels."""
    if data is None:
        data = np.arange(80, dtype=np.uint16).reshape(10, 8) + 1000
    header = make_header(path.name, **keys)
    del header["RAWPATH"], header["BASENAME"]
    fits.PrimaryHDU(data, header).writeto(path)
    return data


@pytest.fixture
def frame():
    """Return the function that writes a frame."""
    return write_frame
