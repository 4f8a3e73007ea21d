"""Frames are combined exactly, whatever the bands, and within a number of bytes."""

from __future__ import annotations

import gzip
import warnings
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from astropy.stats import sigma_clip
from hypothesis import given, settings
from hypothesis import strategies as st

from mirar_dask.data import FitsFilePixels, MemoryPixels, NpyPixels
from mirar_dask.errors import ProcessorError, ShapeMismatchError, UsageError
from mirar_dask.io import open_lazy
from mirar_dask.processors.combine import METHODS, band_rows, combine_frames, combine_rows
from mirar_dask.processors.reductions import scratch_for


def cube(n_frames: int, shape=(9, 13), masked: float = 0.0, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed + n_frames)
    values = rng.normal(1000, 10, (n_frames, *shape)).astype("f4")
    values[rng.random(values.shape) < masked] = np.nan
    return values


def nan_quietly(function, values: np.ndarray) -> np.ndarray:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        return function(values, axis=0)


@pytest.mark.parametrize("masked", [0.0, 0.02, 0.7])
@pytest.mark.parametrize("n_frames", [*range(1, 18), 25, 50, 101, 256, 300, 513])
def test_median_is_numpys_nanmedian_to_the_bit(n_frames: int, masked: float):
    """For few and many frames, of odd and even number, with and without masked pixels."""
    values = cube(n_frames, masked=masked)
    values[:, 3, 4] = np.nan
    found = combine_rows(list(values))
    assert found.dtype == np.float32
    expected = nan_quietly(np.nanmedian, values)
    assert found.tobytes() == expected.tobytes() or np.array_equal(found, expected, equal_nan=True)
    assert np.isnan(found[3, 4])


@pytest.mark.parametrize("n_frames", [1, 2, 3, 8, 50, 300])
@pytest.mark.parametrize("masked", [0.0, 0.3])
def test_mean_is_the_mean_in_double_precision(n_frames: int, masked: float):
    """It is rounded to float32 once, at the end, and does not count masked pixels."""
    values = cube(n_frames, masked=masked)
    found = combine_rows(list(values), method="mean")
    expected = nan_quietly(np.nanmean, values.astype("f8"))
    assert np.allclose(found, expected, rtol=1e-7, equal_nan=True)


@pytest.mark.parametrize("n_frames", [3, 5, 8, 13, 40, 300])
@pytest.mark.parametrize(("sigma", "max_iterations"), [(3.0, 5), (2.0, 1), (1.5, 3)])
def test_sigma_clip_clips_what_astropy_clips(n_frames: int, sigma: float, max_iterations: int):
    """The mean of what ``astropy.stats.sigma_clip`` leaves, by median and scaled MAD."""
    values = cube(n_frames, shape=(5, 7))
    values[0, 2, 2] += 5000
    found = combine_rows(list(values), None, "sigma_clip", sigma, max_iterations)
    kept = sigma_clip(
        values.astype("f8"),
        sigma=sigma,
        maxiters=max_iterations,
        cenfunc="median",
        stdfunc="mad_std",
        axis=0,
    )
    assert np.allclose(found, kept.mean(axis=0), rtol=1e-6)


def test_sigma_clip_with_masked_pixels_clips_the_others():
    """Each pixel is clipped as if its masked frames were not there."""
    values = cube(12, masked=0.3)
    values[1] += np.where(np.arange(13) % 3 == 0, 900, 0).astype("f4")
    found = combine_rows(list(values), method="sigma_clip")
    for y, x in np.ndindex(found.shape):
        column = values[:, y, x][~np.isnan(values[:, y, x])].astype("f8")
        kept = sigma_clip(
            column, sigma=3, maxiters=5, cenfunc="median", stdfunc="mad_std", masked=False
        )
        assert found[y, x] == pytest.approx(kept.mean(), rel=1e-6)


def test_sigma_clip_removes_a_cosmic_ray_from_five_frames():
    """A clip by the standard deviation never could: of five values none is 1.8 of it away."""
    values = cube(5)
    rays = values.copy()
    rays[2] += 10_000
    found = combine_rows(list(rays), method="sigma_clip")
    assert np.all(np.abs(found - 1000) < 40)


def test_sigma_clip_without_rounds_is_the_mean():
    """As with astropy's ``maxiters=0``."""
    values = list(cube(6))
    no_rounds = combine_rows(values, method="sigma_clip", max_iterations=0)
    assert np.array_equal(no_rounds, combine_rows(values, method="mean"))


@pytest.mark.parametrize("method", METHODS)
def test_pixels_without_any_value_are_nan_without_a_warning(method):
    """Warnings are errors in these tests."""
    values = cube(4)
    values[:, 2] = np.nan
    found = combine_rows(list(values), method=method)
    assert np.isnan(found[2]).all()
    assert not np.isnan(found[3]).any()


@pytest.mark.parametrize("method", METHODS)
def test_infinite_pixels_raise_no_warning(method):
    """A few infinite values among the others leave the median finite."""
    values = cube(7)
    values[0, 0], values[1, 1] = np.inf, -np.inf
    found = combine_rows(list(values), method=method)
    assert np.array_equal(np.isfinite(found[2:]), np.ones_like(found[2:], bool))
    if method != "mean":
        assert np.isfinite(found).all()


