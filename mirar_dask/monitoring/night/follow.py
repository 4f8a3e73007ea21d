"""Follows the folder of one run, going on or over: what is new in it goes into a `NightView`.

Safe to be asked by several threads: one reads, the others wait for it.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mirar_dask.monitoring import forms
from mirar_dask.monitoring.heartbeat import read_sign
from mirar_dask.monitoring.job_file import read_job
from mirar_dask.monitoring.night import detail
from mirar_dask.monitoring.night.payload import everything, payload
from mirar_dask.monitoring.night.tail import JournalTail
from mirar_dask.monitoring.night.view import NightView
from mirar_dask.monitoring.run_folder import JOURNAL, PLAN, SUMMARY
from mirar_dask.monitoring.standing import State, decide

LARGEST_PLAN = 1 << 28
"""Bytes of the largest plan that is read."""


class RunFollower:
    """A run as its folder shows it.

    Parameters
    ----------
    folder : Path
        The run's own folder.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._lock = threading.Lock()
        self._begin()

    def _begin(self) -> None:
        self.view = NightView()
        self.epoch = secrets.token_hex(4)
        """Changes when everything that was told before is void."""
        self._tail = JournalTail(self.folder / JOURNAL)
        self._planned = False

    @property
    def output(self) -> Path:
        """Folder of the night's products."""
        return self.folder.parent.parent

    def refresh(self) -> NightView:
        """Take in what is new, and return the night."""
        with self._lock:
            return self._refresh()

    def changes(self, epoch: str = "", since: int = 0) -> dict[str, Any]:
        """Return what is new since an earlier answer; everything if that was another epoch's."""
        with self._lock:
            view = self._refresh()
            state, why = run_state(self.folder)
            known = since if epoch == self.epoch and 0 <= since <= view.rev else 0
            found = payload(view, known, now=None if state.over else time.time())
            found["epoch"] = self.epoch
            found["head"].update(self._where(state, why))
            return found

    def under_way(self) -> dict[int, int]:
        """Return the number of frames of each task under way, by its number."""
        with self._lock:
            view = self.view
            return {number: len(view.tasks[at].frames) for number, at in view.open.items()}

    def everything(self) -> dict[str, Any]:
        """Return all that a page without a server shows of the run."""
        with self._lock:
            view = self._refresh()
            found = everything(view)
            found["head"].update(self._where(*run_state(self.folder)))
            found["failed"] = [
                detail.failure_detail(view, number, self._tail.line_at)
                for number in range(len(view.failures))
            ]
            return found

    def cell(self, row: int, step: int) -> dict[str, Any]:
        """Return what stands behind a cell."""
        with self._lock:
            return detail.cell_detail(self._refresh(), row, step, self._tail.line_at)

    def task(self, number: int) -> dict[str, Any]:
        """Return all that is known of a task."""
        with self._lock:
            return detail.task_detail(self._refresh(), number, self._tail.line_at)

    def failure(self, number: int, start: int = 0) -> dict[str, Any]:
        """Return failures of one kind."""
        with self._lock:
            return detail.failure_detail(self._refresh(), number, self._tail.line_at, start=start)

    def frame(self, name: str) -> dict[str, Any]:
        """Return what became of a frame."""
        with self._lock:
            return detail.frame_detail(self._refresh(), name, self._tail.line_at)

    def _refresh(self) -> NightView:
        if not self._planned and (plan := read_plan(self.folder)) is not None:
            self.view.use_plan(plan)
            self._planned = True
        self.view.take(self._tail)
        if self._tail.began_anew:
            self._begin()
            return self._refresh()
        return self.view

    def _where(self, state: State, why: str) -> dict[str, Any]:
        return {
            "run_id": self.folder.name,
            "pipeline": self.output.parent.name,
            "night": self.output.name,
            "state": state.value,
            "over": state.over,
            "why": why,
            "folder": str(self.folder),
            "output": str(self.output),
            "now": time.time(),
        }


def run_state(folder: Path) -> tuple[State, str]:
    """Tell what a run is doing, without a look into its journal, and what says so."""
    sign, job = read_sign(folder), read_job(folder)
    now = time.time()
    return decide(
        sign=sign,
        job=job,
        told=None,
        begun=(folder / JOURNAL).exists(),
        over=(folder / SUMMARY).exists(),
        alive=sign is not None and sign.alive(now),
        now=now,
    )


def read_plan(folder: Path) -> Mapping[str, Any] | None:
    """Read the plan of a run; None while it is not there, or half there."""
    path = folder / PLAN
    try:
        if path.stat().st_size > LARGEST_PLAN:
            return None
        return forms.read_plan(folder)
    except OSError:
        return None
