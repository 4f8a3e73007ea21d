"""Memo: what earlier runs of a night have done, by key, and what this run adds to it.

`Recollection` asks it before a task is made and tells it what came of one. It lies in the run's
folder, a line for each node, so that a driver that is killed leaves all but the last whole.
"""

from __future__ import annotations

import json
import logging
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypedDict

from mirar_dask.engine.remembered import Node, NotPlainError
from mirar_dask.engine.types import Mark
from mirar_dask.json_files import has_form, object_of
from mirar_dask.processors.base.outcome import Status

logger = logging.getLogger(__name__)

MEMO = "memo.jsonl"
"""Name of the file in a run's folder."""
_MASTER = "master"
_QUARANTINED = "quarantined"


class Memo:
    """The nodes of earlier runs, and those of this one.

    Parameters
    ----------
    night : Path
        Folder of the night's products.
    path : Path
        File for the nodes of this run.
    run : str
        Name of this run.
    earlier : sequence of Path
        Files of earlier runs, the newest first; none to do everything again.
    """

    def __init__(self, night: Path, path: Path, run: str, earlier: Sequence[Path] = ()) -> None:
        self.night, self.run = night, run
        self._lines: dict[str, list[dict[str, Any]]] = defaultdict(list)
        self._masters: dict[Path, Mark] = {}
        self.quarantined: set[str] = set()
        """Raw frames that killed their workers in an earlier run."""
        self._written: set[str] = set()
        """Keys that this run has in its file."""
        self.recalls_own = False
        """Whether what this run does is recalled by it too: it sees its frames again and again."""
        for file in earlier:
            self._load(file)
        self._file = path.open("a", encoding="utf-8", buffering=1)

    def _load(self, file: Path) -> None:
        """Take in the nodes of one run; a key that stands for two of its nodes tells nothing."""
        found: dict[str, dict[str, Any] | None] = {}
        for values in _read(file):
            if has_form(values, _MasterLine):
                path, *rest = values[_MASTER]
                self._masters.setdefault(self.night / path, Mark(self.night / path, *rest))
            elif has_form(values, _QuarantinedLine):
                self.quarantined.update(values[_QUARANTINED])
            elif has_form(values, _NodeLine):
                key = values["key"]
                found[key] = None if key in found else values
        for key, known in found.items():
            if known is not None and known not in self._lines[key]:  # later runs repeat it
                self._lines[key].append(known)

    @property
    def empty(self) -> bool:
        """Whether no earlier run has left anything."""
        return not self._lines

    def recall(self, key: str) -> Iterator[Node]:
        """Give what was done under a key, as far as all files behind it are as they were."""
        for values in self._lines.get(key, ()):
            try:
                node = Node.of_json(values, self.night)
            except Exception as error:  # Arrow, NumPy and the header each raise their own
                logger.debug("a line of an earlier run cannot be read: %s", error)
                continue
            if all(Mark.of(mark.path) == mark for mark in node.all_marks()):
                yield node

    def remember(self, node: Node) -> None:
        """Keep a node, unless a part of it has no form that lasts."""
        try:
            line = json.dumps(node.to_json(self.night), allow_nan=False)
        except (NotPlainError, ValueError) as error:
            logger.debug("not remembered: %s", error)
            return
        self._write(line)
        self._written.add(node.key)
        if self.recalls_own:
            self._lines[node.key] = [json.loads(line)]

    def remember_again(self, node: Node) -> None:
        """Keep a node of an earlier run in this one's file too: each is complete by itself."""
        if node.key not in self._written:
            self.remember(node)

    def remember_masters(self, marks: Iterable[Mark]) -> None:
        """Keep what masters are like that this run made."""
        for mark in marks:
            inside = mark.path.is_relative_to(self.night)
            name = str(mark.path.relative_to(self.night)) if inside else str(mark.path)
            values = {_MASTER: [name, mark.size, mark.mtime_ns, mark.inode]}
            self._write(json.dumps(values))

    def remember_quarantined(self, names: Iterable[str]) -> None:
        """Keep the names of raw frames that killed their workers each time."""
        self._write(json.dumps({_QUARANTINED: list(names)}))

    def altered_masters(self) -> list[Path]:
        """Masters of this night that are no longer what an earlier run made.

        What a memo says of other places is not taken for true: they are going to be removed.
        """
        found = []
        for path, mark in self._masters.items():
            if not _is_inside(path, self.night):
                continue
            now = Mark.of(path)
            if now is not None and now != mark:
                found.append(path)
        return found

    def _write(self, line: str) -> None:
        try:
            self._file.write(line + "\n")
        except OSError as error:  # what is not remembered is done again
            logger.warning("cannot keep what was done for a later run: %s", error)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._file.close()


class _MasterLine(TypedDict):
    master: tuple[str, int, int, int]


class _QuarantinedLine(TypedDict):
    quarantined: list[str]


class _NodeLine(TypedDict):
    key: str
    since: str
    passed: int
    blocks: list[Any] | None
    records: list[tuple[list[str], Status, str, str]]
    rows: list[tuple[int, list[Any]]]
    marks: list[tuple[str, int, int, int]]
    run: str


def _is_inside(path: Path, folder: Path) -> bool:
    """Tell whether a path leads to a file in a folder, or in one below it."""
    try:
        return path.resolve().is_relative_to(folder.resolve())
    except (OSError, RuntimeError, ValueError):  # links in circles; a NUL
        return False


def _read(file: Path) -> Iterator[dict[str, Any]]:
    """Give the lines of a file; one that was torn by a crash is passed over."""
    try:
        lines = file.open("rb")
    except OSError:
        return
    with lines:
        for line in lines:
            values = object_of(line)
            if values is not None:
                yield values
