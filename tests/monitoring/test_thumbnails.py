"""Small pictures of FITS files: what they show, what they read, what they refuse."""

from __future__ import annotations

import io
from pathlib import Path

import matplotlib.image
import numpy as np
import pytest
from astropy.io import fits

from mirar_dask.data.metering import metered
from mirar_dask.errors import ImageNotFoundError, InvalidFitsError, UsageError
from mirar_dask.monitoring import thumbnails
from mirar_dask.monitoring.thumbnails import MASKED_COLOUR, shrunk, thumbnail_png


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(5)


def save(path: Path, data: np.ndarray) -> Path:
    fits.PrimaryHDU(data).writeto(path)
    return path


def drawn(png: bytes) -> np.ndarray:
    """Decode a picture into red, green and blue, 0 to 255, the top row first."""
    colours = np.asarray(matplotlib.image.imread(io.BytesIO(png), format="png"))[..., :3]
    return np.rint(colours * 255).astype(int)


def ramp(ny: int, nx: int) -> np.ndarray:
    """Counts that grow upwards, that is with the row."""
    return np.repeat(np.arange(ny, dtype=np.float32)[:, None], nx, axis=1)


def test_a_picture_fits_the_size_and_keeps_the_proportions(tmp_path: Path):
    """The longer side is at most what was asked for."""
    picture = drawn(thumbnail_png(save(tmp_path / "a.fits", ramp(300, 200)), 100))
    assert picture.shape == (100, 67, 3)


def test_the_first_row_is_at_the_bottom(tmp_path: Path):
    """Astronomers look at images with the y axis upwards."""
    picture = drawn(thumbnail_png(save(tmp_path / "a.fits", ramp(64, 64))))
    assert picture[0].mean() > 200 > 50 > picture[-1].mean()


def test_pixels_without_a_number_have_a_colour_of_their_own(tmp_path: Path):
    """NaN and infinity are not grey."""
    data = ramp(32, 32)
    data[:, 4] = np.nan
    data[:, 20] = np.inf
    picture = drawn(thumbnail_png(save(tmp_path / "a.fits", data)))
    masked = (picture == MASKED_COLOUR).all(axis=2)
    assert masked[:, [4, 20]].all() and masked.sum() == 64


def test_the_background_is_seen_beside_a_bright_star(tmp_path: Path, rng: np.random.Generator):
    """A star ten thousand times above the noise does not make the rest black."""
    data = rng.normal(1000, 5, (128, 128)).astype(np.float32)
    data[60:68, 60:68] += 50_000
    picture = drawn(thumbnail_png(save(tmp_path / "a.fits", data)))[..., 0]
    assert picture[60:68, 60:68].mean() > 250
    assert 30 < np.median(picture) < 200 and picture[:40].std() > 10


@pytest.mark.parametrize("value", [0.0, 7.0, np.nan])
def test_a_flat_field_of_one_value_is_drawn(tmp_path: Path, value: float):
    """Nothing is divided by a noise of zero."""
    picture = drawn(thumbnail_png(save(tmp_path / "a.fits", np.full((16, 16), value, "f4"))))
    assert len(np.unique(picture.reshape(-1, 3), axis=0)) == 1


@pytest.mark.parametrize("dtype", ["u1", "i2", "u2", "i4", "f4", "f8"])
def test_every_type_of_pixels_is_drawn(tmp_path: Path, dtype: str):
    """Integers with an offset too."""
    picture = drawn(thumbnail_png(save(tmp_path / "a.fits", ramp(64, 64).astype(dtype))))
    assert picture[0].mean() > picture[-1].mean()


def test_a_large_frame_is_read_in_part(tmp_path: Path):
    """Of each strip a few rows are read, and the picture is right."""
    path = save(tmp_path / "a.fits", ramp(4000, 500).astype("i2"))
    with metered() as meter:
        picture = drawn(thumbnail_png(path, 100))
    assert sum(meter.read.values()) < path.stat().st_size / 5
    assert picture.shape[:2] == (100, 13)
    assert (np.diff(picture[:, 0, 0]) <= 0).all()


def test_blocks_are_averaged_over_the_good_pixels(tmp_path: Path):
    """One bad pixel does not spoil its block."""
    from mirar_dask.io import open_lazy

    data = np.arange(36, dtype=np.float32).reshape(6, 6)
    data[0, 0] = np.nan
    small = shrunk(open_lazy(save(tmp_path / "a.fits", data))[0], 3)
    assert small.shape == (3, 3)
    assert small[0, 0] == pytest.approx(np.mean([1, 6, 7]))
    assert small[2, 1] == data[4:, 2:4].mean()


def test_extensions_and_compressed_files_are_drawn(tmp_path: Path):
    """By default the first of several images; another one by its number."""
    dark = fits.ImageHDU(-ramp(32, 32))
    several = tmp_path / "several.fits"
    fits.HDUList([fits.PrimaryHDU(), fits.ImageHDU(ramp(32, 32)), dark]).writeto(several)
    first, second = drawn(thumbnail_png(several)), drawn(thumbnail_png(several, hdu=2))
    assert first[0].mean() > first[-1].mean() and second[0].mean() < second[-1].mean()
    tiled = tmp_path / "a.fits.fz"
    fits.HDUList([fits.PrimaryHDU(), fits.CompImageHDU(ramp(32, 32))]).writeto(tiled)
    assert (drawn(thumbnail_png(tiled)) == first).all()


def test_what_cannot_be_drawn_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """An error says which file and why; nothing is allocated for absurd ones."""
    text = tmp_path / "text.fits"
    text.write_text("no FITS at all")
    with pytest.raises(InvalidFitsError, match=r"text\.fits is not a FITS file"):
        thumbnail_png(text)
    with pytest.raises(ImageNotFoundError, match=r"gone\.fits"):
        thumbnail_png(tmp_path / "gone.fits")
    cube = save(tmp_path / "cube.fits", np.zeros((3, 8, 8), "f4"))
    with pytest.raises(InvalidFitsError, match="colour image"):
        thumbnail_png(cube)
    with pytest.raises(UsageError, match="size must be 1 or more"):
        thumbnail_png(cube, 0)
    wide = save(tmp_path / "wide.fits", ramp(4, 4000))
    monkeypatch.setattr(thumbnails, "_LARGEST_BAND", 1000)
    with pytest.raises(InvalidFitsError, match=r"wide\.fits is too large to be shown: 4000 x 4"):
        thumbnail_png(wide)
