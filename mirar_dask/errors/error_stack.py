"""All errors of a run, and their summaries as text and as a table."""

from __future__ import annotations

import csv
import io
import logging
from collections.abc import Iterable, Iterator
from pathlib import Path

from mirar_dask.errors.error_report import ErrorReport

logger = logging.getLogger(__name__)

TSV_COLUMNS = ("error_name", "image_paths")


class ErrorStack:
    """Error reports in the order in which they were added, critical and not.

    It is true if it holds any report, critical or not.

    Attributes
    ----------
    reports : list of ErrorReport
        Errors that dropped blocks.
    noncritical_reports : list of ErrorReport
        Errors in spite of which blocks went on.
    """

    def __init__(self, reports: Iterable[ErrorReport] | None = None) -> None:
        self.reports: list[ErrorReport] = []
        self.noncritical_reports: list[ErrorReport] = []
        for report in reports or ():
            self.add_report(report)

    @property
    def failed_images(self) -> list[str]:
        """Base names of all files that an error affected, sorted, each once."""
        return sorted({name for report in self for name in report.contents})

    def add_report(self, report: ErrorReport) -> None:
        """Add one report."""
        if report.non_critical_bool:
            self.noncritical_reports.append(report)
        else:
            self.reports.append(report)

    def get_all_reports(self) -> list[ErrorReport]:
        """Return the critical reports, then the noncritical ones."""
        return self.reports + self.noncritical_reports

    def __add__(self, other: ErrorStack) -> ErrorStack:
        if not isinstance(other, ErrorStack):
            return NotImplemented
        return ErrorStack([*self, *other])

    def __iadd__(self, other: ErrorStack) -> ErrorStack:
        if not isinstance(other, ErrorStack):
            return NotImplemented
        for report in other.get_all_reports():
            self.add_report(report)
        return self

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, ErrorStack):
            return NotImplemented
        return self._texts() == other._texts()

    __hash__ = None  # type: ignore[assignment]

    def _texts(self) -> list[str]:
        return [report.generate_full_traceback() for report in self]

    def __len__(self) -> int:
        return len(self.reports) + len(self.noncritical_reports)

    def __iter__(self) -> Iterator[ErrorReport]:
        return iter(self.get_all_reports())

    def __repr__(self) -> str:
        return (
            f"<ErrorStack of {len(self.reports)} errors "
            f"and {len(self.noncritical_reports)} noncritical ones>"
        )

    def summarise_error_stack(
        self, output_path: str | Path | None = None, verbose: bool = True
    ) -> str:
        """Summarise the errors as text, kinds of error first.

        Parameters
        ----------
        output_path : str or Path, optional
            Where to write the text too.
        verbose : bool
            Whether to list the affected images and give every traceback.
        """
        if self.reports:
            logger.error("Found %d errors caught by code.", len(self.reports))
        parts = [self._headline()]
        if len(self) == 0:
            parts.append("\nNo raised errors found in processing\n")
        else:
            parts += self._affected(verbose)
            parts.append("Summarising each error:\n\n")
            parts += self._kinds()
            if verbose:
                parts.append("\n")
                parts += [report.generate_full_traceback() for report in self]
        summary = "".join(parts)
        if output_path is not None:
            _write(Path(output_path), summary)
        return summary

    def summarise_error_stack_tsv(self, output_path: str | Path | None = None) -> str:
        """Summarise the errors as a table of tabs, one line an error, sorted.

        The columns are ``error_name`` and ``image_paths`` (base names, sorted, by commas).
        """
        rows = sorted((r.error_name, ",".join(sorted(r.contents))) for r in self)
        text = io.StringIO()
        writer = csv.writer(text, delimiter="\t", lineterminator="\n")
        writer.writerow(TSV_COLUMNS)
        writer.writerows(rows)
        if output_path is not None:
            _write(Path(output_path), text.getvalue())
        return text.getvalue()

    def _headline(self) -> str:
        from mirar_dask.paths import PACKAGE_NAME, __version__

        n_all = len(self.reports)
        n_known = sum(report.known_error_bool for report in self.reports)
        return (
            f"Error report summarising {n_all} errors.\n"
            f"Code version: {PACKAGE_NAME}=={__version__}\n\n"
            f"{n_all - n_known}/{n_all} errors were not raised by {PACKAGE_NAME}.\n"
            f"{n_known}/{n_all} errors were known errors raised by {PACKAGE_NAME}.\n"
            f"{len(self.noncritical_reports)} non-critical errors were raised besides.\n"
        )

    def _affected(self, verbose: bool) -> list[str]:
        failed = self.failed_images
        names = f"{failed}\n\n" if verbose else ""
        return [f"{len(failed)} images were affected by at least one error:\n", names]

    def _kinds(self) -> list[str]:
        """Return one paragraph for each kind of error, the most frequent first."""
        kinds: dict[str, list[ErrorReport]] = {}
        for report in self:
            kinds.setdefault(report.get_error_message(), []).append(report)
        paragraphs = []
        for members in sorted(kinds.values(), key=len, reverse=True):
            first = members[0]
            n_images = len({name for report in members for name in report.contents})
            paragraphs.append(
                f"Found {len(members)} counts of error {first.error_name}, affecting "
                f"{n_images} images:\n{first.get_error_line().strip()}\n"
                f"for example: {first.message}\n\n"
            )
        return paragraphs


def _write(path: Path, text: str) -> None:
    logger.info("Saving the summary of errors to %s", path)
    from mirar_dask.atomic import replacing  # which imports this package

    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as temporary:
        # A message may hold what UTF-8 cannot (a file name of another encoding).
        temporary.write_text(text, encoding="utf-8", errors="backslashreplace")
