"""One disturbed night, from its beginning to the last check.

The night is reduced while its faults strike; what it leaves then is checked. Then the faults are
undone, the run is resumed if it did not do everything, and the night must be that of an
undisturbed run.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mirar_dask.testing.chaos import checks
from mirar_dask.testing.chaos.deeds import DEEDS, Deed, HostCut
from mirar_dask.testing.chaos.faults import Fault, draw
from mirar_dask.testing.chaos.stage import Stage
from mirar_dask.testing.products import contents

PATIENCE_SECONDS = 60.0
"""How long a moment is waited for: a run that makes no progress has it come all the same."""


@dataclass(frozen=True)
class Undisturbed:
    """The night when nothing happens to it."""

    raw: Path
    products: Mapping[str, Any]
    lines: int
    """Lines of its journal."""

    @classmethod
    def of(cls, raw: Path, folder: Path) -> Undisturbed:
        """Reduce a night in peace.

        Raises
        ------
        RuntimeError
            If that alone goes wrong.
        """
        stage = Stage(folder, raw)
        try:
            stage.start()
            code = stage.wait()
            if code != 0:
                raise RuntimeError(f"undisturbed, the night ends with {code}: {stage.said()}")
            return cls(raw, contents(stage.night), stage.lines())
        finally:
            stage.clear()


@dataclass
class Result:
    """What came of a trial."""

    kind: str
    seed: int
    faults: Sequence[Fault] = ()
    complaints: list[str] = field(default_factory=list)
    impossible: str | None = None
    """Why there was none."""
    exit_codes: list[int | None] = field(default_factory=list)
    """Of the run, and of those that went on with it."""
    seconds: float = 0.0
    lost: int = 0
    """Frames that the disturbed run named as failed, lost or blocked."""
    said: str = ""
    """What the driver said on the screen."""

    def __str__(self) -> str:
        what = "; ".join(self.complaints) or "all well"
        return f"{self.kind}, seed {self.seed} ({' '.join(map(str, self.faults))}): {what}"


def try_night(kind: str, seed: int, undisturbed: Undisturbed, folder: Path) -> Result:
    """Reduce a night while its faults strike, and check everything.

    Parameters
    ----------
    kind : str
        A name in `faults.KINDS`, or faults as they are written.
    seed : int
        What is left to chance.
    undisturbed : Undisturbed
        What the night should be like.
    folder : Path
        For everything; removed in the end.
    """
    faults = draw(kind, seed)
    result = Result(kind, seed, faults)
    chance = random.Random(f"{kind} {seed} deeds")
    words = dict.fromkeys(fault.word for fault in faults)
    for word in words:
        result.impossible = result.impossible or DEEDS[word].impossible()  # type: ignore[union-attr]
    if result.impossible:
        return result
    deeds = {word: DEEDS[word](chance) for word in words}
    stage = Stage(folder, undisturbed.raw)
    began = time.monotonic()
    try:
        for deed in deeds.values():
            deed.prepare(stage)
        _disturb(stage, faults, deeds, undisturbed, result)
        _go_on(stage, deeds, undisturbed, result)
    finally:
        result.seconds, result.said = time.monotonic() - began, stage.said()
        for deed in deeds.values():
            deed.undo(stage)
        stage.clear()
        for deed in deeds.values():
            if isinstance(deed, HostCut):
                deed.network.remove()
    return result


def _disturb(
    stage: Stage,
    faults: Sequence[Fault],
    deeds: Mapping[str, Deed],
    undisturbed: Undisturbed,
    result: Result,
) -> None:
    """Run the night with its faults, and check what it leaves."""
    threads = [
        threading.Thread(target=_strike, args=(stage, fault, deeds[fault.word], undisturbed))
        for fault in faults
    ]
    stage.start()
    for thread in threads:
        thread.start()
    code = stage.wait()
    for thread in threads:
        thread.join()
    result.exit_codes.append(code)
    killed = any(deed.kills_driver for deed in deeds.values())
    result.complaints += checks.ended(code, killed=killed) + checks.speech(stage)
    result.complaints += checks.processes(stage)
    result.complaints += checks.products(stage, undisturbed.products)
    kept = any(deed.keeps_files for deed in deeds.values())
    if not kept and not (killed and code == -9):
        result.complaints += checks.files(stage)
    if code == 0:
        result.complaints += checks.whole(stage, undisturbed.products)
    result.lost = _named(stage)


def _strike(stage: Stage, fault: Fault, deed: Deed, undisturbed: Undisturbed) -> None:
    end = time.monotonic() + PATIENCE_SECONDS
    wanted = fault.when * undisturbed.lines
    while stage.lines() < wanted and not stage.over and time.monotonic() < end:
        time.sleep(0.01)
    if stage.over:
        return
    deed.strike(stage)
    if fault.lasts is None:
        return
    end = time.monotonic() + fault.lasts
    while time.monotonic() < end and not stage.over:
        time.sleep(0.02)
    deed.undo(stage)


def _go_on(
    stage: Stage, deeds: Mapping[str, Deed], undisturbed: Undisturbed, result: Result
) -> None:
    """Undo the faults, resume the run unless it did everything, and check again."""
    for deed in deeds.values():
        deed.undo(stage)
    if result.exit_codes[-1] == 0:
        return
    if not any((run / "request.json").exists() for run in stage.runs):
        stage.start()  # it had not come so far that it could be resumed
    else:
        stage.start("resume", "last", "--out", stage.out)
    code = stage.wait()
    result.exit_codes.append(code)
    result.complaints += checks.ended(code, killed=False)
    if code != 0:
        result.complaints.append(f"resumed, when all was well again, it ended with {code}")
    result.complaints += checks.speech(stage) + checks.processes(stage)
    if any(deed.kills_driver for deed in deeds.values()):
        stage.clean()
    result.complaints += checks.whole(stage, undisturbed.products) + checks.files(stage)


def _named(stage: Stage) -> int:
    summary = checks.newest_summary(stage)
    counts = {} if summary is None else summary["counts"]
    return sum(counts.get(status, 0) for status in ("failed", "lost", "blocked"))