@pytest.mark.parametrize("method", METHODS)
def test_each_frame_is_divided_by_its_scale(method):
    """As if it had been divided in float32 before."""
    values, scales = cube(5), [0.5, 1.0, 3.0, 7.0, 11.0]
    divided = [(band / np.float32(scale)) for band, scale in zip(values, scales, strict=True)]
    assert np.array_equal(
        combine_rows(list(values), scales, method=method), combine_rows(divided, method=method)
    )


@given(
    n_frames=st.integers(1, 9),
    shape=st.tuples(st.integers(1, 12), st.integers(1, 9)),
    max_bytes=st.integers(1, 20_000),
    masked=st.sampled_from([0.0, 0.2]),
    method=st.sampled_from(METHODS),
    cut=st.integers(0, 12),
)
@settings(max_examples=60, deadline=None)
def test_bands_of_any_size_give_the_same_bits(n_frames, shape, max_bytes, masked, method, cut):
    """Neither the memory allowed nor a division of the rows changes a bit."""
    values = cube(n_frames, shape, masked)
    values[:, :, 0] = -0.0 if n_frames % 2 else 0.0
    frames = [MemoryPixels(band) for band in values]
    scales = list(np.linspace(1, 2, n_frames))
    whole = combine_frames(frames, scales, method=method)
    small = combine_frames(frames, scales, method=method, max_bytes=max_bytes)
    parts = [
        combine_frames(frames, scales, method=method, rows=rows)
        for rows in (slice(0, cut), slice(cut, None))
    ]
    assert whole.tobytes() == small.tobytes()
    assert whole.tobytes() == np.concatenate(parts).tobytes()
    assert whole.tobytes() == combine_rows(list(values), scales, method).tobytes()


@pytest.mark.parametrize("method", METHODS)
def test_pieces_of_a_band_give_the_same_bits(method, monkeypatch: pytest.MonkeyPatch):
    """What is done at once for the sake of the cache changes nothing."""
    values = list(cube(11, (40, 50), masked=0.01))
    whole = combine_rows(values, method=method)

    def small(n_frames, n_pixels, dtype):
        return scratch_for(n_frames, min(n_pixels, 37), dtype)

    monkeypatch.setattr("mirar_dask.processors.combine.scratch_for", small)
    assert combine_rows(values, method=method).tobytes() == whole.tobytes()


@settings(max_examples=60, deadline=None)
@given(
    n_frames=st.integers(1, 20),
    bzero=st.sampled_from([32768, 0, -7]),
    spread=st.sampled_from([1, 30, 65535]),
    scales=st.sampled_from([None, 1.0, 3.7, -2.0, "own"]),
    method=st.sampled_from(METHODS),
    dtype=st.sampled_from(["f4", "f8"]),
)
def test_integers_give_the_bits_that_floats_give(
    n_frames, bzero, spread, scales, method, dtype, tmp_path_factory: pytest.TempPathFactory
):
    """16-bit frames are combined as they are stored, and nobody can tell."""
    rng = np.random.default_rng(n_frames)
    stored = rng.integers(0, spread, (n_frames, 6, 11)) - 32768
    stored[0, 2] = 32767
    folder = tmp_path_factory.mktemp("counts")
    frames = []
    for number, frame in enumerate(stored):
        hdu = fits.PrimaryHDU(frame.astype("i2"))
        hdu.header["BZERO"] = bzero
        hdu.writeto(folder / f"{number}.fits")
        frames.append(open_lazy(folder / f"{number}.fits", dtype=dtype)[0])
    assert all(frame.counts_offset == bzero for frame in frames)
    factors = list(rng.uniform(1, 9, n_frames)) if scales == "own" else [scales] * n_frames
    given_scales = None if scales is None else factors
    options = {"method": method, "sigma": 1.5}
    found = combine_frames(frames, given_scales, max_bytes=5000, **options)
    floats = [MemoryPixels((stored + bzero)[i].astype(dtype)) for i in range(n_frames)]
    assert found.tobytes() == combine_frames(floats, given_scales, **options).tobytes()


@pytest.mark.parametrize("card", [("BSCALE", 2.0), ("BLANK", -5), ("BZERO", 0.5)])
def test_integers_that_are_scaled_or_masked_are_read_as_floats(card, tmp_path: Path):
    """What they stand for is then told by every single value."""
    hdu = fits.PrimaryHDU(np.arange(-10, 10, dtype="i2").reshape(4, 5))
    hdu.header[card[0]] = card[1]
    hdu.writeto(tmp_path / "a.fits")
    pixels = open_lazy(tmp_path / "a.fits")[0]
    assert pixels.counts_offset is None
    assert np.array_equal(combine_frames([pixels]), pixels.read(), equal_nan=True)


def test_a_zero_is_positive():
    """Which of two zeros is the lesser one is left to the processor; the result is not."""
    found = combine_rows([np.full((3, 40), -0.0, "f4"), np.zeros((3, 40), "f4")])
    assert not np.signbit(found).any()


