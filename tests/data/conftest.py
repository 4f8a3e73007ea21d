"""Small images, tables and FITS files for the tests of the data model."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from astropy.io import fits
from astropy.io.fits import Header

from mirar_dask.data import FitsPixels, Image, SourceTable

Make = Callable[..., Any]


@pytest.fixture
def header() -> Make:
    """Give headers with the two keys that every block needs, and others."""

    def make(name: str = "a.fits", **keys: Any) -> Header:
        return Header({"RAWPATH": f"/raw/{name}", "BASENAME": name, **keys})

    return make


@pytest.fixture
def image(header: Make) -> Make:
    """Give images of 6 x 5 float32 pixels, or of other pixels."""

    def make(name: str = "a.fits", data: Any = None, **keys: Any) -> Image:
        if data is None:
            data = np.arange(30, dtype=np.float32).reshape(6, 5)
        return Image(data, header(name, **keys))

    return make


@pytest.fixture
def table() -> Make:
    """Give tables of two sources."""

    def make(name: str = "a.fits", **keys: Any) -> SourceTable:
        columns = pd.DataFrame({"ra": [10.5, 11.25], "objectid": ["one", "two"], "n": [1, 2]})
        return SourceTable(columns, {"RAWPATH": f"/raw/{name}", "BASENAME": name, **keys})

    return make


@pytest.fixture
def fits_pixels(tmp_path: Path) -> Make:
    """Write an array to a FITS file and describe its pixels."""

    def make(data: np.ndarray, name: str = "frame.fits", **options: Any) -> FitsPixels:
        path = tmp_path / name
        hdu = fits.PrimaryHDU(data)
        for key, value in options.pop("keys", {}).items():
            hdu.header[key] = value
        hdu.writeto(path, overwrite=True)
        head = Header.fromfile(path)
        return FitsPixels.of(path, head, len(head.tostring()), **options)

    return make


@pytest.fixture
def run_python(tmp_path: Path) -> Make:
    """Run a script in a fresh interpreter, whose temporary folder is ``tmp_path/temporary``."""
    temporary = tmp_path / "temporary"
    temporary.mkdir()

    def run(code: str, *arguments: str, **environment: str) -> str:
        script = tmp_path / "script.py"
        script.write_text(code)
        result = subprocess.run(
            [sys.executable, "-W", "error", str(script), *arguments],
            capture_output=True,
            text=True,
            timeout=120,
            env={**os.environ, "TMPDIR": str(temporary), **environment},
            cwd=tmp_path,
        )
        assert result.returncode == 0, result.stderr
        assert result.stderr == ""
        return result.stdout.strip()

    return run
