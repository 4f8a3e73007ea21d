"""Private folders, also where other users were first."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from mirar_dask.errors import WriteError
from mirar_dask.private import make_private


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_it_is_for_its_owner_alone_whatever_the_umask(tmp_path: Path) -> None:
    """A umask of 0 or 022 opens nothing."""
    for mask in (0, 0o022, 0o077):
        before = os.umask(mask)
        try:
            assert make_private(tmp_path / f"{mask}")
        finally:
            os.umask(before)
        assert mode(tmp_path / f"{mask}") == 0o700


def test_one_of_ours_that_is_there_is_closed(tmp_path: Path) -> None:
    """It may have been made by hand."""
    (tmp_path / "a").mkdir(mode=0o755)
    assert not make_private(tmp_path / "a")
    assert mode(tmp_path / "a") == 0o700


@pytest.mark.parametrize("kind", ["link", "dangling link", "file"])
def test_what_is_no_folder_is_refused(tmp_path: Path, kind: str) -> None:
    """A link would lead what we write to where its maker wants it."""
    path, target = tmp_path / "a", tmp_path / "target"
    if kind == "link":
        target.mkdir()
    if kind == "file":
        path.touch()
    else:
        path.symlink_to(target)
    with pytest.raises(WriteError, match=f"{path} is there already and is"):
        make_private(path)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_a_folder_that_another_user_put_there_is_refused(tmp_path: Path) -> None:
    """Not even one that is open to everybody, nor one that looks private."""
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o1777)
    for parent in [tmp_path, *tmp_path.parents[:3]]:
        parent.chmod(parent.stat().st_mode | 0o011)
    for name, wide in (("open", 0o777), ("closed", 0o700)):
        attacker = os.fork()
        if attacker == 0:
            os.setuid(12345)
            os.umask(0)
            os.mkdir(shared / name, wide)
            os._exit(0)
        assert os.waitpid(attacker, 0)[1] == 0
        with pytest.raises(WriteError, match="belongs to user 12345"):
            make_private(shared / name)
