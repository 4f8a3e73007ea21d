"""Ratios, targets and tables of the benchmarks."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from measure import Result, Row, compare, save, show, turns


@pytest.mark.parametrize(
    ("value", "target", "met"),
    [(10.0, ">= 10", True), (9.99, ">= 10", False), (1.0, "<= 1.0", True), (1.0, "< 1 GB", False)],
)
def test_a_row_knows_whether_its_target_is_met(value: float, target: str, met: bool):
    """The target is a comparison with a number."""
    assert Row("what", value, target=target).met is met


def test_a_row_without_a_target_is_not_judged():
    """Nothing was promised, so nothing is missed."""
    assert Row("what", 3.0).met is None


def test_ratios_are_of_medians_and_their_spread_is_of_turns():
    """An outlier in one turn shows in the spread, not in the ratio."""
    row = compare("a / b", [[4.0, 4.0, 40.0]], [[2.0, 1.0, 2.0]], ">= 2")
    assert row.value == 2
    assert row.spread == (2, 20)
    assert row.met


def test_a_ratio_of_ratios_takes_all_its_parts():
    """The gain of one side over the gain of another."""
    assert compare("gains", [[8.0], [3.0]], [[4.0], [6.0]]).value == 1


def test_sides_take_turns_and_each_begins_once():
    """No side always runs first, after the same other one."""
    taken = [side for _, side in turns("abc", 3)]
    assert "".join(taken) == "abcbcacab"


def test_a_table_shows_value_spread_and_target(capsys: pytest.CaptureFixture[str]):
    """A reader sees at once what was missed."""
    rows = [compare("ours / script", [[1.2, 1.4]], [[1.0, 1.0]], "<= 1.0"), Row("peak", 0.5, "GB")]
    show(Result("night", "a night", "22 frames", rows))
    shown = capsys.readouterr().out
    assert "1.30" in shown
    assert "1.20 to 1.40" in shown
    assert "MISSED" in shown
    assert "0.50 GB" in shown


def test_results_are_written_for_machines(tmp_path: Path):
    """The file has the machine, and rows and figures of every benchmark by its name."""
    found = Result("night", "a night", "22 frames", [Row("a / b", 2.0)], {"runs": {"ours": [1.0]}})
    save([found], tmp_path / "figures.json")
    told = json.loads((tmp_path / "figures.json").read_text())
    assert told["machine"]["cores"] >= 1
    assert told["benchmarks"]["night"]["rows"][0]["value"] == 2
    assert told["benchmarks"]["night"]["figures"]["runs"] == {"ours": [1.0]}
