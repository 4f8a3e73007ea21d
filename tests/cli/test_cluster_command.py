"""`mirar-dask cluster`: what it prints, what it tries, what it refuses."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mirar_dask.cluster.certificates import NAMES
from mirar_dask.cluster.environment import FAR_SETTINGS, SETTINGS

Command = Callable[..., Any]


@pytest.fixture(autouse=True)
def no_site(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Let no configuration of this account say anything."""
    monkeypatch.chdir(tmp_path)
    for name in ("", "_CONFIG", "_WORKERS", "_QUEUE"):
        monkeypatch.delenv(f"MIRAR_DASK_CLUSTER{name}", raising=False)


def test_show_says_what_was_understood_and_who_said_it(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Values with their origin, the layout with its reason, the script; nothing is submitted."""
    monkeypatch.setenv("MIRAR_DASK_CLUSTER_QUEUE", "short")
    path = tmp_path / "site.toml"
    path.write_text("[cluster]\nkind = 'slurm'\nmemory = '4GB'\n")
    said = command("cluster", "show", "--cluster-config", path, "--workers", 6, "--cores", 4)
    assert said.code == 0
    for words in (
        "6 workers, jobs of SLURM",
        "(--workers)",
        "(MIRAR_DASK_CLUSTER_QUEUE)",
        f"4.0 GB  ({path})",
        "2 jobs of 4 workers",
        "8 in whole jobs",
        "encrypted",
        "#SBATCH -p short",
    ):
        assert words in said.out


def test_show_of_a_queue_system_that_we_do_not_run_says_so(command: Command) -> None:
    """Its script is all that was looked at."""
    said = command("cluster", "show", "--cluster", "pbs", "--no-tls")
    assert "pbs is not run by our tests" in said.out
    assert "whoever reaches the scheduler's port can run code as you" in said.out


@pytest.mark.parametrize(
    ("words", "answer"),
    [
        (("--cluster", "slum"), "expected serial, threads, local"),
        (("--cluster", "local", "--queue", "short"), "--queue with --cluster local: leave it out"),
        (("--cluster", "slurm", "--walltime", "90"), "such as 2h"),
        (("--cluster-option", "port"), "has not the form key=value"),
        (("--cluster-config", "none.toml"), "none.toml: it cannot be read"),
    ],
)
def test_nonsense_is_one_sentence_and_exit_code_two(
    command: Command, words: tuple[str, ...], answer: str
) -> None:
    """Before anything is started."""
    said = command("cluster", "show", *words)
    assert said.code == 2
    assert answer in said.err
    assert said.err.count("\n") == 1


def test_a_run_that_cannot_have_its_cluster_ends_before_it_begins(
    command: Command, night: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No login node of a queue system: one sentence with the remedy, exit code 3."""
    monkeypatch.setenv("PATH", str(tmp_path))
    said = command("run", "imager", "--raw", night, "--out", tmp_path, "--cluster", "oar")
    assert said.code == 3
    assert "there is no 'oarsub' here; run this where jobs are submitted" in said.err


def test_an_option_that_this_machine_does_not_know_is_refused(command: Command) -> None:
    """Those of Dask's own class can be given."""
    said = command("cluster", "check", "--cluster-option", "nosuch=1")
    assert said.code == 2
    assert "nosuch is not known to --cluster local; there are" in said.err
    assert "worker_dashboard_address" in said.err


def test_check_starts_looks_and_stops(command: Command, tmp_path: Path, night: Path) -> None:
    """On this machine too; nothing is left in the folders."""
    out = tmp_path / "out"
    said = command("cluster", "check", "--workers", 1, "--raw", night, "--out", out)
    assert said.code == 0, said.err
    assert "folders seen by all of them: raw, output" in said.out
    assert "all is well" in said.out
    assert list(out.iterdir()) == []


def test_certificates_are_made_once_and_for_us_only(command: Command, tmp_path: Path) -> None:
    """And the commands that use them are printed."""
    pytest.importorskip("cryptography", reason="cryptography is not installed")
    folder = tmp_path / "tls"
    said = command("cluster", "certificates", folder)
    assert said.code == 0
    assert f"--certificates {folder}" in said.out
    assert {path.name for path in folder.iterdir()} == set(NAMES)
    assert all(path.stat().st_mode & 0o077 == 0 for path in (folder, *folder.iterdir()))
    again = command("cluster", "certificates", folder)
    assert again.code == 3
    assert "name a new folder" in again.err


def test_a_run_keeps_pixels_where_it_is_told(command: Command, night: Path, tmp_path: Path) -> None:
    """In a folder of its own below the one that was named, and nothing is left there."""
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    words = ("run", "imager", "--raw", night, "--workers", 1)
    said = command(*words, "--out", tmp_path / "a", "--cache", scratch)
    assert said.code == 0, said.err
    assert list(scratch.iterdir()) == []
    gone = command(*words, "--out", tmp_path / "b", "--cache", tmp_path / "none")
    assert gone.code == 2
    assert "expected on, off, or a folder that is there" in gone.err


def test_a_run_without_a_cache_makes_the_same_products(
    command: Command, night: Path, tmp_path: Path
) -> None:
    """Pixels travel with the tasks."""
    made = []
    for word in ("on", "off"):
        out = tmp_path / word
        words = ("run", "imager", "--raw", night, "--out", out, "--workers", 1)
        said = command(*words, "--cache", word)
        assert said.code == 0, said.err
        made.append(sorted(path.relative_to(out) for path in out.rglob("*.fits")))
        assert not list(out.rglob("*.npy"))
    assert made[0] == made[1] != []


def test_settings_are_what_dask_reads(command: Command, tmp_path: Path) -> None:
    """Saved where DASK_CONFIG says, they give what our own schedulers and workers are told."""
    import dask

    said = command("cluster", "settings")
    (tmp_path / "mirar_dask.yaml").write_text(said.out)
    (found,) = dask.config.collect_yaml([str(tmp_path / "mirar_dask.yaml")])
    for name, value in {**SETTINGS, **FAR_SETTINGS}.items():
        if not name.startswith("distributed.deploy."):
            assert dask.config.get(name, config=found) == value
    assert "deploy" not in found["distributed"]


def test_the_demo_goes_where_the_environment_says(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As `run` does, unless a flag says otherwise."""
    monkeypatch.setenv("MIRAR_DASK_CLUSTER", "nowhere")
    said = command("demo", "--size", 64, "--out", tmp_path / "out")
    assert said.code == 2
    assert "nowhere" in said.err
    said = command("demo", "--size", 64, "--out", tmp_path / "out", "--cluster", "serial")
    assert "cluster serial" in said.out
