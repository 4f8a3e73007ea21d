"""Workers prove that they can do a run's tasks before they are given any."""

from __future__ import annotations

import logging
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from distributed import Client, LocalCluster

from mirar_dask.cluster import ClusterSpec, connect
from mirar_dask.cluster.places import Places
from mirar_dask.cluster.probe import order_for, probe, proving
from mirar_dask.cluster.sighting import (
    Finding,
    Order,
    judge,
    look,
    merged,
    own_versions,
    refusal,
    remove_tokens,
    trouble_with,
    write_token,
)
from mirar_dask.errors import ClusterError


@pytest.fixture
def places(tmp_path: Path) -> Places:
    """Return the folders of a run; the cache is not made yet."""
    raw = tmp_path / "raw"
    raw.mkdir()
    (raw / "frame.fits").write_bytes(b"SIMPLE  =" + b" " * 5000)
    (tmp_path / "out").mkdir()
    return Places(raw, tmp_path / "out", tmp_path / "out" / "cache")


@pytest.fixture
def order(places: Places) -> Iterator[Order]:
    """Return what workers are asked to look at."""
    with order_for(places) as order:
        yield order


def findings(order: Order) -> list[str]:
    return [f.what for f in judge(order, look(order, patience=0))]


def test_a_worker_that_sees_everything_is_fit(order: Order) -> None:
    """It reads three files, and writes two that the driver can read."""
    sighting = look(order)
    assert judge(order, sighting) == []
    assert [place for place, _ in sighting.written] == ["output", "cache"]
    assert all(trouble_with(token) is None for _, token in sighting.written)


def test_what_was_written_to_be_read_is_gone_afterwards(places: Places) -> None:
    """The folders of a run hold nothing of the probe."""
    with order_for(places):
        pass
    assert places.output is not None and places.cache is not None
    assert list(places.output.iterdir()) == [places.cache]
    assert list(places.cache.iterdir()) == []


def test_a_folder_that_is_not_there_is_named(order: Order, places: Places) -> None:
    """A cache folder that only the driver's host has."""
    assert places.cache is not None
    gone = places.cache.with_name("elsewhere")
    read = [(p, replace(t, path=gone / t.path.name) if p == "cache" else t) for p, t in order.read]
    assert findings(replace(order, read=tuple(read))) == [f"the folder {gone} is not there"]


def test_another_folder_of_the_same_name_is_named(order: Order, places: Places) -> None:
    """The path is there, but on another disk: what the driver wrote is missing."""
    for place, token in order.read:
        if place == "output":
            token.path.unlink()
    assert findings(order) == [f"the folder {places.output} is another one there"]


def test_another_file_of_the_same_name_is_named(order: Order, places: Places) -> None:
    """A raw folder with other frames."""
    assert places.raw is not None
    (places.raw / "frame.fits").write_bytes(b"x")
    assert findings(order) == [f"{places.raw / 'frame.fits'} is another file there"]


def test_a_file_that_is_late_is_waited_for(tmp_path: Path) -> None:
    """As on NFS, but within a bound."""
    token = write_token(tmp_path, "x")
    late = replace(token, path=token.path.with_name("late"))
    script = f"import time, os; time.sleep(.5); os.rename({str(token.path)!r}, {str(late.path)!r})"
    with subprocess.Popen([sys.executable, "-c", script]):
        assert trouble_with(late, patience=10) is None
    assert trouble_with(token, patience=0.2) is not None


@pytest.mark.parametrize(
    ("package", "theirs", "fit"),
    [
        ("mirar_dask", "0.0.1", False),
        ("dask", "2020.1.0", False),
        ("distributed", "none", False),
        ("numpy", "1.0.0", False),
        ("python", "{}.99", True),
        ("astropy", "{}.99", True),
    ],
)
def test_packages_must_be_alike(package: str, theirs: str, fit: bool, order: Order) -> None:
    """Ours and Dask to the letter, numeric ones and Python in the first two numbers."""
    ours = dict(own_versions())
    two = ".".join(ours[package].split(".")[:2])
    seen = tuple({**ours, package: theirs.format(two)}.items())
    found = judge(order, replace(look(order), versions=seen))
    assert (found == []) == fit
    assert fit or f"it has {package} {theirs}, the driver {ours[package]}" in found[0].what


def test_a_clock_that_is_off_is_named(order: Order) -> None:
    """With how much, and which way."""
    late = replace(order, time=time.time() + 300)
    assert findings(late)[0].startswith("its clock is 300 s behind the driver's")


def test_a_full_disk_is_named(order: Order) -> None:
    """Before it is found by the first task."""
    found = judge(order, replace(look(order), free=(("cache", 10**6),)))
    assert [f.what for f in found] == ["only 1 MB are free for the cache"]


