"""The table of the chaos suite: kinds of faults, nights, what was named as lost, what was wrong.

The suite adds the result of each trial and writes the table into a page of the documentation.
"""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

from mirar_dask.testing.chaos.trial import Result

BEGIN, END = "<!-- chaos table -->", "<!-- end of chaos table -->"
"""Lines of the page between which the table stands."""


class Table:
    """The results of trials."""

    def __init__(self) -> None:
        self._results: dict[str, list[Result]] = defaultdict(list)

    def add(self, result: Result) -> None:
        """Take in one more."""
        self._results[result.kind].append(result)

    def text(self) -> str:
        """Return the table in Markdown."""
        lines = [
            "| fault | nights | whole at once | when resumed | frames named | wrong | seconds |",
            "|---|---|---|---|---|---|---|",
        ]
        for kind, results in self._results.items():
            done = [result for result in results if not result.impossible]
            if not done:
                lines.append(f"| {kind} | 0 ({results[0].impossible}) | | | | | |")
                continue
            at_once = sum(len(result.exit_codes) == 1 for result in done)
            wrong = sum(bool(result.complaints) for result in done)
            seconds = sorted(result.seconds for result in done)
            lines.append(
                f"| {kind} | {len(done)} | {at_once} | {len(done) - at_once} | "
                f"{sum(result.lost for result in done)} | {wrong} | "
                f"{seconds[len(seconds) // 2]:.0f} (at most {seconds[-1]:.0f}) |"
            )
        return "\n".join(lines)

    def write(self, path: Path) -> None:
        """Put the table into a page, between its two marks."""
        before, _, rest = path.read_text(encoding="utf-8").partition(BEGIN)
        _, _, after = rest.partition(END)
        path.write_text(f"{before}{BEGIN}\n\n{self.text()}\n\n{END}{after}", encoding="utf-8")
