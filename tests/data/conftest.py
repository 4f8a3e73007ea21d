"""Small images, tables and FITS files for the tests of the data model."""

from __future__ import annotations

import functools
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


def run_script(folder: Path, code: str, *arguments: str) -> str:
    """Run a script in a fresh interpreter; its temporary folder is ``folder/temporary``."""
    (folder / "temporary").mkdir()
    script = folder / "script.py"
    script.write_text(code)
    result = subprocess.run(
        [sys.executable, "-W", "error", str(script), *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "TMPDIR": str(folder / "temporary")},
        cwd=folder,
    )
    assert result.stderr == ""
    assert result.returncode == 0
    return result.stdout.strip()


@pytest.fixture
def run_python(tmp_path: Path) -> Make:
    """Run a script in a fresh interpreter, whose temporary folder is ``tmp_path/temporary``."""
    return functools.partial(run_script, tmp_path)


@pytest.fixture(scope="module")
def run_once(tmp_path_factory: pytest.TempPathFactory) -> Make:
    """Run a script, once for all tests of a module."""
    return functools.partial(run_script, tmp_path_factory.mktemp("script"))
