"""RunBook: what a run has brought so far beside its batches, shared by all that keep its state."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field

from mirar_dask.engine.order import Order
from mirar_dask.engine.release import FileLedger
from mirar_dask.engine.types import Bunch, Rows
from mirar_dask.processors.base.outcome import Record, Row


@dataclass
class RunBook:
    """Records, rows of tables, and who needs which cache file."""

    records: list[Record] = field(default_factory=list)
    ledger: FileLedger = field(default_factory=FileLedger)
    _rows: list[tuple[int, Order, int, tuple[Row, ...]]] = field(default_factory=list)

    def hold(self, bunches: Iterable[Bunch]) -> None:
        """Note that the files behind batches are needed."""
        for bunch in bunches:
            for handle in bunch.members:
                self.ledger.hold(handle.files)

    def drop(self, bunches: Iterable[Bunch]) -> None:
        """Note that somebody no longer needs the files behind batches."""
        for bunch in bunches:
            for handle in bunch.members:
                self.ledger.drop(handle.files)

    def take_rows(self, rows: Rows, order: Order) -> None:
        """Keep rows, which belong to the batch with this place in the night."""
        for step, place, found in rows:
            self._rows.append((step, order, place, found))

    def tables(self) -> dict[int, list[Row]]:
        """Rows of the night's tables by step, in the order of their batches."""
        found: dict[int, list[Row]] = defaultdict(list)
        for step, _, _, rows in sorted(self._rows, key=lambda r: (r[0], r[1].key(), r[2])):
            found[step].extend(rows)
        return dict(found)
