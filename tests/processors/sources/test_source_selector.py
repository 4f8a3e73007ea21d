"""Selecting and regrouping source tables by their metadata."""

from __future__ import annotations

import pandas as pd
import pytest

from mirar_dask.data import Dataset, SourceBatch, SourceTable
from mirar_dask.errors import ProcessorError, UsageError
from mirar_dask.processors.base_processor import Regroup, Status
from mirar_dask.processors.sources import (
    CustomSourceTableModifier,
    SourceBatcher,
    SourceDebatcher,
    SourceRebatcher,
    SourceSelector,
)
from mirar_dask.processors.sources.source_selector import (
    select_from_sources,
    split_sources_into_batches,
)
from mirar_dask.testing.images import make_header


def make_table(name: str, **keys: object) -> SourceTable:
    return SourceTable(pd.DataFrame({"xpos": [1.0, 2.0]}), dict(make_header(name, **keys)))


@pytest.fixture
def batch() -> SourceBatch:
    """Return four tables in two filters."""
    return SourceBatch(
        [
            make_table("a.fits", FILTER="g", TARGET="m13"),
            make_table("b.fits", FILTER="r", TARGET="m13"),
            make_table("c.fits", FILTER="g", TARGET="m92"),
            make_table("d.fits", FILTER="r", TARGET="m92"),
        ]
    )


def names(dataset: Dataset) -> list[list[str]]:
    return [[table.get_name() for table in batch] for batch in dataset]


def test_tables_are_selected_by_their_metadata(batch):
    """All conditions hold; several values are alternatives."""
    selector = SourceSelector(("FILTER", "g"), ("TARGET", ["m13", "m31"]))
    dataset, errors = selector.base_apply(Dataset([batch]))
    assert names(dataset) == [["a.fits"]]
    assert dataset[0][0]["CALSTEPS"] == "select,"
    assert len(errors.get_all_reports()) == 0
    assert "FILTER = g and TARGET = m13 or m31" in selector.description()


def test_what_is_not_selected_is_set_aside(batch):
    """The report says so; empty batches are dropped."""
    stepped = SourceSelector(("FILTER", "z")).step(Dataset([batch]))
    assert len(stepped.dataset) == 0
    assert {record.status for record in stepped.records} == {Status.SET_ASIDE}
    assert len(stepped.records) == 4


def test_a_table_without_the_key_fails_alone(batch):
    """The others go on."""
    del batch[1].metadata["FILTER"]
    dataset, errors = SourceSelector(("FILTER", ["g", "r"])).base_apply(Dataset([batch]))
    assert names(dataset) == [["a.fits", "c.fits", "d.fits"]]
    (report,) = errors.get_all_reports()
    assert report.contents == ["b.fits"]


def test_batches_are_divided_and_never_merged(batch):
    """Each batch by itself, in first-seen order."""
    dataset, _ = SourceBatcher("FILTER").base_apply(Dataset([batch[:3], batch[3:]]))
    assert names(dataset) == [["a.fits", "c.fits"], ["b.fits"], ["d.fits"]]


def test_batches_are_merged(batch):
    """All tables into one batch."""
    dataset, _ = SourceDebatcher().base_apply(Dataset([batch[2:], batch[:2]]))
    assert names(dataset) == [["c.fits", "d.fits", "a.fits", "b.fits"]]
    assert isinstance(dataset[0], SourceBatch)


def test_batches_are_made_anew_by_keys(batch):
    """Tables of different batches come together; joined values cannot collide."""
    dataset, _ = SourceRebatcher(["FILTER"]).base_apply(Dataset([batch[:1], batch[1:]]))
    assert names(dataset) == [["a.fits", "c.fits"], ["b.fits", "d.fits"]]
    odd = SourceBatch([make_table("x.fits", A="p_q", B="r"), make_table("y.fits", A="p", B="q_r")])
    dataset, _ = SourceRebatcher(["A", "B"]).base_apply(Dataset([odd]))
    assert len(dataset) == 2


def test_the_functions_of_mirar_are_there(batch):
    """For code that calls them."""
    chosen = select_from_sources(batch, "TARGET", "m92")
    assert [table.get_name() for table in chosen] == ["c.fits", "d.fits"]
    assert isinstance(chosen, SourceBatch)
    assert len(split_sources_into_batches(batch, ["TARGET", "FILTER"])) == 4


def test_only_headers_are_needed_and_nothing_waits():
    """The planner knows what becomes of tables without reading them."""
    assert SourceSelector(("A", "b")).regroup is Regroup.SPLIT
    assert SourceBatcher("A").regroup is Regroup.SPLIT
    assert SourceDebatcher().regroup is SourceRebatcher("A").regroup is Regroup.KEYED
    assert all(cls.headers_only for cls in (SourceSelector, SourceBatcher, SourceRebatcher))


def test_a_subclass_in_mirars_style_decides_for_itself(batch):
    """What overrides `_apply_to_sources` is applied, with the tables it returns."""

    class LastOnly(SourceSelector):
        base_key = "lastonly"

        def _apply_to_sources(self, batch: SourceBatch) -> SourceBatch:
            return SourceBatch([batch[-1]])

    dataset, _ = LastOnly().base_apply(Dataset([batch]))
    assert names(dataset) == [["d.fits"]]


def test_a_wrong_condition_is_refused():
    """With the form that is expected."""
    with pytest.raises(UsageError, match="expected pairs"):
        SourceSelector("FILTER", "g")  # type: ignore[arg-type]


def test_a_function_modifies_tables(batch):
    """What it returns goes on; what is no batch is an error that names the function."""

    def brighter(batch: SourceBatch) -> SourceBatch:
        for table in batch:
            table.set_data(table.get_data().assign(mag=1.0))
        return batch

    dataset, _ = CustomSourceTableModifier(brighter).base_apply(Dataset([batch]))
    assert list(dataset[0][0].get_data().columns) == ["xpos", "mag"]
    wrong = CustomSourceTableModifier(lambda batch: None)  # type: ignore[arg-type,return-value]
    dataset, errors = wrong.base_apply(Dataset([batch]))
    assert len(dataset) == 0
    (report,) = errors.get_all_reports()
    assert report.error_name == ProcessorError.__name__
    assert "'brighter'" in CustomSourceTableModifier(brighter).description()
