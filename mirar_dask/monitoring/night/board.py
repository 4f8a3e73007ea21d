"""The board of a night: rows of frames, and what became of them in each step.

`NightView` tells it what tasks and records say; it keeps the cells' figures right.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from mirar_dask.monitoring.night.parts import Cell, DoneTask, Frame, Row, Step
from mirar_dask.processors.base.outcome import Status

FAILURES = {Status.FAILED: "failed", Status.BLOCKED: "blocked", Status.LOST: "lost"}
RANK = (Status.SKIPPED, Status.SET_ASIDE, Status.BLOCKED, Status.FAILED, Status.LOST)
"""What a frame ended as; the last that is true counts."""
OTHERS = "other frames"
"""Row of the frames that the plan has in no batch and no master."""
AMONG = 512
"""So many tasks of a row are looked through for one that is known: more are never under way."""


class Board:
    """Frames in rows, and the cells of rows and steps."""

    def __init__(self) -> None:
        self.rev = 0
        """Rises with everything that is told; parts remember when they changed last."""
        self.steps: list[Step] = []
        self.rows: list[Row] = []
        self.frames: list[Frame] = []
        self.step_places: dict[str, int] = {}
        self.frame_places: dict[str, int] = {}
        self.row_places: dict[str, int] = {}

    # -- names --------------------------------------------------------------------------------

    def step_at(self, name: str) -> int:
        """Return the place of a step; one that is new comes last."""
        if name not in self.step_places:
            self.step_places[name] = len(self.steps)
            self.steps.append(Step(name, rev=self.rev))
        return self.step_places[name]

    def frame_at(self, name: str, row: int | None = None) -> int:
        """Return the place of a frame; one that is new joins a row, or the other frames."""
        place = self.frame_places.get(name)
        if place is None:
            if row is None:
                row = self.row_places.get(OTHERS)
                row = self.add_row(Row(OTHERS, "other")) if row is None else row
            place = self.frame_places[name] = len(self.frames)
            self.frames.append(Frame(name, ()))
            self.join(place, row)
        elif row is not None and row not in self.frames[place].rows:
            self.join(place, row)
        return place

    def join(self, place: int, row: int) -> None:
        """Put a frame into one more row."""
        frame = self.frames[place]
        # The steps of a late row are those of its tasks, so it is asked first.
        frame.rows = (row, *frame.rows) if self.rows[row].late else (*frame.rows, row)
        self.rows[row].frames[place] = None
        self.rows[row].rev = self.rev

    def row_at(self, rows: tuple[int, ...], step: int) -> int:
        """Return in which of its rows a frame passes a step."""
        if len(rows) > 1:
            for row in rows:
                if self.rows[row].steps >> step & 1:
                    return row
        return rows[-1]

    def add_row(self, row: Row) -> int:
        """Add a row; return its place."""
        row.rev = self.rev
        self.row_places[row.name] = len(self.rows)
        self.rows.append(row)
        return len(self.rows) - 1

    def row_named(self, name: str) -> int:
        """Return the place of a row; -1 if there is none of that name."""
        return self.row_places.get(name, -1)

    def row_of(self, batch: str, frames: Sequence[int], mask: int) -> int:
        """Return the row of a task, which its frames join; -1 if it names none."""
        if not batch:
            return -1
        if batch not in self.row_places:
            self.add_row(Row(batch, "batch", late=True))
        place = self.row_places[batch]
        self.widen(place, bits(mask))
        for frame in frames:
            rows = self.frames[frame].rows
            if place not in rows:
                self.join(frame, place)
            if self.rows[rows[-1]].kind == "other":
                self._leave_others(frame)
        return place

    def widen(self, row: int, steps: Iterable[int]) -> None:
        """Note that a task takes frames of a row through steps, where the plan did not know."""
        at = self.rows[row] if row >= 0 else None
        if at is not None and at.late:
            at.steps |= sum(1 << step for step in set(steps) if not at.steps >> step & 1)
            at.changed = self.rev

    def mask(self, label: str) -> int:
        """Return the steps that a task's label names, a bit each."""
        mask = 0
        for part in label.split("+"):
            place = self.step_places.get(part, self.step_places.get(part.rpartition(" ")[0]))
            mask |= 0 if place is None else 1 << place
        return mask

    # -- cells --------------------------------------------------------------------------------

    def cell(self, row: int, step: int) -> Cell:
        """Return a cell that is about to change."""
        at = self.rows[row]
        at.changed = self.rev
        cell = at.cells.get(step)
        if cell is None:
            cell = at.cells[step] = Cell()
        return cell

    def begin(self, frames: Sequence[int], mask: int, task: int, *, passes: bool) -> None:
        """Note that a task has begun that concerns frames in steps, or takes them through."""
        for place in frames if passes else ():
            # It is on its way once more: its worker died, or somebody else took it over.
            self._forget(self.frames[place], self.frames[place].passed & mask)
        for rows, n in self._by_rows(frames):
            for step in bits(mask):
                cell = self.cell(self.row_at(rows, step), step)
                cell.running += n
                cell.tasks.append(task)

    def leave(self, frames: Sequence[int], mask: int, *, lost: bool = False) -> None:
        """Note that a task is over, or went down with its worker."""
        for rows, n in self._by_rows(frames):
            for step in bits(mask):
                cell = self.cell(self.row_at(rows, step), step)
                cell.running = max(0, cell.running - n)
                cell.again += lost

    def let_pass(self, frames: Iterable[int], mask: int) -> None:
        """Count frames as passed in steps, but for those that had ended before."""
        found: Counter[tuple[tuple[int, ...], int]] = Counter()
        for place in frames:
            frame = self.frames[place]
            new = mask & ~frame.passed & _allowed(frame)
            if new:
                frame.passed |= new
                found[frame.rows, new] += 1
        for (rows, new), n in found.items():
            for step in bits(new):
                self.cell(self.row_at(rows, step), step).done += n

    def ends_in(self, place: int, mask: int) -> bool:
        """Tell whether a frame's way ends with a master that is made in steps."""
        rows = (self.rows[row] for row in self.frames[place].rows)
        return any(row.kind == "master" and row.steps & mask for row in rows)

    def spend(self, step: int, seconds: float, task: DoneTask) -> None:
        """Divide the seconds of a task in a step among the rows of its frames."""
        for rows, n in self._by_rows(task.frames):
            cell = self.cell(self.row_at(rows, step), step)
            cell.seconds += seconds * n / len(task.frames)
            if task.place not in cell.tasks[-AMONG:]:  # a step that its label does not name
                cell.tasks.append(task.place)

    def end(self, place: int, step: int | None, status: Status) -> None:
        """Note what became of a frame in a step; None where no step is to be blamed."""
        frame = self.frames[place]
        if status is Status.CAVEATS:
            frame.caveats = True
            if step is not None:
                self.cell(self.row_at(frame.rows, step), step).caveats += 1
            return
        if status not in RANK:
            return
        if frame.status is None or RANK.index(status) > RANK.index(frame.status):
            frame.status = status
        if step is None:
            return
        if status is Status.SKIPPED:
            self._skip(frame, step)
            return
        if frame.end is not None and frame.end < step:
            return  # such as a frame that failed, and is missed further on
        for row in frame.rows:
            self.rows[row].changed = self.rev  # it is expected there no more
        cell, word = self.cell(self.row_at(frame.rows, step), step), FAILURES.get(status, "aside")
        setattr(cell, word, getattr(cell, word) + 1)
        frame.end = step
        # It may have been counted as passed: a task ends before what it tells is told.
        self._forget(frame, frame.passed & ~_allowed(frame))

    def _skip(self, frame: Frame, step: int) -> None:
        """Count a frame as skipped in all steps that an earlier run had taken it through."""
        for place in range(step + 1):
            if not frame.passed >> place & 1 and self.steps[place].on_board:
                frame.passed |= 1 << place
                self.cell(self.row_at(frame.rows, place), place).skipped += 1

    def _forget(self, frame: Frame, mask: int) -> None:
        for step in bits(mask):
            cell = self.cell(self.row_at(frame.rows, step), step)
            cell.done = max(0, cell.done - 1)
        frame.passed &= ~mask

    def _by_rows(self, frames: Sequence[int]) -> Iterable[tuple[tuple[int, ...], int]]:
        return Counter(self.frames[place].rows for place in frames).items()

    def _leave_others(self, place: int) -> None:
        """Take a frame, which has a row of its own by now, out of that of the others."""
        frame = self.frames[place]
        passed, others = frame.passed, frame.rows[-1]
        self._forget(frame, passed)
        del self.rows[others].frames[place]
        self.rows[others].rev = self.rev
        frame.rows = frame.rows[:-1]
        self.let_pass([place], passed)


def _allowed(frame: Frame) -> int:
    """Return the steps that a frame can have passed, a bit each."""
    if frame.end is None:
        return -1
    return (1 << frame.end) - 1 if frame.status in FAILURES else (2 << frame.end) - 1


def bits(mask: int) -> Iterator[int]:
    """Yield the places of the bits that are set.

    Examples
    --------
    >>> list(bits(0b1010))
    [1, 3]
    """
    while mask > 0:
        low = mask & -mask
        yield low.bit_length() - 1
        mask ^= low
