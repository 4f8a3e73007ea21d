"""The kinds of backing: what they read, by rows too, and what they refuse."""

from __future__ import annotations

import bz2
import copy
import gzip
import os
import pickle
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits
from hypothesis import given, settings
from hypothesis import strategies as st

from mirar_dask.data import (
    CacheError,
    FitsFilePixels,
    FitsPixels,
    MemoryPixels,
    NpyPixels,
    Pixels,
    cache,
    loaded_dtype,
)
from mirar_dask.data.pixels import MovedPixels
from mirar_dask.errors import FileChangedError, InvalidFitsError

SEED = np.random.default_rng(3)
RAW: dict[str, np.ndarray] = {
    "uint8": SEED.integers(0, 256, (7, 5)).astype(np.uint8),
    "int8": SEED.integers(-128, 128, (7, 5)).astype(np.int8),
    "int16": SEED.integers(-(2**15), 2**15, (7, 5)).astype(np.int16),
    "uint16": np.array([[0, 1, 32767, 32768, 65535]] * 7, dtype=np.uint16),
    "int32": SEED.integers(-(2**31), 2**31, (7, 5)).astype(np.int32),
    "uint32": SEED.integers(0, 2**32, (7, 5)).astype(np.uint32),
    "int64": SEED.integers(-(2**52), 2**52, (7, 5)),
    "float32": SEED.normal(size=(7, 5)).astype(np.float32),
    "float64": SEED.normal(size=(7, 5)),
    "cube": SEED.normal(size=(3, 7, 5)).astype(np.float32),
    "one row": SEED.normal(size=9).astype(np.float32),
}
WIDE = {"int32", "uint32", "int64", "float64"}


@pytest.mark.parametrize("kind", RAW)
def test_a_fits_file_is_read_as_it_was_written(kind: str, fits_pixels: Callable[..., FitsPixels]):
    """Every type of FITS comes as native floats of the same values."""
    pixels = fits_pixels(RAW[kind])
    data = pixels.read()
    np.testing.assert_array_equal(data, RAW[kind])
    assert data.dtype == pixels.dtype == (np.float64 if kind in WIDE else np.float32)
    assert data.dtype.isnative
    assert data.flags.owndata
    assert data.flags.writeable
    assert data.flags.c_contiguous
    assert pixels.shape == RAW[kind].shape
    assert pixels.nbytes == data.nbytes
    assert pixels.rows_readable


@pytest.mark.parametrize("kind", ["uint16", "float32", "int32"])
def test_the_type_to_load_can_be_chosen(kind: str, fits_pixels: Callable[..., FitsPixels]):
    """Double precision where somebody wants it."""
    data = fits_pixels(RAW[kind], dtype=np.dtype(np.float64)).read()
    assert data.dtype == np.float64
    np.testing.assert_array_equal(data, RAW[kind])


@pytest.mark.parametrize(
    ("disk", "expected"),
    [
        *[("u1", "f4"), (">i2", "f4"), (">f4", "f4"), ("f2", "f4")],
        *[(">i4", "f8"), (">i8", "f8"), (">f8", "f8"), ("<u4", "f8")],
    ],
)
def test_loaded_types(disk: str, expected: str):
    """Float32 holds what it can hold; 32-bit integers and doubles need float64."""
    assert loaded_dtype(np.dtype(disk), 1.0, 0.0) == np.dtype(expected)


@pytest.mark.parametrize("kind", ["int16", "int32", "float32", "uint8"])
@pytest.mark.parametrize(("bscale", "bzero"), [(0.5, 0), (1, 100), (0.01, -3.5), (-2, 7)])
def test_scaled_files_agree_with_astropy(
    kind: str, bscale: float, bzero: float, fits_pixels: Callable[..., FitsPixels], tmp_path: Path
):
    """BSCALE and BZERO are applied in the precision of the loaded type, to the bit."""
    fits_pixels(RAW[kind])
    with fits.open(tmp_path / "frame.fits", mode="update", do_not_scale_image_data=True) as hdus:
        hdus[0].header["BSCALE"], hdus[0].header["BZERO"] = bscale, bzero
    header = fits.Header.fromfile(tmp_path / "frame.fits")
    pixels = FitsPixels.of(tmp_path / "frame.fits", header, len(header.tostring()))
    np.testing.assert_array_equal(pixels.read(), fits.getdata(tmp_path / "frame.fits"))
    assert pixels.read().dtype == pixels.dtype


