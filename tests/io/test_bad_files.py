"""Files that are no image: one clear error each, and no warning."""

from __future__ import annotations

import bz2
import gzip
import os
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from mirar_dask.errors import ImageNotFoundError, InvalidFitsError
from mirar_dask.io import (
    SeveralImagesError,
    check_file_is_complete,
    open_fits,
    open_image,
    open_lazy,
    read_header,
)

Make = Callable[[Path], None]
DATA = np.random.default_rng(0).integers(0, 9999, (60, 50), dtype=np.int16)


def plain(data: np.ndarray = DATA, **keys: object) -> bytes:
    """Return the bytes of a FITS file, with header keys overwritten afterwards."""
    hdu = fits.PrimaryHDU(data)
    head = hdu.header
    for key, value in keys.items():
        head[key] = value
    body = data.astype(data.dtype.newbyteorder(">")).tobytes()
    return head.tostring().encode() + body + b"\0" * (-len(body) % 2880)


def hdulist(*hdus: object) -> Make:
    return lambda path: fits.HDUList(list(hdus)).writeto(path)


def content(data: bytes) -> Make:
    return lambda path: path.write_bytes(data)


def tiles(**keys: object) -> Make:
    def make(path: Path) -> None:
        fits.CompImageHDU(DATA).writeto(path)
        raw = bytearray(path.read_bytes())
        for key, value in keys.items():
            card = raw.index(f"{key:8}= ".encode())
            raw[card : card + 30] = f"{key:8}= {value:>20}".encode()
        path.write_bytes(raw)

    return make


TABLE = fits.BinTableHDU.from_columns([fits.Column("a", "J", array=np.arange(5))])

