"""Source tables as CSV and Parquet: written whole, read back as they were."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from mirar_dask.data import Dataset, SourceBatch, SourceTable
from mirar_dask.paths import Roots, use_roots
from mirar_dask.processors.base_processor import Status
from mirar_dask.processors.sources import CSVExporter, CSVLoader, ParquetLoader, ParquetWriter
from mirar_dask.processors.sources.csv_loader import load_csv_table
from mirar_dask.processors.sources.parquet_loader import load_parquet_table
from mirar_dask.processors.sources.parquet_writer import PARQUET_METADATA_KEY, export_parquet
from mirar_dask.processors.sources.table_files import SourceFileError
from mirar_dask.testing.images import make_header


@pytest.fixture(autouse=True)
def output(tmp_path: Path):
    """Send products below the test's own folder."""
    with use_roots(Roots(tmp_path / "raw", tmp_path / "out")):
        yield tmp_path / "out" / "pipe" / "n1"


def make_table(name: str = "a.fits", n: int = 3, **keys: Any) -> SourceTable:
    rng = np.random.default_rng(len(name))
    columns = {
        "objectid": [f"s{i}" for i in range(n)],
        "ra": rng.uniform(0, 360, n),
        "dec": np.full(n, np.nan),
        "flags": np.arange(n),
        "fluxap8": rng.normal(1000, 10, n).astype(np.float32),
        "prv_candidates": [[] for _ in range(n)],
    }
    return SourceTable(pd.DataFrame(columns), dict(make_header(name, **keys)))


def run(processor: Any, *tables: SourceTable):
    processor.set_night("pipe/n1")
    return processor.process(SourceBatch(list(tables)))


def test_parquet_brings_back_what_was_written(output: Path):
    """Columns with their types, metadata with theirs."""
    table = make_table(FILTER="r", SEEING=1.25, GOOD=True)
    assert run(ParquetWriter("tables"), table).records == []
    assert (output / "tables" / "a.parquet").is_file()
    (back,) = run(ParquetLoader("tables")).batch
    pd.testing.assert_frame_equal(
        back.get_data().drop(columns="prv_candidates"),
        table.get_data().drop(columns="prv_candidates"),
    )
    assert [list(cell) for cell in back.get_data()["prv_candidates"]] == [[], [], []]
    assert (back["FILTER"], back["SEEING"], back["GOOD"]) == ("r", 1.25, True)
    assert back["COADDS"] == 1
    assert back["CALSTEPS"].endswith("PRQULOAD,")


def test_metadata_are_json_in_the_schema(output: Path):
    """Under mirar's key, in standard JSON: any program can read it."""
    import pyarrow.parquet as pq

    table = make_table()
    table["NOTHING"] = float("nan")
    table["COUNT"] = np.int64(7)
    table["LIST"] = np.arange(3)
    table["PATH"] = Path("a") / "b"
    run(ParquetWriter("tables"), table)
    schema = pq.read_schema(output / "tables" / "a.parquet")

    def refuse(text: str) -> None:
        raise AssertionError(text)

    metadata = json.loads(schema.metadata[PARQUET_METADATA_KEY.encode()], parse_constant=refuse)
    assert metadata["NOTHING"] is None
    assert (metadata["COUNT"], metadata["LIST"]) == (7, [0, 1, 2])
    assert metadata["PATH"] == str(Path("a") / "b")


def test_tables_in_cells_become_lists(tmp_path: Path):
    """History as mirar keeps it, a DataFrame for each source."""
    table = make_table()
    history = pd.DataFrame({"mag": [17.0, 18.0]})
    data = table.get_data().assign(prv_candidates=[history, pd.DataFrame(), pd.DataFrame()])
    export_parquet(data, table.get_metadata(), tmp_path / "t.parquet")
    back = load_parquet_table(tmp_path / "t.parquet").get_data()["prv_candidates"]
    assert [cell["mag"] for cell in back[0]] == [17.0, 18.0]
    assert len(back[1]) == 0
    assert isinstance(data["prv_candidates"][0], pd.DataFrame)


