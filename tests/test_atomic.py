"""Files are written whole or not at all."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from mirar_dask.atomic import replacing
from mirar_dask.errors import WriteError


def test_the_file_appears_at_the_end_of_the_block(tmp_path: Path):
    """Until then there is only a hidden temporary one with the same suffixes."""
    path = tmp_path / "a.fits.gz"
    with replacing(path) as temporary:
        temporary.write_text("new")
        assert not path.exists()
        assert temporary.name.startswith(".")
        assert temporary.name.endswith("a.fits.gz")
        assert temporary.parent == tmp_path
    assert path.read_text() == "new"
    assert [x.name for x in tmp_path.iterdir()] == ["a.fits.gz"]


def test_a_failed_write_leaves_what_was_there(tmp_path: Path):
    """Any exception, KeyboardInterrupt included, removes the temporary file."""
    path = tmp_path / "a.txt"
    path.write_text("old")
    for error in (ValueError, KeyboardInterrupt):
        with pytest.raises(error), replacing(path) as temporary:
            temporary.write_text("half")
            raise error
    assert path.read_text() == "old"
    assert [x.name for x in tmp_path.iterdir()] == ["a.txt"]


def test_a_file_may_be_kept_from_being_replaced(tmp_path: Path):
    """Also when it appeared while the new one was written."""
    path = tmp_path / "a.txt"
    with pytest.raises(WriteError, match="exists already"), replacing(path, overwrite=False) as t:
        t.write_text("mine")
        path.write_text("theirs")
    with pytest.raises(WriteError, match="exists already"), replacing(path, overwrite=False) as t:
        raise AssertionError("not reached")
    assert path.read_text() == "theirs"
    assert [x.name for x in tmp_path.iterdir()] == ["a.txt"]


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (errno.ENOSPC, "no space is left on the disk"),
        (errno.EDQUOT, "quota"),
        (errno.EROFS, "read-only"),
        (errno.EACCES, "may not be written to"),
        (errno.EIO, os.strerror(errno.EIO)),
    ],
)
def test_what_the_system_refuses_is_one_sentence_with_the_path(tmp_path: Path, code, words):
    """The reason, and what can be done, are in the message."""
    with (
        pytest.raises(WriteError, match=rf"cannot write .*a\.txt: .*{words}") as info,
        replacing(tmp_path / "a.txt"),
    ):
        raise OSError(code, os.strerror(code))
    assert info.value.errno == code


def test_a_missing_folder_is_named(tmp_path: Path):
    """It is not made: a mistyped output folder should not appear."""
    with (
        pytest.raises(WriteError, match="folder does not exist"),
        replacing(tmp_path / "no" / "a.txt") as temporary,
    ):
        temporary.write_text("x")


def test_long_names_leave_room_for_the_temporary_one(tmp_path: Path):
    """File systems allow 255 bytes."""
    path = tmp_path / ("é" * 120 + ".fits")
    with replacing(path) as temporary:
        temporary.write_text("x")
    assert path.exists()
