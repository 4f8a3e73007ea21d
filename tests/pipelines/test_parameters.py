"""Texts and values that users give for parameters become values of the declared types."""

from __future__ import annotations

import doctest
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import pytest

from mirar_dask.errors import UsageError
from mirar_dask.pipelines import parameters
from mirar_dask.pipelines.parameters import coerce, declared_type, default_of, describe
from mirar_dask.processors.bias import BiasCalibrator


@pytest.mark.parametrize(
    ("value", "kind", "expected"),
    [
        ("true", bool, True), ("off", bool, False), (1, bool, True), (False, bool, False),
        ("3", int, 3), (3.0, int, 3), ("2.5", float, 2.5), (2, float, 2.0), ("1e3", float, 1000.0),
        ("skip", Literal["fail", "skip"], "skip"), (2, Literal[1, 2], 2),
        ("none", float | None, None), ("3", float | None, 3.0), (None, int | None, None),
        ("r, g", list[str], ["r", "g"]), (["r"], Sequence[str], ["r"]),
        ("[1,2]", list[int], [1, 2]),
        ("a", str | list[str], ["a"]), (5, str, "5"), ("x/y", Path, Path("x/y")),
        ("anything", Any, "anything"),
    ],
)  # fmt: skip
def test_values_become_values_of_their_type(value: object, kind: Any, expected: object):
    """Text from the command line and values from TOML alike."""
    result = coerce(value, kind)
    assert result == expected
    assert type(result) is type(expected)


@pytest.mark.parametrize(
    ("value", "kind", "sentence"),
    [
        ("maybe", bool, "'maybe' is not true or false"),
        ("2.5", int, "'2.5' is not a whole number"),
        ("nan", float, "'nan' is not a number"),
        (True, int, "True is not a whole number"),
        ("x", Literal["fail", "skip"], "'x' is not 'fail' or 'skip'"),
        ("x", float | None, "'x' is not a number or none"),
        ({"a": 1}, list[str], "is not a list"),
    ],
)
def test_a_value_of_another_type_is_refused_in_words(value: object, kind: Any, sentence: str):
    """The message says what was found and what is expected."""
    with pytest.raises(UsageError, match=sentence):
        coerce(value, kind)


def test_a_parameter_that_a_parent_takes_is_found_there():
    """Constructors pass parameters on; types and defaults stand where they are taken."""
    assert describe(declared_type(BiasCalibrator, "missing")) == "'fail' or 'skip'"
    assert default_of(BiasCalibrator, "sigma") == 3.0
    with pytest.raises(KeyError, match="no parameter 'mising'"):
        declared_type(BiasCalibrator, "mising")


def test_the_examples_in_the_docstrings_hold():
    """Every docstring example of the module runs."""
    assert doctest.testmod(parameters).failed == 0