@pytest.mark.parametrize("kind", ["int16", "int32", "uint8"])
def test_undefined_integers_become_nan(kind: str, fits_pixels: Callable[..., FitsPixels]):
    """BLANK marks a pixel without a value; in a file of floats it means nothing."""
    raw = RAW[kind].copy()
    raw[2, 3] = 77
    data = fits_pixels(raw, keys={"BLANK": 77}).read()
    assert np.isnan(data[raw == 77]).all()
    np.testing.assert_array_equal(data[raw != 77], raw[raw != 77])


def test_blank_counts_before_scaling(fits_pixels: Callable[..., FitsPixels], tmp_path: Path):
    """An unsigned frame with BLANK: the number in the file counts."""
    raw = np.array([[0, 5], [32768, 65535]], np.uint16)
    pixels = fits_pixels(raw, keys={"BLANK": -32768})
    np.testing.assert_array_equal(pixels.read(), [[np.nan, 5], [32768, 65535]])
    with fits.open(tmp_path / "frame.fits", uint=False) as hdus:
        np.testing.assert_array_equal(pixels.read(), hdus[0].data)


def all_kinds(data: np.ndarray, fits_pixels: Callable[..., FitsPixels]) -> dict[str, Pixels]:
    """Return the same pixels in every kind of backing."""
    plain = fits_pixels(data)
    packed = plain.path.with_suffix(".fits.gz")
    packed.write_bytes(gzip.compress(plain.path.read_bytes()))
    whole = FitsFilePixels(packed, 0, data.shape, data.dtype, *stamp(packed))
    return {
        "memory": MemoryPixels(data.copy()),
        "npy": NpyPixels.publish(data),
        "fits": plain,
        "gz": whole,
    }


def stamp(path: Path) -> tuple[int, int, int]:
    status = path.stat()
    return status.st_size, status.st_mtime_ns, status.st_ino


KINDS = ["memory", "npy", "fits", "gz"]


@pytest.mark.parametrize("kind", KINDS)
def test_rows_are_what_a_slice_takes(kind: str, fits_pixels: Callable[..., FitsPixels]):
    """Any two numbers, negative and too large ones too, read what numpy's slice gives."""
    data = RAW["float32"]
    pixels = all_kinds(data, fits_pixels)[kind]
    numbers = st.none() | st.integers(-9, 9)

    @settings(max_examples=40)
    @given(numbers, numbers)
    def check(start: int | None, stop: int | None):
        rows = pixels.read_rows(start, stop)
        np.testing.assert_array_equal(rows, data[start:stop])
        assert rows.dtype == data.dtype
        assert rows.flags.owndata
        assert rows.flags.writeable

    check()


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_read_is_the_callers_and_a_view_is_read_only(
    kind: str, fits_pixels: Callable[..., FitsPixels]
):
    """Changing an array that was read changes no pixel; a view cannot be changed."""
    pixels = all_kinds(RAW["float32"], fits_pixels)[kind]
    pixels.read()[:] = 0
    view = pixels.view()
    np.testing.assert_array_equal(view, RAW["float32"])
    with pytest.raises(ValueError, match="read-only"):
        view[0, 0] = 1


@pytest.mark.parametrize("kind", KINDS)
def test_pixels_travel(kind: str, fits_pixels: Callable[..., FitsPixels]):
    """A pickle of files is small; what arrives reads the same and has the same token."""
    big = np.zeros((100, 100), np.float32)
    pixels = all_kinds(big, fits_pixels)[kind]
    pickled = pickle.dumps(pixels)
    assert (len(pickled) < 1000) == (kind != "memory")
    arrived = pickle.loads(pickled)
    np.testing.assert_array_equal(arrived.read(), big)
    assert arrived.token() == pixels.token() == arrived.__dask_tokenize__()
    assert (arrived == pixels) == (kind != "memory")
    assert copy.copy(pixels) is copy.deepcopy(pixels) is pixels
    assert arrived.path == pixels.path


