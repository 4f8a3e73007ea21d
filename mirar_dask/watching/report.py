"""What is reported of a watched night before it is over: a page of text."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

from mirar_dask.alarms import notice_of_progress, tell
from mirar_dask.monitoring.console import plural
from mirar_dask.request import Request
from mirar_dask.watching.ledger import Entry, Fate, Ledger, glance, latencies
from mirar_dask.watching.waiting import names_text

MIDWAY = "midway.txt"
"""The page, in the folder of the run that watches."""
SHOWN = 20
"""Frames that failed or wait, of which the page tells one by one."""


def report_text(ledger: Ledger, title: str) -> str:
    """Say on a page how a night stands.

    Parameters
    ----------
    ledger : Ledger
        Of the night.
    title : str
        Pipeline and night.
    """
    found = glance(ledger)
    began = datetime.fromtimestamp(float(found.get("began", time.time())), UTC)
    fates = ", ".join(f"{n} {fate}" for fate, n in found["frames"].items()) or "none"
    lines = [
        f"{title}: watched since {began:%Y-%m-%d %H:%M} UTC",
        f"frames   {sum(found['frames'].values())} ({fates})",
        f"stacks   {plural(found['stacks'], 'set')} of dithers",
        f"latency  {latencies(ledger)}",
    ]
    if found["last_arrival"]:
        last = datetime.fromtimestamp(found["last_arrival"], UTC)
        lines.append(f"last     frame came at {last:%Y-%m-%d %H:%M:%S} UTC")
    for what, fates_of in (
        ("failed", (Fate.FAILED, Fate.INCOMPLETE)),
        ("waiting", (Fate.WAITING,)),
    ):
        entries = [e for e in ledger.entries.values() if e.fate in fates_of and e.reason]
        lines += [f"{what}: {e.name}: {e.reason}" for e in entries[:SHOWN]]
        if len(entries) > SHOWN:
            lines.append(f"{what}: and {len(entries) - SHOWN} more")
    return "\n".join(lines) + "\n"


def done_text(done: Sequence[Entry], ledger: Ledger) -> str:
    """Say that frames were reduced, how long after their files, and how it was so far."""
    worst = max(entry.latency or 0.0 for entry in done)
    so_far = latencies(ledger)
    names = names_text([entry.name for entry in done])
    return f"{names} reduced after {worst:.1f} s; so far {so_far.number}: {so_far}"


class Midway:
    """Reports once how a night stands: in a file, and to whoever is told of the night's end.

    Parameters
    ----------
    request : Request
        Of the night.
    say : callable
        Told where the report is.
    """

    def __init__(self, request: Request, say: Callable[[str], None]) -> None:
        self.request, self.say = request, say

    def __call__(self, ledger: Ledger) -> None:
        """Write the report."""
        path = ledger.path.with_name(MIDWAY)
        path.write_text(report_text(ledger, self.request.title), encoding="utf-8")
        self.say(f"midway report: {path}")
        alarms = self.request.settings.resolve_alarms()
        if alarms.any:
            fates = ", ".join(f"{n} {fate}" for fate, n in glance(ledger)["frames"].items())
            why = f"{fates or 'no frames'}; latency: {latencies(ledger)}"
            notice = notice_of_progress(path.parent, state="midway", why=why)
            for trouble in tell(alarms, notice):
                self.say(trouble)
