"""`cancel` ends a run by its process here, or by a wish that its driver finds in the folder."""

from __future__ import annotations

import json
from pathlib import Path

from mirar_dask.monitoring.heartbeat import ALIVE


def status(command, out: Path) -> str:
    """Return the state of the only run."""
    return str(json.loads(command("status", "--out", out, "--json").out)["state"])


def test_a_run_on_this_host_is_ended_in_good_order(
    command, slow_run, night: Path, tmp_path: Path
) -> None:
    """The command says what it did and returns when it is over."""
    out = tmp_path / "out"
    with slow_run(night, tmp_path, "local") as process:
        said = command("cancel", "last", "--out", out)
        assert said.code == 0, said.err
        assert f"process {process.pid} was told to end" in said.out
        assert "is over; what was finished is in" in said.out
        _, err = process.communicate(timeout=30)
        assert process.returncode == 143, err
    assert status(command, out) == "interrupted"
    assert not list(out.rglob("*.npy"))
    again = command("cancel", "last", "--out", out)
    assert "is not under way (interrupted); there is nothing to end" in again.out


def test_a_run_on_another_host_is_asked_by_its_folder(
    command, slow_run, night: Path, tmp_path: Path
) -> None:
    """Its driver looks at each heartbeat, and says who wished it."""
    out = tmp_path / "out"
    with slow_run(night, tmp_path, "serial") as process:
        (path,) = out.glob(f"*/*/runs/*/{ALIVE}")
        path.write_text(json.dumps({**json.loads(path.read_text()), "host": "elsewhere"}))
        said = command("cancel", "last", "--out", out, "--no-wait")
        assert "asked to end; its driver on elsewhere looks every few seconds" in said.out
        _, err = process.communicate(timeout=30)
        assert process.returncode == 143, err
        assert err.startswith("mirar-dask: terminated. cancelled by ")
    assert status(command, out) == "interrupted"


def test_a_run_must_be_named(command, tmp_path: Path) -> None:
    """Nothing is ended by a slip."""
    assert command("cancel", "--out", tmp_path).code == 2
    assert "there is no run in" in command("cancel", "last", "--out", tmp_path).err
