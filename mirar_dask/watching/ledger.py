"""The ledger of a watched night: what became of each frame, kept in a file through restarts.

A line is added for each thing that happens, in the folder of the run that watches; the next one of
the same night begins with what the last one knew. `Follower` writes it, `summary_of` reads it.
"""

from __future__ import annotations

import json
import logging
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from enum import StrEnum
from pathlib import Path
from statistics import median
from typing import Any

from mirar_dask.atomic import replacing
from mirar_dask.errors import WriteError
from mirar_dask.monitoring.runs import run_folders
from mirar_dask.monitoring.watched import GLANCE, latency_text
from mirar_dask.watching.sightings import FileMark

logger = logging.getLogger(__name__)

LEDGER = "watch.jsonl"
"""The file, in the run's folder."""
FORMAT = 1


class Fate(StrEnum):
    """What became of a frame so far."""

    WAITING = "waiting"
    """For its turn, or for a calibration that is not there."""
    CALIBRATION = "calibration"
    """It was taken up among the night's calibration frames."""
    REDUCED = "reduced"
    SET_ASIDE = "set aside"
    FAILED = "failed"
    INCOMPLETE = "incomplete"
    GONE = "gone"
    """Its file was removed."""

    @property
    def settled(self) -> bool:
        """Whether nothing is to be done with the frame before the end of the night."""
        return self not in (Fate.WAITING, Fate.CALIBRATION)


@dataclass(frozen=True, slots=True)
class Entry:
    """What is known of one frame."""

    name: str
    mark: FileMark
    arrived: float
    """When its file was complete: seconds since the epoch."""
    fate: Fate = Fate.WAITING
    reason: str = ""
    """Why it waits or failed."""
    done: float | None = None
    """When its products were there: seconds since the epoch."""
    latency: float | None = None
    """Seconds from the complete file to the products, if the file came while it was watched."""
    dither: tuple[Any, ...] = ()
    """Its place in a set of dithers, as `dithers.Place` has it."""


@dataclass
class Ledger:
    """What is known of all frames.

    Parameters
    ----------
    path : Path
        Its file.
    """

    path: Path
    entries: dict[str, Entry] = field(default_factory=dict)
    stacked: list[tuple[str, ...]] = field(default_factory=list)
    """Frames of each set of dithers that was stacked."""
    facts: dict[str, Any] = field(default_factory=dict)
    """When the night began, when it ends, and what was reported."""

    def __post_init__(self) -> None:
        self._file = self.path.open("a", encoding="utf-8", buffering=1)

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def note(self, entry: Entry) -> None:
        """Keep what is known of a frame."""
        self.entries[entry.name] = entry
        self._write({"frame": asdict(entry)})

    def note_stack(self, names: tuple[str, ...]) -> None:
        """Keep that a set of dithers was stacked."""
        self.stacked.append(names)
        self._write({"stack": names})

    def note_fact(self, name: str, value: Any) -> None:
        """Keep something about the night as a whole."""
        self.facts[name] = value
        self._write({"fact": [name, value]})

    def take_over(self, earlier: Path) -> None:
        """Go on from the ledger of an earlier run."""
        for line in _lines(earlier):
            if "frame" in line:
                found = line["frame"]
                entry = Entry(
                    **{
                        **found,
                        "mark": FileMark(*found["mark"]),
                        "fate": Fate(found["fate"]),
                        "dither": _tuples(found["dither"]),
                    }
                )
                self.entries[entry.name] = entry
            elif "stack" in line:
                self.stacked.append(tuple(line["stack"]))
            elif "fact" in line:
                self.facts[line["fact"][0]] = line["fact"][1]
        for name, value in self.facts.items():
            self._write({"fact": [name, value]})
        for names in self.stacked:
            self._write({"stack": names})
        for entry in self.entries.values():
            self._write({"frame": asdict(entry)})

    def known(self, name: str, mark: FileMark) -> Entry | None:
        """Return what is known of a file, if it is as it was."""
        entry = self.entries.get(name)
        return entry if entry is not None and entry.mark == mark else None

    def change(self, name: str, **changes: Any) -> Entry:
        """Keep that something about a frame has changed."""
        entry = replace(self.entries[name], **changes)
        self.note(entry)
        return entry

    def _write(self, line: dict[str, Any]) -> None:
        try:
            self._file.write(json.dumps(line) + "\n")
        except OSError as error:  # a full disk; what is not known later is looked at again
            logger.warning("the state of the night cannot be kept: %s", error)


def _tuples(value: Any) -> Any:
    return tuple(map(_tuples, value)) if isinstance(value, list) else value


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    """Give the lines of a ledger; one that was torn by a crash is passed over."""
    with path.open(encoding="utf-8", errors="replace") as lines:
        for line in lines:
            try:
                values = json.loads(line)
            except ValueError:
                continue
            if isinstance(values, dict):
                yield values


def earlier_ledger(night: Path, run_id: str) -> Path | None:
    """Return the ledger of the last run that watched a night, but for one run."""
    found = (f / LEDGER for f in run_folders(night) if f.name != run_id)
    return next((path for path in found if path.is_file()), None)


# -- what it comes to -------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Latencies:
    """Seconds from complete files to their products."""

    number: int = 0
    median: float | None = None
    worst: float | None = None
    worst_frame: str = ""
    last: float | None = None

    def __str__(self) -> str:
        return latency_text(asdict(self))


def latencies(ledger: Ledger) -> Latencies:
    """Add up the latencies of the frames of a night."""
    measured = [e for e in ledger.entries.values() if e.latency is not None]
    if not measured:
        return Latencies()
    values = {e.name: float(e.latency or 0.0) for e in measured}
    worst = max(values, key=lambda name: values[name])
    last = max(measured, key=lambda e: e.done or 0.0)
    return Latencies(len(values), median(values.values()), values[worst], worst, values[last.name])


def glance(ledger: Ledger) -> dict[str, Any]:
    """Return how a night stands as values that JSON knows."""
    fates = Counter(entry.fate.value for entry in ledger.entries.values())
    entries = ledger.entries.values()
    waiting = [e for e in entries if e.fate is Fate.WAITING and e.reason]
    bad = [e for e in entries if e.fate in (Fate.FAILED, Fate.INCOMPLETE)]
    arrived = [e.arrived for e in entries if e.fate not in (Fate.GONE, Fate.INCOMPLETE)]
    return {
        "format": FORMAT,
        "frames": {fate.value: fates[fate.value] for fate in Fate if fates[fate.value]},
        "stacks": len(ledger.stacked),
        "last_arrival": max(arrived, default=None),
        "latency": asdict(latencies(ledger)),
        "waiting": {e.name: e.reason for e in waiting},
        "failed": {e.name: e.reason for e in bad},
        **ledger.facts,
    }


def save_glance(ledger: Ledger, **more: Any) -> None:
    """Write how a night stands beside its ledger, whole or not at all."""
    text = json.dumps({**glance(ledger), **more}, indent=1)
    try:
        with replacing(ledger.path.with_name(GLANCE)) as temporary:
            temporary.write_text(text + "\n", encoding="utf-8")
    except WriteError as error:
        logger.warning("%s", error)
