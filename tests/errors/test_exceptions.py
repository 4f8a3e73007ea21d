"""The tree of exceptions: what a caller may catch."""

from __future__ import annotations

import pickle

import pytest

from mirar_dask import errors


@pytest.mark.parametrize(
    ("error", "bases"),
    [
        (errors.UsageError, (errors.MirarDaskError, ValueError)),
        (errors.NothingToDoError, (errors.MirarDaskError,)),
        (errors.ProcessorError, (errors.BaseProcessorError,)),
        (errors.NoncriticalProcessingError, (errors.BaseProcessorError,)),
        (errors.ImageNotFoundError, (errors.ProcessorError, FileNotFoundError)),
        (errors.MissingCalibrationError, (errors.ImageNotFoundError,)),
        (errors.InvalidFitsError, (errors.ProcessorError, OSError)),
        (errors.FileChangedError, (errors.ProcessorError, OSError)),
        (errors.WriteError, (errors.ProcessorError, OSError)),
        (errors.ShapeMismatchError, (errors.ProcessorError, ValueError)),
    ],
)
def test_each_error_derives_from_ours_and_from_the_builtin_that_a_caller_expects(error, bases):
    """``except OSError`` catches what concerns files, and so on."""
    assert issubclass(error, errors.MirarDaskError)
    for base in bases:
        assert issubclass(error, base)


def test_a_noncritical_error_is_not_a_critical_one():
    """Code that catches ProcessorError leaves noncritical errors to others."""
    assert not issubclass(errors.NoncriticalProcessingError, errors.ProcessorError)
    assert not issubclass(errors.UsageError, errors.BaseProcessorError)


@pytest.mark.parametrize("error", [errors.UsageError, errors.ImageNotFoundError, errors.WriteError])
def test_errors_survive_pickling_with_their_message(error):
    """They cross processes."""
    assert str(pickle.loads(pickle.dumps(error("a reason")))) == "a reason"
