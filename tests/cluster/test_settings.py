"""Who decides where the work is done: flags, environment, file."""

from __future__ import annotations

import pickle
import tomllib
from pathlib import Path

import pytest

from mirar_dask.cluster import ClusterSpec, resolve
from mirar_dask.errors import UsageError
from mirar_dask.pipelines.instrument import parse_instrument


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """Return a file with a table ``[cluster]``."""
    path = tmp_path / "site.toml"
    path.write_text(
        """
        [cluster]
        kind = "slurm"
        workers = 8
        queue = "short"
        walltime = "2h"
        prologue = ["module load python", "ulimit -c 0"]
        [cluster.options]
        job-extra-directives = ["--exclusive"]
        """
    )
    return path


def test_nothing_said_is_this_machine() -> None:
    """Workers are chosen by the machine then."""
    found = resolve({}, environment={})
    assert found.spec == ClusterSpec()
    assert found.origins == {"kind": "default"}


def test_a_file_describes_a_site(config: Path) -> None:
    """Its table holds the options of the command line, and what only its kind understands."""
    spec = resolve({}, environment={}, config=config).spec
    assert (spec.kind, spec.workers, spec.queue, spec.walltime) == ("slurm", 8, "short", 7200)
    assert spec.prologue == ("module load python", "ulimit -c 0")
    assert spec.option("job_extra_directives") == ("--exclusive",)


def test_an_instrument_file_may_say_where_its_nights_are_reduced(
    config: Path, tmp_path: Path
) -> None:
    """Asked last; one that says nothing of it, or cannot be read, is no matter here."""
    camera = tmp_path / "camera.toml"
    camera.write_text("name = 'STX'\n[cluster]\nkind = 'slurm'\nqueue = 'night'\ncores = 3\n")
    found = resolve({}, environment={}, instrument=camera)
    assert (found.spec.kind, found.spec.queue) == ("slurm", "night")
    assert found.origins["queue"] == str(camera)
    both = resolve({}, environment={}, config=config, instrument=camera).spec
    assert (both.queue, both.cores) == ("short", 3)
    assert parse_instrument(tomllib.loads(camera.read_text())).name == "STX"
    camera.write_text("name = 'STX'\n")
    assert resolve({}, environment={}, instrument=camera).spec == ClusterSpec()
    assert resolve({}, environment={}, instrument=tmp_path / "none").spec == ClusterSpec()


def test_environment_wins_over_the_file_and_flags_over_both(config: Path) -> None:
    """And each value remembers where it was found."""
    environment = {
        "MIRAR_DASK_CLUSTER_CONFIG": str(config),
        "MIRAR_DASK_CLUSTER_QUEUE": "long",
        "MIRAR_DASK_CLUSTER_CORES": "4",
    }
    found = resolve({"cores": 2}, environment=environment)
    assert (found.spec.queue, found.spec.cores, found.spec.workers) == ("long", 2, 8)
    assert found.origins["queue"] == "MIRAR_DASK_CLUSTER_QUEUE"
    assert found.origins["cores"] == "--cores"
    assert found.origins["workers"] == str(config)


def test_a_flag_for_workers_replaces_the_files_range_and_the_other_way_round(config: Path) -> None:
    """Only one of the two can hold."""
    assert resolve({"adapt": "0:9"}, environment={}, config=config).spec.adapt == (0, 9)
    found = resolve({"workers": 3}, environment={"MIRAR_DASK_CLUSTER_ADAPT": "0:9"}, config=config)
    assert (found.spec.workers, found.spec.adapt) == (3, None)


def test_both_in_one_place_are_refused() -> None:
    """Nobody can tell which was meant."""
    with pytest.raises(UsageError, match="--workers and --adapt were both given"):
        resolve({"kind": "slurm", "workers": 3, "adapt": "0:9"}, environment={})


def test_what_a_file_says_of_its_kind_does_not_hinder_another(config: Path) -> None:
    """``--cluster local`` for once needs no other file."""
    found = resolve({"kind": "local"}, environment={}, config=config)
    assert found.spec == ClusterSpec()
    assert set(found.unused) == {"workers", "queue", "walltime", "prologue", "options"}


def test_variables_are_read_in_their_usual_words() -> None:
    """Lines for commands and options, words for switches."""
    spec = resolve(
        {},
        environment={
            "MIRAR_DASK_CLUSTER": "ssh:a,b",
            "MIRAR_DASK_CLUSTER_TLS": "off",
            "MIRAR_DASK_CLUSTER_OPTIONS": "port=2222\nusername=ana",
        },
    ).spec
    assert (spec.hosts, spec.tls) == (("a", "b"), False)
    assert dict(spec.options) == {"port": 2222, "username": "ana"}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("kind = 'slurm'", r"no table \[cluster\]"),
        ("[cluster]\nnodes = 3", "has no 'nodes'; there are kind, hosts"),
        ("[cluster", "it is no TOML"),
        ("[cluster]\ntls = 'maybe'", "must be true or false"),
    ],
)
def test_a_file_that_is_wrong_is_named(tmp_path: Path, text: str, words: str) -> None:
    """With what is wrong in it."""
    path = tmp_path / "site.toml"
    path.write_text(text)
    with pytest.raises(UsageError, match=words):
        resolve({}, environment={}, config=path)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    """It was asked for."""
    with pytest.raises(UsageError, match=r"site\.toml: it cannot be read"):
        resolve({}, environment={}, config=tmp_path / "site.toml")


def test_a_switch_with_another_word_is_refused() -> None:
    """The message gives the words."""
    with pytest.raises(UsageError, match="MIRAR_DASK_CLUSTER_TLS is 'maybe'"):
        resolve({}, environment={"MIRAR_DASK_CLUSTER_TLS": "maybe"})


def test_a_specification_travels_and_can_be_a_key(config: Path) -> None:
    """It is a plain value."""
    spec = resolve({}, environment={}, config=config).spec
    assert pickle.loads(pickle.dumps(spec)) == spec
    assert {spec: 1}[spec] == 1
    assert "queue='short'" in repr(spec)