BAD = {
    "empty": (content(b""), r"is empty \(0 bytes\)"),
    "text": (content(b"Dear observer,\nno."), r"not a FITS file: it begins with b'Dear observer"),
    "zeros": (content(b"\0" * 10_000), "not a FITS file: it begins with zeros only"),
    "jpeg": (content(b"\xff\xd8\xff\xe0" + b"x" * 999), "not a FITS file: it is a JPEG image"),
    "numpy": (content(b"\x93NUMPY" + b"x" * 99), "not a FITS file: it is a NumPy array"),
    "pixels cut": (content(plain()[:5000]), "is truncated: it has 5000 bytes, .* declares 8880"),
    "pixels gone": (content(plain()[:2880]), "is truncated: it has 2880 bytes, .* declares 8880"),
    "header cut": (content(plain()[:100]), "is truncated: its header has no END in 100 bytes"),
    "header endless": (
        content(b"SIMPLE  =                    T".ljust(2880) * 2),
        "is truncated: its header has no END in 5760 bytes",
    ),
    "gz cut": (content(gzip.compress(plain())[:-3000]), "is truncated: it has .* declares 8880"),
    "gz of cut": (content(gzip.compress(plain()[:5000])), "is truncated: it has 5000 bytes"),
    "gz damaged": (content(gzip.compress(plain())[:300] + b"\0" * 300), "cannot be|truncated"),
    "gz of text": (content(gzip.compress(b"hello")), "not a FITS file: it begins with b'hello'"),
    "bz2 cut": (content(bz2.compress(plain())[:-1000]), "truncated|cannot be"),
    "bz2 header cut": (content(bz2.compress(plain())[:40]), "truncated|cannot be"),
    "tiles cut": (lambda p: (tiles()(p), os.truncate(p, 7000)), "is truncated: it has 7000 bytes"),
    "absurd": (content(plain(NAXIS1=10**9, NAXIS2=10**9)), "truncated: .* 2000000000000002880"),
    "absurd gz": (content(gzip.compress(plain(NAXIS1=10**18))), "no camera's frame shrinks so"),
    "absurd tiles": (tiles(ZNAXIS1=10**6, ZNAXIS2=10**6), "declares 2000000000000 bytes of pixels"),
    "no axes": (hdulist(fits.PrimaryHDU()), "holds no image: it has a header without data"),
    "table": (hdulist(fits.PrimaryHDU(), TABLE), "holds no image: it has only tables"),
    "zero axis": (content(plain(NAXIS1=0)), r"shape \(60, 0\), which has no pixels"),
    "negative axis": (content(plain(NAXIS1=-5)), r"its axes are \(-5, 60\)"),
    "text axis": (content(plain(NAXIS1="wide")), "NAXIS1='wide    ', which is no number"),
    "half axis": (content(plain(NAXIS1=1.5)), "NAXIS1=1.5, which is no whole number"),
    "no such bitpix": (content(plain(BITPIX=12)), "BITPIX=12; FITS knows"),
    "spectrum": (content(plain(DATA[0])), r"data of shape \(50,\): not an image of two axes"),
    "cube": (content(plain(np.stack([DATA] * 5))), r"shape \(5, 60, 50\): not an image of two"),
    "colour": (content(plain(np.stack([DATA] * 3))), r"is a colour image of shape \(3, 60, 50\)"),
    "colour last": (content(plain(np.stack([DATA] * 3, -1))), r"is a colour image .*50, 3\)"),
    "colour tiles": (
        lambda p: fits.CompImageHDU(np.stack([DATA] * 3)).writeto(p),
        "is a colour image",
    ),
    "colour in extension": (
        hdulist(fits.PrimaryHDU(), fits.ImageHDU(np.stack([DATA] * 3))),
        "is a colour image",
    ),
    "groups": (
        lambda p: fits.GroupsHDU(
            fits.GroupData(np.zeros((2, 1, 3, 3), "f4"), parnames=["a"], pardata=[[1, 2]])
        ).writeto(p),
        "random groups",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_each_kind_of_bad_file_is_one_clear_error(name: str, tmp_path: Path):
    """The message is one sentence that names the file; whoever opens it gets the same."""
    make, words = BAD[name]
    path = tmp_path / "bad.fits"
    make(path)
    for opener in (open_lazy, open_image, open_fits):
        with pytest.raises(InvalidFitsError, match=words) as info:
            opener(path)
        message = str(info.value)
        assert message.startswith(str(path))
        assert "\n" not in message
        assert len(message) < 400


@pytest.mark.parametrize("name", ["absurd", "absurd gz", "absurd tiles"])
def test_absurd_sizes_allocate_nothing(name: str, tmp_path: Path):
    """A header can declare what it likes."""
    path = tmp_path / "bad.fits"
    BAD[name][0](path)
    tracemalloc.start()
    with pytest.raises(InvalidFitsError):
        open_fits(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 5_000_000


def test_what_cannot_be_opened_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A file that is not there, a folder, one that may not be read."""
    with pytest.raises(ImageNotFoundError, match=r"there is no file .*gone\.fits"):
        open_lazy(tmp_path / "gone.fits")
    (tmp_path / "folder.fits").mkdir()
    with pytest.raises(InvalidFitsError, match=r"folder\.fits is a folder"):
        open_lazy(tmp_path / "folder.fits")
    path = tmp_path / "secret.fits"
    path.write_bytes(plain())

    def refuse(*args: object, **keys: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("mirar_dask.io.structure.open_file", refuse)  # root may read everything
    with pytest.raises(InvalidFitsError, match=r"secret\.fits may not be read: change its perm"):
        open_lazy(path)


def test_several_images_are_not_one(tmp_path: Path):
    """The message names the loader for it; mirar's ValueError is among the bases."""
    path = tmp_path / "mef.fits"
    hdulist(fits.PrimaryHDU(), fits.ImageHDU(DATA), TABLE, fits.ImageHDU(DATA))(path)
    with pytest.raises(SeveralImagesError, match=r"mef\.fits holds 2 images .* MEFLoader") as info:
        open_lazy(path)
    assert isinstance(info.value, ValueError)
    assert isinstance(info.value, InvalidFitsError)


def test_an_hdu_that_is_no_image_or_not_there_is_named(tmp_path: Path):
    """Asked for by number."""
    path = tmp_path / "a.fits"
    hdulist(fits.PrimaryHDU(DATA), TABLE)(path)
    with pytest.raises(InvalidFitsError, match="holds no image in HDU 1, but a table"):
        open_lazy(path, hdu=1)
    for function in (open_lazy, read_header):
        with pytest.raises(InvalidFitsError, match="has no HDU 7: it has 2"):
            function(path, hdu=7)


@pytest.mark.parametrize("trailing", [b"", b"\0" * 2880, b"junk at the end", b"\0" * 100])
def test_bytes_behind_the_image_do_no_harm(trailing: bytes, tmp_path: Path):
    """Some cameras write them; others leave the padding out."""
    path = tmp_path / "a.fits"
    for body in (plain() + trailing, plain()[:8880]):
        path.write_bytes(body)
        assert np.array_equal(open_lazy(path)[0].read(), DATA)
        assert check_file_is_complete(path)
        path.write_bytes(gzip.compress(body))
        assert np.array_equal(open_lazy(path)[0].read(), DATA)
        assert check_file_is_complete(path)


@pytest.mark.parametrize("pack", [bytes, gzip.compress, bz2.compress])
def test_a_complete_file_is_told_from_a_partial_one(pack, tmp_path: Path):
    """However it is compressed, and wherever it is cut."""
    path = tmp_path / "a.fits"
    whole = pack(plain())
    path.write_bytes(whole)
    assert check_file_is_complete(path)
    for share in (0.0, 0.02, 0.5, 0.7):
        path.write_bytes(whole[: int(share * len(whole))])
        assert not check_file_is_complete(path)
    assert not check_file_is_complete(tmp_path / "gone.fits")


def test_a_file_cut_in_its_last_extension_is_partial(tmp_path: Path):
    """Its first image can be opened all the same."""
    path = tmp_path / "a.fits"
    hdulist(fits.PrimaryHDU(DATA), fits.ImageHDU(DATA))(path)
    assert check_file_is_complete(path)
    os.truncate(path, path.stat().st_size - 3000)
    assert not check_file_is_complete(path)
    assert np.array_equal(open_lazy(path)[0].read(), DATA)


def test_several_gzip_members_are_one_file(tmp_path: Path):
    """As parallel compressors write them: the length at the end is that of the last part."""
    whole = plain()
    (tmp_path / "a.fits.gz").write_bytes(gzip.compress(whole[:4000]) + gzip.compress(whole[4000:]))
    assert np.array_equal(open_lazy(tmp_path / "a.fits.gz")[0].read(), DATA)
    assert check_file_is_complete(tmp_path / "a.fits.gz")
