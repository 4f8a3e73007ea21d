"""A simulated night and its plain NumPy reduction, made once for these tests."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from mirar_dask.testing import NightTruth, simulate_night


def read(path: Path) -> np.ndarray:
    return fits.getdata(path).astype(np.float64)


def reduce_plainly(raw: Path, night: NightTruth, name: str, **leave_out: bool) -> np.ndarray:
    """Reduce one frame as a textbook does; ``bias=False`` and the like leave a step out."""
    rows, columns = night.camera.exposed(night.shape)

    def load(name: str) -> np.ndarray:
        data = read(raw / name)
        if night.camera.overscan:
            outside = np.ones(data.shape[1], bool)
            outside[columns] = False
            data = data - np.median(data[:, outside])
        return data[rows, columns]

    frame = night.frames[name]
    bias = np.median([load(n) for n in night.names("bias")], axis=0)
    darks = [(load(n) - bias) / night.frames[n].exptime for n in night.names("dark")]
    dark = np.median(darks, axis=0)
    flats = []
    for other in night.names("flat"):
        if night.frames[other].filter == frame.filter:
            data = load(other) - bias - dark * night.frames[other].exptime
            flats.append(data / np.median(data))
    data = load(name)
    if leave_out.get("bias", True):
        data = data - bias
    if leave_out.get("dark", True):
        data = data - dark * frame.exptime
    if leave_out.get("flat", True):
        data = data / np.median(flats, axis=0)
    return data


@pytest.fixture(scope="session")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("simulated") / "raw"


@pytest.fixture(scope="session")
def night(raw: Path) -> NightTruth:
    """Simulate a night of the default kind, with fewer pixels."""
    return simulate_night(raw, size=(256, 320), n_stars=40, seed=7)
