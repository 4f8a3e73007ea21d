"""Folders with links that lead round in circles, and with what is no file."""

from __future__ import annotations

import os
from pathlib import Path

from mirar_dask.cluster.places import Places
from mirar_dask.cluster.probe import order_for
from mirar_dask.pipelines.frames import frames_below


def test_links_that_lead_back_are_followed_once(tmp_path: Path) -> None:
    """Two of them would otherwise be followed in all orders, without an end in sight."""
    (tmp_path / "night").mkdir()
    (tmp_path / "night/a.fits").touch()
    for name in ("one", "two", "three"):
        (tmp_path / "night" / name).symlink_to(tmp_path)
    other = tmp_path.parent / f"{tmp_path.name} elsewhere"
    other.mkdir()
    (other / "b.fits").touch()
    (tmp_path / "linked").symlink_to(other)
    assert sorted(path.name for path in frames_below(tmp_path)) == ["a.fits", "b.fits"]


def test_workers_are_never_told_to_read_a_pipe(tmp_path: Path) -> None:
    """They would wait for somebody to write into it."""
    os.mkfifo(tmp_path / "a.fits")
    (tmp_path / "b.fits").symlink_to("/dev/zero")
    (tmp_path / "c.fits").write_bytes(b"frame")
    with order_for(Places(raw=tmp_path)) as order:
        assert [token.path.name for _, token in order.read] == ["c.fits"]
