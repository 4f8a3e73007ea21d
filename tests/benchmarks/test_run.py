"""The command that runs the benchmarks."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import run


def command(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["run.py", *arguments])
    return run.main()


def test_it_lists_what_there_is(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    """Every benchmark has a line."""
    assert command(monkeypatch, "--list") == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == list(
        run.BENCHMARKS
    )


def test_an_unknown_name_is_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    """The name is said again, before anything is run."""
    with pytest.raises(SystemExit):
        command(monkeypatch, "night-200", "nonsense")
    assert "unknown: nonsense" in capsys.readouterr().err


def test_a_benchmark_that_fails_does_not_keep_others_from_running(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
):
    """It is named with its reason, the others are shown and written, and the exit code is 1."""
    (tmp_path / "fine.py").write_text(
        "from measure import Result, Row, options\n"
        "parser = lambda: options('fine')\n"
        "def run(chosen): return Result('', 'all is well', str(chosen.repeat), [Row('a / b', 2)])\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(run, "HERE", tmp_path)
    names = {"gone": run.Benchmark("gone", ""), "fine": run.Benchmark("fine", "")}
    monkeypatch.setattr(run, "BENCHMARKS", names)
    figures = tmp_path / "figures.json"
    assert command(monkeypatch, "--repeat", "5", "--json", str(figures)) == 1
    shown = capsys.readouterr()
    assert "gone: not measured: benchmarks/gone.py is not there" in shown.err
    assert "fine: all is well\n5\n" in shown.out
    assert '"gone"' not in figures.read_text()