def test_what_several_hosts_lack_is_said_once() -> None:
    """With all their names, and a remedy for each kind of it."""
    found = [Finding("raw", "the folder /r is not there", (host,)) for host in ("n1", "n2")]
    found.append(Finding("clock", "its clock is 90 s behind the driver's", ("n2",)))
    assert len(merged(found)) == 2
    said = refusal(found)
    assert "n1, n2: the folder /r is not there" in said
    assert said.index("put the raw frames on storage") < said.index("set its clock")


def test_without_a_cache_is_offered_only_where_the_rest_is_shared() -> None:
    """Pixels that travel with the tasks do not help against products that nobody sees."""
    cache = Finding("cache", "the folder /c is not there", ("n1",))
    assert "--cache off" in refusal([cache])
    assert "--cache off" not in refusal([cache, Finding("output", "/o is not there", ("n1",))])


@pytest.fixture(scope="module")
def client() -> Iterator[Client]:
    """Give a client of one worker in this process."""
    with (
        LocalCluster(
            n_workers=1,
            processes=False,
            host="127.0.0.1",
            protocol="tcp://",
            dashboard_address="127.0.0.1:0",
            scheduler_kwargs={"dashboard": False},
        ) as cluster,
        Client(cluster) as client,
    ):
        yield client


def test_every_worker_of_a_cluster_is_asked(client: Client, places: Places) -> None:
    """By the client, in a thread of the worker; its files are gone afterwards."""
    with order_for(places) as order:
        assert probe(client, order) == []
    assert places.cache is not None
    assert list(places.cache.iterdir()) == []


def test_a_run_on_workers_that_lack_a_folder_is_refused(
    client: Client, places: Places, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before any work, by host and remedy."""
    monkeypatch.setattr("mirar_dask.cluster.sighting.PATIENCE_SECONDS", 0)
    assert places.output is not None
    with order_for(places) as order:
        for place, token in order.read:
            if place == "cache":
                token.path.unlink()
        said = refusal(probe(client, order))
    assert "is another one there" in said
    assert "--cache DIR" in said


def test_a_worker_that_joins_later_and_is_not_fit_leaves_again(
    client: Client,
    places: Places,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It says why, and is given no work."""
    monkeypatch.setattr("mirar_dask.cluster.sighting.PATIENCE_SECONDS", 0)
    with proving(client, places):
        before = set(client.scheduler_info()["workers"])
        assert places.raw is not None
        (places.raw / "frame.fits").write_bytes(b"another one")
        with caplog.at_level(logging.WARNING, "mirar_dask.cluster.probe"):
            client.cluster.scale(2)
            end = time.monotonic() + 30
            while "was turned away" not in caplog.text and time.monotonic() < end:
                time.sleep(0.1)
            while set(client.scheduler_info()["workers"]) != before and time.monotonic() < end:
                time.sleep(0.1)
        assert set(client.scheduler_info()["workers"]) == before
    assert "frame.fits is another file there" in caplog.text


def test_a_running_scheduler_without_the_folders_is_refused(
    client: Client, tmp_path: Path, places: Places, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`connect` asks its workers too."""
    spec = ClusterSpec.parse(client.scheduler.address)
    with connect(spec, places=places) as engine, order_for(places) as order:
        monkeypatch.setattr(
            engine.client,
            "get_versions",
            lambda: {"scheduler": {"packages": {"dask": "1.0", "distributed": "2.0"}}},
        )
        found = probe(engine.client, order)
    assert [(f.hosts, f.place) for f in found] == [(("scheduler",), "versions")] * 2
    wrong = (*own_versions()[:-1], ("astropy", "99.1"))
    monkeypatch.setattr("mirar_dask.cluster.probe.own_versions", lambda: wrong)
    with pytest.raises(ClusterError, match="it has astropy"), connect(spec, places=places):
        pass


def test_nothing_is_left_of_workers_that_ended_while_they_looked(tmp_path: Path) -> None:
    """Their files go, and no others."""
    write_token(tmp_path, "w1")
    write_token(tmp_path, "w2")
    (tmp_path / "journal.jsonl").touch()
    remove_tokens(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["journal.jsonl"]


@pytest.mark.slow
def test_a_scheduler_that_goes_away_while_it_is_probed_is_one_sentence(
    scheduler_without, places: Places, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not a traceback of what a connection consists of."""
    from mirar_dask.cluster import probe

    with scheduler_without("no_such_module", workers=1) as address:

        def gone(client: Client, order: Order) -> list[object]:
            raise OSError(f"Timed out trying to connect to {address}")  # as Dask says it

        monkeypatch.setattr(probe, "probe", gone)
        spec = ClusterSpec.parse(address)
        with (
            pytest.raises(ClusterError, match="went away while its workers were looked at"),
            connect(spec, places=places),
        ):
            pass
