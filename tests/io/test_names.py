"""Which files are frames, and what their images are called."""

from __future__ import annotations

from pathlib import Path

import pytest

from mirar_dask.errors import ImageNotFoundError, UsageError
from mirar_dask.io import base_name, is_frame_name, list_frames
from mirar_dask.io.names import extension_name, header_text

FRAMES = ["A.FIT", "a.fits", "b.fits.gz", "c.FITS.FZ", "d.fts.bz2", "e.fz"]


def test_frames_are_told_by_their_suffix_in_any_case():
    """Plain or compressed; hidden files are none."""
    assert all(map(is_frame_name, FRAMES))
    others = ["a.txt", ".a.fits", "a.fits.txt", "a.gz", ".fz", "fits", "a.tar.bz2", ".tmp-1-a.fits"]
    assert not any(map(is_frame_name, others))


def test_a_folder_lists_its_frames_by_name_and_nothing_else(tmp_path: Path):
    """Sub-folders are not entered, whatever they are called."""
    for name in [*FRAMES, "notes.txt", ".hidden.fits"]:
        (tmp_path / name).touch()
    (tmp_path / "sub.fits").mkdir()
    assert list_frames(tmp_path) == [tmp_path / name for name in FRAMES]
    assert list_frames(str(tmp_path)) == list_frames(tmp_path)


def test_a_dangling_link_is_listed_so_that_it_is_reported(tmp_path: Path):
    """A frame that vanished from an archive is no reason for silence."""
    (tmp_path / "a.fits").symlink_to(tmp_path / "gone.fits")
    assert list_frames(tmp_path) == [tmp_path / "a.fits"]


def test_folders_that_cannot_be_listed_are_clear_errors(tmp_path: Path):
    """One that is not there, and a file."""
    with pytest.raises(ImageNotFoundError, match="no such folder") as info:
        list_frames(tmp_path / "no")
    assert str(tmp_path / "no") in str(info.value)
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match="is a file; give the folder"):
        list_frames(tmp_path / "file")


@pytest.mark.parametrize(
    ("name", "base", "extension"),
    [
        ("x.fits", "x.fits", "x_2.fits"),
        ("x.fits.fz", "x.fits", "x_2.fits"),
        ("x.FITS.GZ", "x.FITS", "x_2.fits"),
        ("x.fz", "x.fits", "x_2.fits"),
        ("x.fit", "x.fit", "x_2.fits"),
        ("x.y.fits", "x.y.fits", "x.y_2.fits"),
        ("x.fits.old.fits", "x.fits.old.fits", "x.fits.old_2.fits"),
    ],
)
def test_images_are_called_as_their_file_without_compression(name, base, extension):
    """So a product never carries a suffix that does not hold."""
    assert base_name(Path("/some/where") / name) == base
    assert extension_name(name, 2) == extension


def test_paths_in_headers_are_ascii():
    """A FITS header can hold nothing else."""
    assert header_text("/data/a.fits") == "/data/a.fits"
    assert header_text("/data/é.fits").isascii()
