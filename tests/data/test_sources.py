"""Tables of sources: metadata, handles, and astropy's form."""

from __future__ import annotations

import copy
import pickle
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
from astropy import units as u
from astropy.table import Table

from mirar_dask.data import SourceBatch, SourceTable

MakeTable = Callable[..., SourceTable]


@pytest.mark.parametrize("missing", ["RAWPATH", "BASENAME"])
def test_metadata_without_a_core_key_are_refused_by_name(missing: str):
    """The message names the key that is missing."""
    metadata = {"RAWPATH": "a", "BASENAME": "a"}
    del metadata[missing]
    with pytest.raises(KeyError, match=f"SourceTable has no '{missing}'"):
        SourceTable(pd.DataFrame(), metadata)


def test_a_table_uses_the_objects_it_was_given(table: MakeTable):
    """As in mirar: DataFrame and metadata are the caller's very objects."""
    frame, metadata = pd.DataFrame({"ra": [1.0]}), {"RAWPATH": "/raw/a.fits", "BASENAME": "a.fits"}
    made = SourceTable(frame, metadata)
    assert made.get_data() is made.source_list is frame
    assert made.get_metadata() is made.metadata is metadata
    made["FILTER"] = "r"
    assert metadata["FILTER"] == made["FILTER"] == made.get("FILTER") == "r"
    assert made.get("MISSING", 5) == 5
    assert list(made.keys()) == list(made) == ["RAWPATH", "BASENAME", "FILTER"]
    assert "FILTER" in made
    assert len(made) == 1
    other = pd.DataFrame({"ra": [1.0, 2.0, 3.0]})
    made.set_data(other)
    assert len(made) == 3
    assert made.get_data() is other
    with pytest.raises(KeyError, match="MISSING"):
        made["MISSING"]


def test_texts_name_the_image(table: MakeTable):
    """`str` is mirar's."""
    assert str(table()) == "<An SourceTable object, built from a.fits>"
    assert repr(table()) == "<SourceTable 'a.fits' 2 sources>"
    assert SourceBatch([table()]).get_batch()[0].get_name() == "a.fits"
    assert str(SourceBatch(table())) == "<An SourceBatch object, containing ['a.fits']>"


def test_a_table_is_renamed_by_its_metadata(table: MakeTable):
    """Names are those of now."""
    made = table()
    made["BASENAME"] = "b.fits"
    assert made.get_name() == "b.fits"


def test_a_handle_is_the_table_as_it_was(table: MakeTable):
    """Later changes of the table, or of an opened copy, do not reach it."""
    made = table(RAWPATH="/raw/x.fits,/raw/y.fits", NOTES=["one"])
    handle = made.handle()
    made["NOTES"].append("two")
    made.get_data().loc[0, "ra"] = 0.0
    opened = handle.open()
    opened["NOTES"].append("three")
    opened.get_data().loc[0, "ra"] = -1.0
    assert handle.get("NOTES") == ["one"]
    assert handle.get("MISSING", 1) == 1
    assert handle.open().get_data()["ra"][0] == 10.5
    assert handle.name == "a.fits"
    assert handle.names == ["x.fits", "y.fits"]
    assert handle.files == ()
    assert handle.nbytes > 0
    assert sys.getsizeof(handle) > handle.nbytes
    assert sys.getsizeof(made) > handle.nbytes


class SpecialTable(SourceTable):
    """A table of a user's class."""


def test_subclasses_survive(table: MakeTable):
    """Opening a handle gives a table of the same class."""
    made = SpecialTable(table().get_data(), table().metadata)
    assert type(made.handle().open()) is SpecialTable
    assert type(pickle.loads(pickle.dumps(made))) is SpecialTable


def test_a_table_survives_a_pickle(table: MakeTable):
    """Values, types and metadata."""
    made = table(EXPTIME=0.1 + 0.2)
    arrived = pickle.loads(pickle.dumps(made))
    pd.testing.assert_frame_equal(arrived.get_data(), made.get_data())
    assert arrived.metadata == made.metadata


def tokens(**columns: Any) -> tuple[Any, ...]:
    metadata = {"RAWPATH": "a", "BASENAME": "a", "X": columns.pop("X", None)}
    return SourceTable(pd.DataFrame(columns), metadata).__dask_tokenize__()


def test_tokens_go_by_content():
    """Columns, their types, order and values, objects in them, and the metadata."""
    base = {"ra": [1.0, 2.0], "history": [[1], {"a": 2}], "n": [1, 2]}
    first = tokens(**copy.deepcopy(base))
    assert tokens(**copy.deepcopy(base)) == first
    others = [
        {**base, "ra": [1.0, 2.5]},
        {**base, "history": [[1], {"a": 3}]},
        {**base, "n": [1.0, 2.0]},
        {"n": [1, 2], "ra": [1.0, 2.0], "history": [[1], {"a": 2}]},
        {**base, "X": 1},
        {**base, "X": pd.Timestamp(0)},
    ]
    assert len({first, *(tokens(**other) for other in others)}) == 7


def test_astropy_and_back(table: MakeTable):
    """Rows, types and metadata survive in both directions, each a copy."""
    made = table(NOTES=["one"])
    converted = made.to_astropy()
    assert isinstance(converted, Table)
    assert converted.meta == made.metadata
    assert list(converted["objectid"]) == ["one", "two"]
    back = SourceTable.from_astropy(converted)
    pd.testing.assert_frame_equal(back.get_data(), made.get_data())
    assert back.metadata == made.metadata
    back["NOTES"].append("two")
    assert converted.meta["NOTES"] == made["NOTES"] == ["one"]


def test_units_of_an_astropy_table_are_kept(table: MakeTable):
    """A column in degrees is in degrees again."""
    converted = table().to_astropy()
    converted["ra"].unit = u.deg
    back = SourceTable.from_astropy(converted).to_astropy()
    assert back["ra"].unit == u.deg
    assert back["n"].unit is None


def test_columns_of_objects_survive_astropy():
    """Cutouts and histories are in the tables of a transient search."""
    columns = {"cutout": [b"ab", b"c"], "prv_candidates": [[1], [2, 3]]}
    made = SourceTable(pd.DataFrame(columns), {"RAWPATH": "a", "BASENAME": "a"})
    back = SourceTable.from_astropy(made.to_astropy())
    assert [bytes(value) for value in back.get_data()["cutout"]] == [b"ab", b"c"]
    assert list(back.get_data()["prv_candidates"]) == [[1], [2, 3]]


def test_an_empty_table_is_a_table(table: MakeTable):
    """No source was found: nothing breaks."""
    made = SourceTable(pd.DataFrame({"ra": np.zeros(0)}), {"RAWPATH": "a", "BASENAME": "a"})
    assert len(made) == 0
    assert len(SourceTable.from_astropy(made.to_astropy())) == 0
    assert len(made.handle().open()) == 0
    assert made.__dask_tokenize__()
