"""TOML files of any content: settings, or one sentence that names the file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mirar_dask.alarms.settings import resolve_alarms
from mirar_dask.cluster.settings import resolve
from mirar_dask.errors import UsageError
from mirar_dask.pipelines.instrument import parse_instrument, read_instrument

from .junk import EDITS, altered, damaged

CONTENT: dict[str, Any] = {
    "name": "simcam",
    "header": {"exptime": ["EXPOSURE", "ITIME"], "filter": "WHEEL1 + WHEEL2", "gain": "EGAIN"},
    "defaults": {"gain": 1.5, "obsclass": "science"},
    "detector": {"gain": 1.5, "read_noise": 5.0, "saturation": 60000},
    "sections": {"overscan": "[1:32,1:2048]", "trim": "[33:2080,1:2048]"},
    "image_types": {"bias": ["Zero Frame"], "flat": "Sky Flat"},
    "groups": {"calibration": ["FILTER"], "stack": []},
    "steps": {"flat": {"missing": "skip"}, "stack": False, "bias": {"method": "median"}},
}
TEXT = b"""
name = "simcam"
[header]
exptime = ["EXPOSURE", "ITIME"]
[defaults]
gain = 1.5
[sections]
trim = "[33:2080,1:2048]"
[steps]
stack = false
[steps.flat]
missing = "skip"
[cluster]
kind = "local"
workers = 2
memory = "4GB"
options = { death_timeout = "60s" }
[alarms]
email = ["astronomer@example.org"]
smtp_port = 25
"""


@given(altered(CONTENT))
def test_an_instrument_of_any_content_is_one_or_an_error(content: Any) -> None:
    """Values of other types, unknown keys, tables in place of numbers."""
    if isinstance(content, dict):
        try:
            parse_instrument(content)
        except UsageError as error:
            assert str(error).startswith("instrument")


READERS: dict[str, Callable[[Path], object]] = {
    "instrument": read_instrument,
    "cluster": lambda path: resolve({}, config=path, environment={}),
    "alarms": lambda path: resolve_alarms(files=[path], environment={}),
}


@pytest.mark.parametrize("reader", READERS)
@given(content=st.binary(max_size=200) | EDITS.map(lambda edits: damaged(TEXT, edits)))
@example(content=b"x = " + b"[" * 5000)
@example(content=b"x = " + b"9" * 5000)
@example(content=b"[steps.flat]\nmissing = 1979-05-27T07:32:00Z")
@example(content=b"[cluster]\nworkers = nan\nmemory = -inf")
def test_a_file_of_any_bytes_is_settings_or_an_error(
    reader: str, content: bytes, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Damaged, or never meant to be TOML."""
    path = tmp_path_factory.getbasetemp() / "settings.toml"
    path.write_bytes(content)
    try:
        READERS[reader](path)
    except UsageError as error:
        assert str(error)
