"""Reports of single errors."""

from __future__ import annotations

import gc
import pickle
import weakref
from pathlib import Path

import numpy as np
import pytest

from mirar_dask.errors import (
    ErrorReport,
    MissingCalibrationError,
    NoncriticalProcessingError,
    ProcessorError,
)


def raised(error: BaseException) -> BaseException:
    """Return the error as it is after it was raised here."""
    try:
        raise error
    except BaseException as caught:
        return caught


def call_everything(report: ErrorReport) -> list[str]:
    return [
        report.get_error_name(),
        report.get_error_message(),
        report.get_error_line(),
        report.message_known_error(),
        report.generate_log_message(),
        report.generate_full_traceback(),
        repr(report),
    ]


class BadStr(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text for you")

    __repr__ = __str__


class Uncopyable(Exception):
    def __init__(self, first, second):
        super().__init__("only one")
        self.lock = __import__("threading").Lock()


def test_a_report_names_step_files_error_and_line():
    """Everything that the night's report needs is in it."""
    report = ErrorReport(raised(ValueError("odd shape")), "flat", [Path("/raw/a.fits"), "b.fits"])
    assert report.processor_name == "flat"
    assert report.contents == ["a.fits", "b.fits"]
    assert report.get_error_name() == report.error_name == "ValueError"
    assert report.message == "odd shape"
    assert "in raised" in report.get_error_message()
    assert report.get_error_line() == report.get_error_message().split("\n")[0]
    text = report.generate_full_traceback()
    for part in ("Traceback (most recent call last)", "flat", "odd shape", "a.fits", "b.fits"):
        assert part in text
    assert report.t_error.utcoffset().total_seconds() == 0


@pytest.mark.parametrize(
    ("error", "known", "non_critical"),
    [
        (ProcessorError("x"), True, False),
        (MissingCalibrationError("x"), True, False),
        (NoncriticalProcessingError("x"), True, True),
        (ValueError("x"), False, False),
        (SystemExit(3), False, False),
    ],
)
def test_errors_raised_on_purpose_are_known(error, known, non_critical):
    """Known errors and noncritical ones are told by their class."""
    report = ErrorReport(raised(error), "step", [])
    assert (report.known_error_bool, report.non_critical_bool) == (known, non_critical)
    assert ("was not a known error" not in report.message_known_error()) == known


def test_a_report_survives_pickling_with_its_traceback():
    """Exceptions lose their traceback on the way to another process; a report does not."""
    report = ErrorReport(raised(ValueError("deep inside")), "step", ["a.fits"])
    twin = pickle.loads(pickle.dumps(report))
    assert twin.error is None
    assert call_everything(twin) == call_everything(report)
    assert "in raised" in twin.generate_full_traceback()


def test_the_error_of_a_report_is_there_in_its_own_process():
    """`isinstance(report.error, ...)` works as in mirar, and the error can be raised again."""
    report = ErrorReport(raised(ProcessorError("again")), "step", [])
    assert isinstance(report.error, ProcessorError)
    with pytest.raises(ProcessorError, match="again"):
        raise report.error


def test_an_error_that_was_never_raised_has_a_report():
    """Where there is no traceback, name and message stand in."""
    report = ErrorReport(ProcessorError("made, not raised"), "step", ["a.fits"])
    assert report.get_error_line() == "ProcessorError: made, not raised"
    assert "made, not raised" in report.generate_full_traceback()


@pytest.mark.parametrize("error", [BadStr(), Uncopyable(1, 2), KeyError(), Exception(BadStr())])
def test_rendering_never_raises(error):
    """Whatever an exception does when it is printed or copied, there is a report."""
    report = ErrorReport(raised(error), "step", ["a.fits"])
    assert all(isinstance(text, str) and text for text in call_everything(report))
    assert call_everything(pickle.loads(pickle.dumps(report))) == call_everything(report)


def test_a_missing_key_is_said_to_be_one():
    """``str(KeyError('FILTER'))`` is a quoted key, which says nothing by itself."""
    assert ErrorReport(raised(KeyError("FILTER")), "batch", []).message == "no key 'FILTER'"


def test_causes_are_part_of_the_traceback():
    """An error that was raised from another shows both."""
    try:
        try:
            raise ValueError("the cause")
        except ValueError as cause:
            raise ProcessorError("the effect") from cause
    except ProcessorError as error:
        report = ErrorReport(error, "step", [])
    assert "the cause" in report.traceback_text
    assert "the effect" in report.traceback_text


def test_a_huge_message_is_cut():
    """An array in a message does not fill the report."""
    report = ErrorReport(raised(ValueError("x" * 1_000_000)), "step", [])
    assert len(report.message) < 5000


def test_a_report_does_not_keep_the_images_of_its_traceback_alive():
    """Frames of a traceback hold local arrays, and tblib makes copies of errors keep them."""
    pickling_support = pytest.importorskip("tblib.pickling_support")
    pickling_support.install()

    class Watched(np.ndarray):
        pass

    def fail() -> weakref.ref:
        big = np.zeros(10).view(Watched)
        watch.append(weakref.ref(big))
        raise ValueError("with a big local")

    watch: list[weakref.ref] = []
    reports = []
    try:
        fail()
    except ValueError as error:
        reports.append(ErrorReport(error, "step", []))
    gc.collect()
    assert watch[0]() is None
    assert reports