def test_pixels_in_memory_travel_out_of_band():
    """Dask moves their bytes as they are."""
    pixels = MemoryPixels(np.zeros((50, 50)))
    buffers: list[pickle.PickleBuffer] = []
    pickled = pickle.dumps(pixels, protocol=5, buffer_callback=buffers.append)
    assert len(pickled) < 1000
    assert sum(buffer.raw().nbytes for buffer in buffers) == 20_000
    np.testing.assert_array_equal(pickle.loads(pickled, buffers=buffers).read(), pixels.array)
    assert sys.getsizeof(pixels) > 20_000


def test_tokens_tell_pixels_apart(fits_pixels: Callable[..., FitsPixels]):
    """Other content in memory, another generation, another version of a file."""
    data = RAW["float32"]
    assert MemoryPixels(data).token() == MemoryPixels(data.copy()).token()
    assert MemoryPixels(data).token() != MemoryPixels(data + 1).token()
    assert MemoryPixels(data).token() != MemoryPixels(data.T).token()
    assert NpyPixels.publish(data).token() != NpyPixels.publish(data).token()
    first = fits_pixels(data, "a.fits").token()
    assert fits_pixels(data, "a.fits").token() != first


@pytest.mark.parametrize("change", ["grown", "touched", "replaced", "gone"])
@pytest.mark.parametrize("kind", ["fits", "gz"])
def test_a_file_that_changed_is_refused(
    kind: str, change: str, fits_pixels: Callable[..., FitsPixels]
):
    """Whatever happened to it since its header was read; the message says what."""
    pixels = all_kinds(RAW["float32"], fits_pixels)[kind]
    path = pixels.path
    assert path is not None
    status = path.stat()
    match change:
        case "grown":
            with path.open("ab") as file:
                file.write(b" " * 2880)
            expected = "bytes then"
        case "touched":
            os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns + 10**9))
            expected = "written to"
        case "replaced":
            other = path.with_name("other")
            shutil.copy2(path, other)
            other.replace(path)
            os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
            expected = "another file"
        case _:
            path.unlink()
            expected = "is gone"
    for read in (pixels.read, pixels.view, lambda: pixels.read_rows(0, 1)):
        with pytest.raises(FileChangedError, match=expected):
            read()


def test_a_truncated_file_is_refused(fits_pixels: Callable[..., FitsPixels]):
    """The missing bytes are counted."""
    whole = fits_pixels(RAW["float32"])
    with whole.path.open("r+b") as file:
        file.truncate(whole.offset + 100)
    header = fits.Header.fromfile(whole.path)
    pixels = FitsPixels.of(whole.path, header, whole.offset)
    with pytest.raises(InvalidFitsError, match="40 bytes of pixels are missing"):
        pixels.read()
    assert pixels.read_rows(0, 5).shape == (5, 5)


@pytest.mark.parametrize("suffix", [".gz", ".bz2", ".fz"])
def test_compressed_files_are_read_whole(suffix: str, tmp_path: Path):
    """By astropy, as native floats."""
    plain = tmp_path / "a.fits"
    fits.PrimaryHDU(RAW["uint16"]).writeto(plain)
    path = tmp_path / f"a.fits{suffix}"
    if suffix == ".fz":
        fits.CompImageHDU(RAW["uint16"]).writeto(path)
    else:
        pack = gzip.compress if suffix == ".gz" else bz2.compress
        path.write_bytes(pack(plain.read_bytes()))
    hdu = 1 if suffix == ".fz" else 0
    pixels = FitsFilePixels(path, hdu, (7, 5), np.dtype(np.float32), *stamp(path))
    data = pixels.read()
    np.testing.assert_array_equal(data, RAW["uint16"])
    assert data.dtype == np.float32
    assert not pixels.rows_readable


