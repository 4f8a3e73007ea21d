"""The work of a run that watches: takes frames as they come, and reduces what can be reduced.

`run_request` gives it the cluster, which stays up as long as it works. What it does with each group
of frames is a run of the same engine on a few of the night's frames.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace

from mirar_dask.engine.plan import Plan
from mirar_dask.engine.types import Engine, RunResult, RunSettings
from mirar_dask.execution import Progress
from mirar_dask.io import base_name
from mirar_dask.monitoring.console import plural
from mirar_dask.monitoring.run_folder import folder_of
from mirar_dask.monitoring.state import FAILURES
from mirar_dask.processors.base.outcome import Record, Status
from mirar_dask.request import Request
from mirar_dask.watching.dithers import Dithers
from mirar_dask.watching.ending import NightEnd
from mirar_dask.watching.frames import Frame
from mirar_dask.watching.hearing import GOOD, Hearing
from mirar_dask.watching.ledger import (
    LEDGER,
    Entry,
    Fate,
    Ledger,
    earlier_ledger,
    save_glance,
)
from mirar_dask.watching.observer import Observer, examine
from mirar_dask.watching.options import WatchOptions
from mirar_dask.watching.report import done_text
from mirar_dask.watching.sightings import Arrival, Gone, Incomplete, News, Sightings
from mirar_dask.watching.small_runs import SmallRuns, what_became
from mirar_dask.watching.waiting import Waiting, names_text, sorts_text

LARGEST_GROUP = 64
"""Frames of one small run at most, so that the last to come does not wait for all the others."""
TRIES = 3
"""How often a frame is tried whose workers died."""
TURN = 0.5
"""Seconds after which the clock is looked at where nothing happens."""
DONE_WITH = {Fate.REDUCED: Status.SKIPPED, Fate.SET_ASIDE: Status.SET_ASIDE}
"""What frames are to a run that need not look at them, since an earlier one did."""
ARRIVAL = "arrival"
"""Named as the step in which a file failed that never became a frame."""

Say = Callable[[str], None]


class Follower:
    """Follows the folder of a night until the night is over.

    Parameters
    ----------
    options : WatchOptions
        How.
    say : callable
        Told, in a sentence, what has happened.
    midway : callable, optional
        Given the ledger, reports how the night stands, once.
    """

    def __init__(
        self,
        options: WatchOptions,
        say: Say = lambda text: None,
        midway: Callable[[Ledger], None] | None = None,
    ) -> None:
        self.options, self.say, self.midway = options, say, midway
        self.dithers = Dithers(options.dithers_after)
        self.waiting = Waiting(options.calibrations_after)
        self.tries: dict[str, int] = {}
        self.owners: dict[str, str] = {}
        """File behind each name of an image."""
        self.over = ""
        """Why the night is over."""

    # -- the work of a run --------------------------------------------------------------------

    def __call__(
        self,
        engine: Engine,
        request: Request,
        settings: RunSettings,
        progress: Progress,
        plan: Plan,
    ) -> None:
        """Watch, on a cluster, until the night is over; see `mirar_dask.execution.Work`."""
        options, self.progress = self.options, progress
        self.hearing = Hearing(settings.listeners, progress)
        self.stopping = settings.stopping
        if settings.memo is not None:
            settings.memo.recalls_own = True
        heard = replace(settings, listeners=(self.hearing,))
        self.runs = SmallRuns(engine, request, heard, options.realtime)
        self.began = time.time()
        self.ledger = Ledger(folder_of(request.folders.output, settings.run_id) / LEDGER)
        earlier = earlier_ledger(request.folders.output, settings.run_id)
        if earlier is not None:
            self.ledger.take_over(earlier)
        self.stacked = {name for names in self.ledger.stacked for name in names}
        self.end = NightEnd(options, self.ledger)
        raw = request.folders.raw
        sightings = Sightings(
            examine(raw),
            stable=options.stable,
            give_up=options.incomplete_after,
            endless=options.endless_after,
        )
        try:
            with Observer(raw, sightings, options.observe, options.interval) as self.observer:
                observer = self.observer
                self.say(f"watching {raw} by {observer.means} ({observer.why})")
                observer.looked.wait()
                self._follow()
        finally:
            self._save()
            self.ledger.close()
            self.hearing.sum_up(
                Record((name,), Status.BLOCKED, "watch", self.ledger.entries[name].reason)
                for name in self.waiting.lacking
            )

    def _follow(self) -> None:
        patience = 0.0
        while True:
            self._take(self.observer.gather(patience))
            self._report_midway()
            self.over = self._why_over()
            if self.over:
                self.say(f"the night is over: {self.over}")
                return
            self._take_up_calibrations()
            patience = 0.0 if self._reduce_due() else TURN

    # -- what came ----------------------------------------------------------------------------

    def _take(self, news: Sequence[News]) -> None:
        arrivals: dict[str, Arrival] = {}
        gone: list[str] = []
        for one in news:
            if isinstance(one, Gone):
                arrivals.pop(one.name, None)
                gone.append(one.name)
                self._forget(one.name)
            elif isinstance(one, Incomplete):
                self._give_up(one)
            elif not self._recognise(one):
                arrivals[one.name] = one
        if gone:
            self.say(f"{names_text(gone)} removed")
        if any(self.ledger.known(one.name, one.mark) is None for one in arrivals.values()):
            self.end.moved()
        if arrivals:
            for frame in self.runs.read(arrivals.values()):
                self._sort_in(frame)
            self._save()

    def _recognise(self, arrival: Arrival) -> bool:
        """Whether an earlier run knew a frame, and is done with it; what failed is tried again."""
        name = arrival.name
        known = self.ledger.known(name, arrival.mark)
        if known is None or known.fate not in DONE_WITH:
            return False
        self.progress.frames[name] = DONE_WITH[known.fate]
        # Of a set that is not stacked, the header is needed once more.
        again = bool(known.dither) and name not in self.stacked
        return self.owners.setdefault(base_name(name), name) != name or not again

    def _sort_in(self, frame: Frame) -> None:
        name, arrival = frame.name, frame.arrival
        known = self.ledger.known(name, arrival.mark)
        dither = () if frame.place is None else (*frame.place.key, frame.place.number)
        entry = Entry(name, arrival.mark, arrival.arrived, dither=dither)
        self.waiting.drop(name)
        self.hearing.tell(frame.records)
        owner = self.owners.setdefault(base_name(name), name)
        if owner != name:
            reason = f"has the name of {owner}, whose products it would replace; remove one of them"
            self._fail(entry, Record((name,), Status.FAILED, ARRIVAL, reason))
        elif frame.failure is not None:
            self._fail(entry, frame.failure)
        elif not frame.kind:
            aside = next((r.reason for r in frame.records if r.status is Status.SET_ASIDE), "")
            self.ledger.note(replace(entry, fate=Fate.SET_ASIDE, reason=aside))
            self.progress.frames[name] = Status.SET_ASIDE
        elif known is not None and known.fate is Fate.REDUCED:
            self._arrive_in_set(frame, known.arrived)
        elif frame.is_calibration:
            self.ledger.note(replace(entry, fate=Fate.CALIBRATION))
            self.waiting.pending[name] = frame
        else:
            self.ledger.note(entry)
            self.waiting.due[name] = frame

    def _forget(self, name: str) -> None:
        self.waiting.drop(name)
        if self.owners.get(base_name(name)) == name:
            del self.owners[base_name(name)]
        known = self.ledger.entries.get(name)
        if known is None:
            return
        # What was reduced stays reduced: perhaps the folder is away for a while only.
        if not known.fate.settled:
            self.ledger.change(name, fate=Fate.GONE, reason="its file was removed")
            self.progress.frames.pop(name, None)

    def _give_up(self, file: Incomplete) -> None:
        self.waiting.drop(file.name)
        record = Record((file.name,), Status.FAILED, ARRIVAL, file.reason)
        entry = Entry(file.name, file.mark, time.time(), Fate.INCOMPLETE, file.reason)
        if self.ledger.known(file.name, file.mark) is None:
            self.end.moved()
        self.ledger.note(entry)
        self.hearing.fail(record)
        self._save()

    def _fail(self, entry: Entry, record: Record) -> None:
        self.ledger.note(replace(entry, fate=Fate.FAILED, reason=record.reason))
        self.hearing.fail(record)

    def _take_up_calibrations(self) -> None:
        taken = self.waiting.take_up(time.time())
        if not taken:
            return
        for frame in taken:
            self.progress.frames.setdefault(frame.name, Status.SET_ASIDE)
        self.say(f"{sorts_text(taken)} taken up")
        if not self.waiting.due:  # masters that are there already keep no frame waiting
            self.runs.reduce(self.waiting.taken.values(), [])

    # -- what is done -------------------------------------------------------------------------

    def _reduce_due(self) -> bool:
        """Reduce a group of frames, or a set of dithers; False if nothing is due."""
        if self.waiting.due:
            group = self.waiting.next_group(LARGEST_GROUP)
            self._settle(group, self.runs.reduce(self.waiting.taken.values(), group))
            self._save()
            return True
        sets = self.dithers.due(time.time())
        for one in sets:
            frames = self.waiting.release(one.names)
            if frames:
                self._stack(frames, complete=one.complete)
        return bool(sets)

    def _settle(self, group: Sequence[Frame], result: RunResult | Record) -> None:
        """Write down what became of a group."""
        if isinstance(result, Record):
            self.hearing.fail(result)
        else:
            self.progress.reducing += result.phases["reduce"]
        done: list[Entry] = []
        for frame, status, reason in what_became(group, result):
            name = frame.name
            if status is Status.BLOCKED:
                self.waiting.lacking[name] = frame
                self.ledger.change(name, reason=reason)
            elif status is Status.LOST and self._try_again(name):
                self.waiting.due[name] = frame
            elif status in GOOD:
                done.append(self._note_done(name))
                self._arrive_in_set(frame, time.time())
            elif status is Status.SET_ASIDE:
                self.ledger.change(name, fate=Fate.SET_ASIDE)
            else:
                self.ledger.change(name, fate=Fate.FAILED, reason=reason)
                self._arrive_in_set(frame, time.time(), good=False)
            self.progress.frames[name] = status
        if done:
            self.say(done_text(done, self.ledger))
        if lacking := [frame.name for frame in group if frame.name in self.waiting.lacking]:
            self.say(f"{names_text(lacking)} waiting: {self.ledger.entries[lacking[0]].reason}")

    def _note_done(self, name: str) -> Entry:
        entry = self.ledger.entries[name]
        now = self.hearing.finished(name)
        since = max(entry.arrived, self.began)
        return self.ledger.change(
            name, fate=Fate.REDUCED, reason="", done=now, latency=max(0.0, now - since)
        )

    def _try_again(self, name: str) -> bool:
        self.tries[name] = self.tries.get(name, 0) + 1
        return self.tries[name] < TRIES

    def _arrive_in_set(self, frame: Frame, when: float, *, good: bool = True) -> None:
        place = frame.place
        if place is None or frame.name in self.stacked or not self.runs.stacks:
            return
        if good:
            self.waiting.held[frame.name] = frame
        self.dithers.add(frame.name, place, when, good=good)

    def _stack(self, frames: Sequence[Frame], *, complete: bool) -> None:
        """Take a set through the steps that look at its frames together."""
        names = tuple(frame.name for frame in frames)
        began = time.time()
        result = self.runs.reduce(self.waiting.taken.values(), frames, together=True)
        self.stacked.update(names)
        self.ledger.note_stack(names)
        records = (result,) if isinstance(result, Record) else result.records
        bad = [record for record in records if record.status in FAILURES]
        what = f"set of {plural(len(frames), 'dither')} ({names[0]})"
        if not complete:
            what += f" of {frames[0].place.of if frames[0].place else '?'}"
        took = f"{time.time() - began:.1f} s"
        self.say(f"{what}: {'failed: ' + bad[0].reason if bad else f'stacked in {took}'}")
        self._save()

    # -- when it is over ----------------------------------------------------------------------

    def _why_over(self) -> str:
        reason = self.stopping() if self.stopping else None
        due = bool(self.waiting.due) or self.dithers.is_due(time.time())
        return reason or self.end.why(busy=due or not self.observer.quiet)

    def _report_midway(self) -> None:
        facts = self.ledger.facts
        if facts.get("midway") or self.midway is None:
            return
        if self.end.age >= self.options.midway_after:
            self.ledger.note_fact("midway", time.time())
            self.midway(self.ledger)

    # -- what is told

    def _save(self) -> None:
        observer = self.observer
        save_glance(
            self.ledger,
            by=observer.means,
            updated=time.time(),
            over=self.over,
            sets_waiting=self.dithers.waiting,
            quiet_after=self.options.quiet_after,
            until=self.end.until,
        )
