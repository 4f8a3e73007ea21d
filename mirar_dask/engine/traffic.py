"""Traffic: which batches are on their way in each segment, and what they will bring to its end."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import Any

from mirar_dask.engine.batch_graph import BatchGraph


class Traffic:
    """The batches on their way, by segment."""

    def __init__(self) -> None:
        self._active: Counter[int] = Counter()
        self._graphs: dict[int, list[BatchGraph]] = defaultdict(list)

    def enter(self, segment: int) -> None:
        """Note that a batch is on its way."""
        self._active[segment] += 1

    def leave(self, segment: int) -> None:
        """Note that a batch has gone on, or is no more."""
        self._active[segment] -= 1

    def follow(self, graph: BatchGraph) -> None:
        """Keep the graph of a batch that is on its way."""
        self._graphs[graph.segment].append(graph)

    def leave_if_complete(self, graph: BatchGraph) -> None:
        """Note that a batch has gone on if all of its images have."""
        graphs = self._graphs[graph.segment]
        if graph.complete and graph in graphs:
            graphs.remove(graph)
            self.leave(graph.segment)

    def quiet(self, segment: int) -> bool:
        """Whether no batch is on its way in a segment."""
        return not self._active[segment]

    @property
    def over(self) -> bool:
        """Whether no batch is on its way anywhere."""
        return not any(self._active.values())

    def pending_keys(self, segment: int) -> set[Any] | None:
        """Keys, at the end of a segment, of what is on its way; None if not all are known."""
        graphs = self._graphs[segment]
        if len(graphs) != self._active[segment]:
            return None  # a batch step is under way: nobody knows what it will bring
        keys: set[Any] = set()
        for graph in graphs:
            found = graph.pending_keys()
            if found is None:
                return None
            keys |= found
        return keys
