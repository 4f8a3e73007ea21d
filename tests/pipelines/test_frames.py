"""Opening raw frames of any camera: which images a file gives, and what they are called."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from mirar_dask.errors import ImageNotFoundError, InvalidFitsError, UsageError
from mirar_dask.paths import Roots, use_roots
from mirar_dask.pipelines.frames import FrameLoader, open_frame

PIXELS = np.arange(12, dtype=np.uint16).reshape(3, 4)


def write(path: Path, *hdus: fits.hdu.base.ExtensionHDU, primary: np.ndarray | None = None) -> Path:
    first = fits.PrimaryHDU(primary)
    first.header["FILTER"] = "r"
    fits.HDUList([first, *hdus]).writeto(path)
    return path


def chip(name: str, offset: int = 0) -> fits.ImageHDU:
    return fits.ImageHDU(PIXELS + np.uint16(offset), name=name)


def test_a_plain_file_gives_one_image_without_any_keyword(tmp_path: Path):
    """No core field is asked for; the history begins empty."""
    (image,) = open_frame(write(tmp_path / "a.fits", primary=PIXELS))
    assert (image.get_name(), image["CALSTEPS"], image["PROCFAIL"]) == ("a.fits", "", "")
    assert image["RAWPATH"] == str(tmp_path / "a.fits")
    assert image.get_data().dtype == np.float32
    assert np.array_equal(image.get_data(), PIXELS)


def test_one_extension_with_an_image_is_the_file_s_image(tmp_path: Path):
    """As cameras and compression write it; the name is the file's, the keys are the primary's."""
    (image,) = open_frame(write(tmp_path / "a.fits.fz", fits.CompImageHDU(PIXELS)))
    assert (image.get_name(), image["FILTER"]) == ("a.fits", "r")
    assert "EXTPOS" not in image.keys()


def test_each_of_several_extensions_gives_an_image(tmp_path: Path):
    """Positions count all extensions, so that a table between two images changes no name."""
    table = fits.BinTableHDU.from_columns([fits.Column("X", "E", array=np.zeros(2))])
    images = open_frame(write(tmp_path / "a.fits", chip("ONE"), table, chip("TWO", 5)))
    assert [image.get_name() for image in images] == ["a_0.fits", "a_2.fits"]
    assert [image["EXTPOS"] for image in images] == [0, 2]
    assert [image["FILTER"] for image in images] == ["r", "r"]
    assert np.array_equal(images[1].get_data(), PIXELS + 5)


def test_extensions_about_other_pixels_are_no_images_of_the_sky(tmp_path: Path):
    """A mask or an error beside the image is passed over; the image keeps the file's name."""
    (image,) = open_frame(write(tmp_path / "a.fits", chip("SCI"), chip("BPM"), chip("ERR")))
    assert (image.get_name(), image["EXTNAME"]) == ("a.fits", "SCI")
    images = open_frame(write(tmp_path / "b.fits", chip("BPM"), chip("ERR")))
    assert len(images) == 2


def test_a_file_that_is_no_image_fails_by_name(tmp_path: Path):
    """One sentence."""
    path = tmp_path / "a.fits"
    path.write_text("clouds")
    with pytest.raises(InvalidFitsError, match=r"a\.fits"):
        open_frame(path)


def test_the_loader_reads_headers_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Which lets a night be planned before any pixel is read."""
    path = write(tmp_path / "a.fits", primary=PIXELS)
    loader = FrameLoader(input_sub_dir="", input_img_dir=tmp_path)
    loader.set_night("")
    assert loader.headers_only
    assert loader.list_inputs() == [path]
    (image,) = loader.load_one(path)
    monkeypatch.setattr(type(image.pixels), "read", None)
    images, records = loader.load_file(path)
    assert records == []
    assert images[0]["CALSTEPS"] == "load_frames,"


def listed(night: Path) -> list[str]:
    with use_roots(Roots(raw=night, output=night, night_raw=night)):
        return [str(path.relative_to(night)) for path in FrameLoader().list_inputs()]


def test_frames_that_are_sorted_into_folders_are_found(tmp_path: Path):
    """Where the night's folder holds none itself; each knows the folder that it came from."""
    for place in ("LIGHTS/g", "BIAS", ".hidden"):
        (tmp_path / place).mkdir(parents=True)
    write(tmp_path / "LIGHTS" / "g" / "b.fits", primary=PIXELS)
    write(tmp_path / "BIAS" / "a.fits", primary=PIXELS)
    write(tmp_path / ".hidden" / "c.fits", primary=PIXELS)
    assert listed(tmp_path) == ["BIAS/a.fits", "LIGHTS/g/b.fits"]
    with use_roots(Roots(raw=tmp_path, output=tmp_path, night_raw=tmp_path)):
        (image,) = FrameLoader().load_one(tmp_path / "LIGHTS" / "g" / "b.fits")
    assert (image["SUBDIR"], image.get_name()) == ("LIGHTS/g", "b.fits")
    write(tmp_path / "d.fits", primary=PIXELS)
    assert listed(tmp_path) == ["d.fits"]


def test_two_frames_of_one_name_in_different_folders_are_refused(tmp_path: Path):
    """The sentence names both."""
    for place in ("LIGHTS", "BIAS"):
        (tmp_path / place).mkdir()
        write(tmp_path / place / "a.fits", primary=PIXELS)
    with pytest.raises(UsageError, match=r"one name, BIAS/a\.fits and LIGHTS/a\.fits"):
        listed(tmp_path)


def test_products_below_the_raw_folder_are_no_frames(tmp_path: Path):
    """Of a run that wrote its output there."""
    night = tmp_path / "imager" / "n1"
    (night / "runs").mkdir(parents=True)
    (night / "reduced").mkdir()
    write(night / "reduced" / "a.fits", primary=PIXELS)
    with pytest.raises(ImageNotFoundError):
        listed(tmp_path)