def test_inputs_are_only_read():
    """Bands that are views of images stay as they are."""
    values = cube(6)
    before = values.copy()
    values.flags.writeable = False
    for method in METHODS:
        combine_rows(list(values), [2.0] * 6, method)
    assert np.array_equal(values, before)


@pytest.mark.parametrize(
    ("dtype", "expected"),
    [("u2", "f4"), ("i2", "f4"), (">f4", "f4"), ("i4", "f8"), ("u4", "f8"), ("f8", "f8")],
)
def test_the_result_holds_the_digits_of_the_frames(dtype: str, expected: str):
    """Integers of 16 bits fit into float32, wider ones do not."""
    values = np.arange(60).reshape(5, 3, 4).astype(dtype)
    found = combine_rows(list(values), [2.0] * 5)
    assert found.dtype == np.dtype(expected)
    assert np.array_equal(found, np.median(values.astype("f8") / 2, axis=0))


@pytest.mark.parametrize("max_bytes", [10**8, 5000])
def test_frames_that_can_only_be_read_whole_are_read_once(tmp_path: Path, max_bytes, monkeypatch):
    """Compressed frames go through memory, or through cache files where that is not enough."""
    values = cube(5, (20, 30))
    frames = []
    for number, data in enumerate(values):
        path = tmp_path / f"{number}.fits.gz"
        plain = tmp_path / "plain.fits"
        fits.PrimaryHDU(data).writeto(plain, overwrite=True)
        path.write_bytes(gzip.compress(plain.read_bytes()))
        stat = path.stat()
        stamp = (stat.st_size, stat.st_mtime_ns, stat.st_ino)
        frames.append(FitsFilePixels(path, 0, data.shape, data.dtype, *stamp))
    reads = []
    read = FitsFilePixels.read
    monkeypatch.setattr(FitsFilePixels, "read", lambda self: reads.append(self) or read(self))
    found = combine_frames(frames, max_bytes=max_bytes)
    assert np.array_equal(found, np.median(values, axis=0))
    assert len(reads) == 5


def test_images_and_handles_are_frames_too(make_image):
    """What has rows can be combined."""
    values = cube(3)
    images = [make_image(data, f"{i}.fits") for i, data in enumerate(values)]
    expected = np.median(values, axis=0)
    assert np.array_equal(combine_frames(images), expected)
    assert np.array_equal(combine_frames([image.handle() for image in images]), expected)
    assert np.array_equal(combine_frames([NpyPixels.publish(data) for data in values]), expected)


def test_memory_stays_within_the_limit(tmp_path: Path):
    """Bands of many frames take no more than asked for, beside the result."""
    import tracemalloc

    values = cube(16, (256, 128))
    frames = [NpyPixels.publish(data) for data in values]
    limit = values.nbytes // 8
    combine_frames(frames, max_bytes=limit, rows=slice(0, 8))  # warm up
    tracemalloc.start()
    combine_frames(frames, max_bytes=limit, method="sigma_clip")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2.5 * limit + values[0].nbytes


def test_a_band_has_one_row_at_least():
    """A limit below one row is overstepped rather than refused."""
    assert band_rows(10, 4096, 4, 1) == 1
    assert band_rows(1, 4096, 4, 10**12) * 4096 * 4 < 2**20


def test_frames_of_other_shapes_are_refused_by_name(make_image):
    """The message gives both names and shapes."""
    frames = [make_image(np.ones((3, 4), "f4"), "one.fits"), make_image(np.ones((4, 3), "f4"))]
    with pytest.raises(ShapeMismatchError, match=r"one.fits of shape \(3, 4\).*a.fits.*\(4, 3\)"):
        combine_frames(frames)
    with pytest.raises(ShapeMismatchError, match=r"\(3, 4\), \(4, 3\)"):
        combine_rows([frame.get_data() for frame in frames])
    with pytest.raises(ShapeMismatchError, match="two dimensions"):
        combine_frames([MemoryPixels(np.ones((2, 2, 2), "f4"))])


@pytest.mark.parametrize("scale", [0.0, float("nan"), float("inf")])
def test_a_scale_by_which_nothing_can_be_divided_is_refused(scale: float, make_image):
    """The message names the frame."""
    with pytest.raises(ProcessorError, match=rf"cannot divide a.fits by {scale}"):
        combine_frames([make_image(np.ones((3, 4), "f4"))], [scale])


def test_nonsense_is_refused():
    """Each with what is wanted."""
    one = [np.ones((2, 2), "f4")]
    with pytest.raises(ProcessorError, match="no frames"):
        combine_frames([])
    with pytest.raises(ProcessorError, match="no frames"):
        combine_rows([])
    with pytest.raises(UsageError, match="expected one of median, mean, sigma_clip"):
        combine_rows(one, method="mode")
    with pytest.raises(UsageError, match="sigma=0"):
        combine_rows(one, method="sigma_clip", sigma=0)
    with pytest.raises(UsageError, match="2 scales for 1 frames"):
        combine_rows(one, [1.0, 2.0])
