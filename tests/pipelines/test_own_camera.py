"""Nights of cameras with habits of their own, reduced to their truth by what the guide says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits

from mirar_dask.run import reduce_night

SIZE = 24
SKY, DARK_RATE, BIAS = 1000.0, 2.0, 100.0
FLAT = np.where(np.indices((SIZE, SIZE)).sum(axis=0) % 2, 1.25, 0.75)
"""Response of the pixels; its median is 1 as it is used, and its values have exact products."""

Cards = dict[str, Any]


def counts(kind: str, seconds: float) -> np.ndarray:
    light = {"flat": 4000.0, "science": SKY}.get(kind, 0.0)
    return light * FLAT + DARK_RATE * seconds + BIAS


def save(path: Path, pixels: np.ndarray, cards: Cards) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    header = fits.Header(list(cards.items()))
    fits.PrimaryHDU(np.rint(pixels).astype(np.uint16), header=header).writeto(path)


def german(raw: Path) -> str:
    """Keywords and words of another language, day and time apart, compressed files."""
    words = {"bias": "Nullbild", "dark": "Dunkel", "flat": "Himmelsflat", "science": "Licht"}
    for number, (kind, word) in enumerate(words.items()):
        seconds = {"bias": 0.0, "dark": 60.0, "flat": 5.0, "science": 30.0}[kind]
        for n in range(3):
            cards = {
                "BILDTYP": word, "BELICHT": seconds, "FILTRAD": "R", "OBJEKT": "M 13",
                "DATUM": "14.03.2026", "UHRZEIT": f"20:{number}{n}:00", "VERSTAER": 1.5,
            }  # fmt: skip
            save(raw / f"b{number}{n}.fits.gz", counts(kind, seconds), cards)
    return """
        [header]
        OBSCLASS = "BILDTYP"
        EXPTIME = "BELICHT"
        FILTER = "FILTRAD"
        TARGET = "OBJEKT"
        GAIN = "VERSTAER"
        DATE-OBS = "DATUM+UHRZEIT"
        [image_types]
        bias = ["Nullbild"]
        dark = ["Dunkel"]
        flat = ["Himmelsflat"]
        science = ["Licht"]
        """


def folders(raw: Path) -> str:
    """The kind is the folder's name alone; an overscan whose level wanders, MJD, milliseconds."""
    level = 50
    for place, kind, seconds in (
        ("BIAS", "bias", 0.0), ("DARKS/30s", "dark", 30.0), ("FLATS/R", "flat", 5.0),
        ("LIGHTS/M13", "science", 30.0),
    ):  # fmt: skip
        for n in range(3):
            level += 7
            pixels = np.hstack([counts(kind, seconds), np.zeros((SIZE, 4))]) + level
            cards = {"EXPMS": int(1000 * seconds), "MJD": 61113.8 + level / 1000, "FILT": "R"}
            save(raw / place / f"{place.partition('/')[0].lower()}x{n}.fit", pixels, cards)
    return f"""
        [header]
        EXPTIME = "EXPMS/1000"
        [defaults]
        TARGET = "M 13"
        [detector]
        gain = 1.5
        [sections]
        overscan = "[{SIZE + 1}:{SIZE + 4},1:{SIZE}]"
        trim = "[1:{SIZE},1:{SIZE}]"
        """


def names(raw: Path) -> str:
    """The kind is a word of the file's name, in another language; two binnings in one night."""
    words = {"sesgo": "bias", "oscuro": "dark", "plano": "flat", "ciencia": "science"}
    for binning in (1, 2):
        for word, kind in words.items():
            seconds = {"bias": 0.0, "dark": 40.0, "flat": 5.0, "science": 40.0}[kind]
            for n in range(3):
                cards = {
                    "EXPTIME": seconds, "CCDXBIN": binning, "CCDYBIN": binning, "FILTER": "R",
                    "JD": 2461114.3 + n / 100, "OBJECT": "M 13", "GAIN": 1.5,
                }  # fmt: skip
                pixels = counts(kind, seconds) + 30 * binning
                save(raw / f"{word}_b{binning}_{n}.fits", pixels, cards)
    return """
        [image_types]
        bias = ["sesgo"]
        dark = ["oscuro"]
        flat = ["plano"]
        science = ["ciencia"]
        """


@pytest.mark.parametrize(("night", "n_science"), [(german, 3), (folders, 3), (names, 6)])
def test_a_night_of_a_foreign_camera_is_reduced_to_its_truth(night, n_science, tmp_path: Path):
    """Every science frame shows the sky alone, and its header has our keywords."""
    raw = tmp_path / "n1"
    (tmp_path / "camera.toml").write_text(night(raw))
    summary = reduce_night(
        raw=raw, out=tmp_path / "out", instrument=tmp_path / "camera.toml",
        configuration="reduce", cluster="serial",
    )  # fmt: skip
    assert not summary.failures
    products = sorted((tmp_path / "out" / "imager" / "n1" / "reduced").glob("*.fit*"))
    assert len(products) == n_science
    for path in products:
        pixels, header = fits.getdata(path, header=True)
        np.testing.assert_allclose(pixels, SKY, rtol=1e-5)
        assert (header["FILTER"], header["TARGET"], header["GAIN"]) == ("R", "M 13", 1.5)
        assert header["EXPTIME"] in (30.0, 40.0)
        assert header["DATE-OBS"].startswith("2026-03-14T")


def test_calibrations_of_other_nights_are_told_by_their_folders_too(tmp_path: Path):
    """A night of science frames alone, and an archive that is sorted into folders."""
    raw, archive = tmp_path / "n1", tmp_path / "archive"
    (tmp_path / "camera.toml").write_text(folders(archive))
    raw.mkdir()
    (archive / "LIGHTS").rename(raw / "LIGHTS")
    summary = reduce_night(
        raw=raw, out=tmp_path / "out", instrument=tmp_path / "camera.toml", cluster="serial",
        configuration="reduce", calibrations=[archive],
    )  # fmt: skip
    assert not summary.failures
    products = list((tmp_path / "out" / "imager" / "n1" / "reduced").glob("*.fit*"))
    assert len(products) == 3
    for path in products:
        np.testing.assert_allclose(fits.getdata(path), SKY, rtol=1e-5)
