"""All errors of a run and their summaries."""

from __future__ import annotations

import pickle

import pandas as pd
import pytest

from mirar_dask import __version__
from mirar_dask.errors import (
    ErrorReport,
    ErrorStack,
    NoncriticalProcessingError,
    ProcessorError,
    WriteError,
)


def report(error: Exception, *contents: str) -> ErrorReport:
    try:
        raise error
    except Exception as caught:
        return ErrorReport(caught, "flat", list(contents))


@pytest.fixture
def critical() -> ErrorReport:
    return report(ProcessorError("critical"), "b.fits", "a.fits")


@pytest.fixture
def noncritical() -> ErrorReport:
    return report(NoncriticalProcessingError("harmless"), "c.fits")


def test_critical_and_noncritical_reports_are_kept_apart(critical, noncritical):
    """Both count, and both have failed images."""
    stack = ErrorStack([noncritical, critical])
    assert stack.reports == [critical]
    assert stack.noncritical_reports == [noncritical]
    assert stack.get_all_reports() == list(stack) == [critical, noncritical]
    assert stack.failed_images == ["a.fits", "b.fits", "c.fits"]
    assert len(stack) == 2
    assert not ErrorStack()
    assert ErrorStack([noncritical])


def test_adding_makes_a_new_stack_and_keeps_noncritical_reports(critical, noncritical):
    """The sum of mirar changes its left side and loses noncritical reports of the right one."""
    left, right = ErrorStack([critical]), ErrorStack([noncritical])
    both = left + right
    assert both.get_all_reports() == [critical, noncritical]
    assert both.failed_images == ["a.fits", "b.fits", "c.fits"]
    assert (len(left), len(right)) == (1, 1)


def test_adding_in_place_keeps_noncritical_reports(critical, noncritical):
    """``stack += other`` is how an engine collects."""
    stack = same = ErrorStack([critical])
    stack += ErrorStack([noncritical])
    assert stack is same
    assert stack.noncritical_reports == [noncritical]
    stack += stack
    assert len(stack) == 4


def test_only_stacks_can_be_added(critical):
    """A list of reports is refused by Python's own error."""
    with pytest.raises(TypeError):
        _ = ErrorStack() + [critical]  # noqa: RUF005 (a sum that is refused)


def test_a_stack_survives_pickling(critical, noncritical):
    """It crosses processes with everything."""
    stack = ErrorStack([critical, noncritical])
    twin = pickle.loads(pickle.dumps(stack))
    assert twin.summarise_error_stack() == stack.summarise_error_stack()


def test_the_summary_counts_kinds_and_gives_tracebacks(critical, noncritical, tmp_path):
    """Headline, version, counts, kinds of error, and with verbose every traceback and file."""
    stack = ErrorStack([critical, noncritical, report(ValueError("unknown"), "d.fits")])
    path = tmp_path / "new folder" / "errors.txt"
    text = stack.summarise_error_stack(output_path=str(path), verbose=True)
    assert path.read_text() == text
    lines = text.splitlines()
    assert lines[0] == "Error report summarising 2 errors."
    assert lines[1] == f"Code version: mirar_dask=={__version__}"
    assert "1/2 errors were not raised by mirar_dask." in text
    assert "1/2 errors were known errors raised by mirar_dask." in text
    assert "1 non-critical errors were raised" in text
    assert "['a.fits', 'b.fits', 'c.fits', 'd.fits']" in text
    assert text.count("Traceback (most recent call last)") == 3


def test_the_short_summary_has_no_tracebacks(critical):
    """verbose=False leaves kinds and counts."""
    many = [report(ProcessorError(f"number {i}"), f"{i}.fits") for i in range(5)]
    text = ErrorStack([critical, *many]).summarise_error_stack(verbose=False)
    assert "Traceback" not in text
    assert "Found 6 counts of error ProcessorError, affecting 7 images" in text


def test_a_summary_without_errors_says_so(tmp_path):
    """A good night has a file too."""
    text = ErrorStack().summarise_error_stack(tmp_path / "errors.txt")
    assert text.startswith("Error report summarising 0 errors.\n")
    assert "No raised errors found" in text


def test_the_table_has_mirars_columns_and_is_sorted(critical, noncritical, tmp_path):
    """Columns error_name and image_paths, sorted, names joined by commas."""
    path = tmp_path / "errors.tsv"
    first = report(ProcessorError("x"), "a.fits")
    text = ErrorStack([critical, noncritical, first]).summarise_error_stack_tsv(path)
    assert path.read_text() == text
    table = pd.read_csv(path, sep="\t")
    assert list(table.columns) == ["error_name", "image_paths"]
    assert table.to_numpy().tolist() == [
        ["NoncriticalProcessingError", "c.fits"],
        ["ProcessorError", "a.fits"],
        ["ProcessorError", "a.fits,b.fits"],
    ]


def test_the_table_without_errors_has_its_header(tmp_path):
    """It can be read like any other."""
    path = tmp_path / "errors.tsv"
    ErrorStack().summarise_error_stack_tsv(path)
    assert list(pd.read_csv(path, sep="\t").columns) == ["error_name", "image_paths"]


def test_a_summary_that_cannot_be_written_is_one_clear_error(critical, tmp_path):
    """The folder is named."""
    (tmp_path / "errors.txt").mkdir()
    with pytest.raises(WriteError, match=r"cannot write .*errors.txt: there is a folder"):
        ErrorStack([critical]).summarise_error_stack(tmp_path / "errors.txt")


def test_messages_that_are_no_utf8_are_written_all_the_same(tmp_path):
    """File names of another encoding come as surrogates."""
    stack = ErrorStack([report(ValueError("bad name \udcff"), "x\udcff.fits")])
    stack.summarise_error_stack(tmp_path / "errors.txt")
    stack.summarise_error_stack_tsv(tmp_path / "errors.tsv")
    assert b"bad name" in (tmp_path / "errors.txt").read_bytes()
    assert b".fits" in (tmp_path / "errors.tsv").read_bytes()
