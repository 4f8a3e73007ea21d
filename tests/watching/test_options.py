"""What is said of times, and when a night is over."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

from mirar_dask.errors import UsageError
from mirar_dask.watching.ending import NightEnd
from mirar_dask.watching.ledger import Entry, Ledger
from mirar_dask.watching.options import WatchOptions, read_moment, read_seconds
from mirar_dask.watching.sightings import FileMark

NOW = datetime(2026, 3, 14, 20, tzinfo=UTC)


@pytest.mark.parametrize("text", ["", "h", "2 weeks", "-1s", "1:30", "nan"])
def test_a_time_that_is_none_is_refused(text: str):
    """The option is named, and what is expected."""
    with pytest.raises(UsageError, match=r"--stable .*: expected a time such as 90s"):
        read_seconds(text, name="--stable")


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("20:01Z", "2026-03-14T20:01:00+00:00"),
        ("19:59Z", "2026-03-15T19:59:00+00:00"),
        ("2026-03-16T06:00:00+01:00", "2026-03-16T06:00:00+01:00"),
    ],
)
def test_an_hour_is_the_next_one_of_that_name(text: str, moment: str):
    """Also where it is the one of tomorrow; a date stands for itself."""
    assert read_moment(text, NOW).isoformat() == moment


@pytest.mark.parametrize("text", ["25:00", "dawn", "6", "2026-13-01T00:00"])
def test_a_moment_that_is_none_is_refused(text: str):
    """With examples of what is expected."""
    with pytest.raises(UsageError, match=r"--until .*: expected an hour such as 06:30"):
        read_moment(text, NOW)


def ledger(folder: Path, *ago: float) -> Ledger:
    found = Ledger(folder / "watch.jsonl")
    for number, seconds in enumerate(ago):
        found.note(Entry(f"{number}.fits", FileMark(1, 1, 1), time.time() - seconds))
    return found


def test_the_quiet_time_begins_with_the_last_frame(tmp_path: Path):
    """Not before the first one, not while something is under way; a restart does not delay it."""
    options = WatchOptions(quiet_after=100)
    nothing = ledger(tmp_path)
    assert NightEnd(options, nothing).why(busy=False) == ""
    nothing.close()
    with_frames = ledger(tmp_path, 500, 120)
    end = NightEnd(options, with_frames)
    assert end.why(busy=True) == ""
    assert "no frame came for 12" in end.why(busy=False)
    end.moved()
    assert end.why(busy=False) == ""
    with_frames.close()


def test_a_clock_that_was_set_back_does_not_end_the_night(tmp_path: Path):
    """Frames that seem to come from the future have come now."""
    future = ledger(tmp_path, -3600)
    assert NightEnd(WatchOptions(quiet_after=100), future).why(busy=False) == ""
    future.close()


def test_the_hour_is_kept_through_a_restart(tmp_path: Path):
    """A watch that is begun anew after the hour ends at once, and not a day later."""
    first = ledger(tmp_path)
    hour = f"{datetime.fromtimestamp(time.time() + 120, UTC):%H:%M}Z"
    options = WatchOptions(until=hour)
    until = NightEnd(options, first).until
    assert until is not None
    assert 0 < until - time.time() <= 120
    first.note_fact("until", time.time() - 60)
    assert NightEnd(options, first).why(busy=True) == f"it is {hour}"
    first.close()


def test_a_night_ends_some_hours_after_it_began(tmp_path: Path):
    """Whatever still comes."""
    old = ledger(tmp_path)
    old.note_fact("began", time.time() - 7300)
    assert NightEnd(WatchOptions(final_after=7200), old).why(busy=True) == "it began 2 hours ago"
    old.close()