def test_csv_has_metadata_and_columns_in_both_cases(output: Path):
    """As mirar's: every name in lower case, then again in upper case."""
    table = make_table(FILTER="r")
    run(CSVExporter("tables"), table)
    back = pd.read_csv(output / "tables" / "a.csv")
    assert len(back) == 3
    assert (back["filter"] == "r").all()
    assert (back["FILTER"] == "r").all()
    np.testing.assert_allclose(back["FLUXAP8"], table.get_data()["fluxap8"], rtol=1e-6)
    lower, upper = (
        list(back.columns[: back.shape[1] // 2]),
        list(back.columns[back.shape[1] // 2 :]),
    )
    assert [name.upper() for name in lower] == upper
    assert lower.index("filter") < lower.index("ra")


def test_a_column_wins_over_metadata_of_its_name(output: Path):
    """RA of a source, not of the telescope."""
    table = make_table(RA=1.0)
    run(CSVExporter("tables"), table)
    back = pd.read_csv(output / "tables" / "a.csv")
    np.testing.assert_allclose(back["RA"], table.get_data()["ra"])


def test_chosen_columns_are_exported_in_their_order(output: Path):
    """A name that is not there is an error that says so."""
    run(CSVExporter("tables", export_keys=["flags", "ra", "TARGET"]), make_table())
    assert list(pd.read_csv(output / "tables" / "a.csv").columns) == ["flags", "ra", "TARGET"]
    done = run(CSVExporter("other", export_keys=["flags", "nosuch"]), make_table())
    assert done.batch is None
    assert "'a.fits' have no nosuch to export" in done.records[0].reason
    assert not list((output / "other").glob("*"))


def test_csv_is_read_back(output: Path):
    """Sources with their columns; what is the same for all of them is metadata too."""
    table = make_table(FILTER="r")
    run(CSVExporter("tables"), table)
    (back,) = run(CSVLoader("tables")).batch
    data = back.get_data()
    assert "FLUXAP8" not in data.columns
    np.testing.assert_allclose(data["ra"], table.get_data()["ra"])
    assert (back["FILTER"], back["BASENAME"]) == ("r", "a.fits")
    assert back["RAWPATH"] == table["RAWPATH"]
    assert "FLUXAP8" not in back.keys()
    assert back["CALSTEPS"] == "CSVLOAD,"


def test_foreign_csv_files_are_read(tmp_path: Path):
    """Core columns are added, names come from the file."""
    path = tmp_path / "mine.csv"
    path.write_text("ra,dec,mag\n10.5,20.5,17\n11.5,21.5,18\n", encoding="utf-8")
    table = load_csv_table(path)
    assert len(table) == 2
    assert {"objectid", "prv_candidates"} <= set(table.get_data().columns)
    assert (table["BASENAME"], table["RAWPATH"]) == ("mine.csv", str(path))


@pytest.mark.parametrize(
    ("writer", "loader"), [(ParquetWriter, ParquetLoader), (CSVExporter, CSVLoader)]
)
def test_tables_are_loaded_in_the_order_of_their_names(writer, loader, output: Path):
    """Whatever the order in which the disk lists them."""
    run(writer("tables"), make_table("c.fits"), make_table("a.fits"), make_table("b.fits"))
    (output / "tables" / f".tmp-1-z{writer.suffix}").write_bytes(b"half")
    done = run(loader("tables"))
    assert [table["BASENAME"] for table in done.batch] == ["a.fits", "b.fits", "c.fits"]
    assert done.records == []


@pytest.mark.parametrize(
    ("writer", "loader"), [(ParquetWriter, ParquetLoader), (CSVExporter, CSVLoader)]
)
def test_a_bad_file_is_named_and_the_others_are_read(writer, loader, output: Path):
    """Truncated, or no table at all."""
    run(writer("tables"), make_table("a.fits"), make_table("b.fits"))
    bad = output / "tables" / f"b{writer.suffix}"
    bad.write_bytes(b'\xff\xfe"\x00')
    done = run(loader("tables"))
    assert [table["BASENAME"] for table in done.batch] == ["a.fits"]
    (record,) = done.records
    assert (record.names, record.status) == ((bad.name,), Status.CAVEATS)
    (output / "tables" / f"a{writer.suffix}").unlink()
    done = run(loader("tables"))
    assert done.batch is None
    assert bad.name in done.records[0].reason


@pytest.mark.parametrize("loader", [ParquetLoader, CSVLoader])
def test_nothing_to_load_is_one_clear_error(loader, output: Path):
    """It names the folder, and whether that is there."""
    done = run(loader("nosuch"))
    assert done.batch is None
    assert "does not exist" in done.records[0].reason
    (output / "empty").mkdir(parents=True)
    done = run(loader("empty"))
    assert "holds none" in done.records[0].reason


@pytest.mark.parametrize("writer", [ParquetWriter, CSVExporter])
def test_two_tables_never_share_a_file(writer, output: Path):
    """They fail, naming both, and nothing is written."""
    done = run(writer("tables"), make_table("a.fits"), make_table("a.fit"))
    assert done.batch is None
    assert "'a.fit'" in done.records[0].reason
    assert "'a.fits'" in done.records[0].reason
    assert not (output / "tables").exists()


@pytest.mark.parametrize("writer", [ParquetWriter, CSVExporter])
@pytest.mark.parametrize("name", ["../../../evil.fits", "/etc/evil.fits", "a/b.fits"])
def test_a_name_never_leads_out_of_the_folder(writer, name: str, output: Path, tmp_path: Path):
    """Separators of a header value are no folders."""
    run(writer("tables"), make_table(name))
    (written,) = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert written.parent == output / "tables"


@pytest.mark.parametrize("writer", [ParquetWriter, CSVExporter])
def test_empty_tables_are_written(writer, output: Path):
    """With their columns."""
    table = make_table(n=0)
    run(writer("tables"), table)
    (path,) = (output / "tables").iterdir()
    back = load_parquet_table(path) if writer is ParquetWriter else load_csv_table(path)
    assert len(back) == 0
    assert "fluxap8" in back.get_data().columns


def test_a_failed_write_leaves_what_was_there(output: Path):
    """And no half file."""
    run(ParquetWriter("tables"), make_table())
    path = output / "tables" / "a.parquet"
    before = path.read_bytes()
    table = make_table()
    table.set_data(table.get_data().assign(odd=[object(), object(), object()]))
    done = run(ParquetWriter("tables"), table)
    assert done.batch is None
    assert "cannot be written as Parquet" in done.records[0].reason
    assert path.read_bytes() == before
    assert [p.name for p in path.parent.iterdir()] == ["a.parquet"]


def test_what_is_no_source_table_is_refused(tmp_path: Path):
    """A Parquet file of somebody else has no metadata."""
    path = tmp_path / "other.parquet"
    pd.DataFrame({"a": [1]}).to_parquet(path)
    with pytest.raises(SourceFileError, match="its schema has no 'mirar_metadata'"):
        load_parquet_table(path)


def test_tables_are_left_alone(output: Path):
    """Writers change neither sources nor metadata, apart from the history."""
    table = make_table(FILTER="r")
    data, metadata = table.get_data().copy(), dict(table.get_metadata())
    for processor in (ParquetWriter("tables"), CSVExporter("tables")):
        processor.set_night("pipe/n1")
        processor._apply_to_sources(SourceBatch([table]))
    pd.testing.assert_frame_equal(table.get_data(), data)
    assert table.get_metadata() == metadata


def test_each_batch_is_written(output: Path):
    """All tables of a dataset, each once."""
    writer = ParquetWriter("tables")
    writer.set_night("pipe/n1")
    dataset = Dataset([SourceBatch([make_table("a.fits")]), SourceBatch([make_table("b.fits")])])
    after, errors = writer.base_apply(dataset)
    assert len(after) == 2
    assert len(errors.get_all_reports()) == 0
    assert sorted(path.name for path in (output / "tables").iterdir()) == ["a.parquet", "b.parquet"]