@pytest.mark.parametrize("damage", ["truncated", "no archive", "other shape", "other hdu"])
def test_a_damaged_compressed_file_is_one_clear_error(damage: str, tmp_path: Path):
    """Whatever the decompressor raises, it is an InvalidFitsError with the file's name."""
    plain = tmp_path / "a.fits"
    fits.PrimaryHDU(SEED.normal(size=(50, 50))).writeto(plain)
    content = gzip.compress(plain.read_bytes())
    content = {"truncated": content[:-500], "no archive": b"\x1f\x8bnonsense"}.get(damage, content)
    path = tmp_path / "a.fits.gz"
    path.write_bytes(content)
    shape = (5, 5) if damage == "other shape" else (50, 50)
    hdu = 3 if damage == "other hdu" else 0
    pixels = FitsFilePixels(path, hdu, shape, np.dtype(np.float64), *stamp(path))
    with pytest.raises(InvalidFitsError, match=r"a\.fits\.gz"):
        pixels.read()


def test_no_memory_is_not_taken_for_a_damaged_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The frame may be fine."""
    path = tmp_path / "a.fits.gz"
    path.write_bytes(b"")

    def no_memory(*arguments: Any, **options: Any) -> None:
        raise MemoryError

    monkeypatch.setattr(fits, "open", no_memory)
    with pytest.raises(MemoryError):
        FitsFilePixels(path, 0, (1, 1), np.dtype("f4"), *stamp(path)).read()


TYPES = ["u1", "i2", ">i2", "f2", "f4", ">f4", "f8", "i8", "c8", "?", "f4,i2"]


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("shape", [(4, 3), (0, 3), (2, 3, 4), (5,), ()])
def test_a_generation_keeps_type_and_shape(dtype: str, shape: tuple[int, ...]):
    """Whatever was given comes back, and numpy can load the file."""
    data = np.zeros(shape, dtype)
    if data.dtype.names is None and data.size:
        data.flat[-1] = 1
    pixels = NpyPixels.publish(data)
    for found in (pixels.read(), pixels.view(), np.load(pixels.path, allow_pickle=False)):
        np.testing.assert_array_equal(found, data)
        assert found.dtype == data.dtype
        assert found.shape == shape
    assert pickle.loads(pickle.dumps(pixels)).read().dtype == data.dtype


def test_an_array_in_any_order_is_written_in_c_order():
    """Transposed, reversed and strided arrays are the same pixels."""
    base = np.arange(60.0).reshape(6, 10)
    for data in (base.T, base[::-1], base[::2, 1::3], np.asfortranarray(base)):
        found = NpyPixels.publish(data).read()
        np.testing.assert_array_equal(found, data)
        assert found.flags.c_contiguous


def test_a_generation_that_is_not_here_says_why():
    """The path and what may have happened are in the message."""
    pixels = NpyPixels.publish(RAW["float32"])
    pixels.path.unlink()
    for read in (pixels.read, pixels.view, lambda: pixels.read_rows(0, 1)):
        with pytest.raises(CacheError, match="is not there"):
            read()


def test_a_generation_outlives_its_name_for_who_is_reading_it():
    """A map of a file that was removed meanwhile still gives its pixels."""
    pixels = NpyPixels.publish(RAW["float32"])
    view = pixels.view()
    del pixels
    assert list(cache.get_cache_dir().iterdir()) == []
    np.testing.assert_array_equal(view, RAW["float32"])


def test_pixels_that_were_moved_say_so():
    """Nobody computes with an image whose pixels are elsewhere."""
    moved = MovedPixels((2, 2), np.dtype("f4"))
    for ask in (moved.read, moved.token, lambda: pickle.dumps(moved)):
        with pytest.raises(RuntimeError, match="taken by take_data"):
            ask()
    assert moved.path is None


def test_real_frames_are_read_as_astropy_reads_them(real_frames: list[Path]):
    """Unsigned integers of a camera, by rows and whole."""
    path = real_frames[0]
    header = fits.Header.fromfile(path)
    pixels = FitsPixels.of(path, header, len(header.tostring()))
    expected = fits.getdata(path)
    np.testing.assert_array_equal(pixels.read(), expected)
    np.testing.assert_array_equal(pixels.read_rows(1000, None), expected[1000:])
    assert pixels.dtype == np.float32
