"""The night's log as a CSV table."""

import logging

import pandas as pd
import pytest

from mirar_dask.data import Dataset
from mirar_dask.paths import Roots, use_roots
from mirar_dask.processors.csvlog import CSVLog, default_log_keys
from mirar_dask.testing.images import make_batch, make_sources


@pytest.fixture(autouse=True)
def roots(tmp_path):
    """Let every test write below its own folder."""
    with use_roots(Roots(tmp_path / "raw", tmp_path / "out")) as roots:
        yield roots


def log_of(*args, **kwargs):
    log = CSVLog(*args, **kwargs)
    log.set_night("cam/20240301")
    return log


def test_a_batch_gives_one_row_with_the_values_of_its_first_image(tmp_path):
    """Rows come in the order of the batches, under mirar's file name, counted in a first column."""
    dataset = Dataset(
        [make_batch(["a.fits", "b.fits"], FILTER="r"), make_batch(["c.fits"], FILTER="g")]
    )
    log = log_of(["BASENAME", "FILTER", "EXPTIME"])
    result, errors = log.base_apply(dataset)
    table = pd.read_csv(tmp_path / "out/cam/20240301/20240301_log.csv")
    assert list(table.columns) == ["Unnamed: 0", "BASENAME", "FILTER", "EXPTIME"]
    assert table.to_numpy().tolist() == [[0, "a.fits", "r", 30.0], [1, "c.fits", "g", 30.0]]
    assert [len(batch) for batch in result] == [2, 1]
    assert len(errors.get_all_reports()) == 0


def test_columns_are_there_once():
    """BASENAME, which is a core field too, is one column, also where the user names it twice."""
    assert len(default_log_keys) == len(set(default_log_keys))
    assert default_log_keys[0] == "BASENAME"
    assert CSVLog().export_keys == default_log_keys
    assert CSVLog(["FILTER", "BASENAME", "FILTER"]).export_keys == ["FILTER", "BASENAME"]


def test_a_second_run_starts_a_table_of_its_own(tmp_path):
    """Rows of one run, or configuration, never show up in the next."""
    log = log_of(["BASENAME"])
    log.base_apply(Dataset([make_batch(["a.fits"])]))
    log.base_apply(Dataset([make_batch(["b.fits"])]))
    table = pd.read_csv(tmp_path / "out/cam/20240301/20240301_log.csv", index_col=0)
    assert table["BASENAME"].tolist() == ["b.fits"]


def test_a_lacking_value_leaves_its_cell_empty(tmp_path, caplog):
    """The row is kept; a key that no batch has is named in a warning."""
    dataset = Dataset([make_batch(["a.fits"], FILTER="r"), make_batch(["b.fits"])])
    with caplog.at_level(logging.WARNING):
        log_of(["BASENAME", "FILTER", "NOSUCH"]).base_apply(dataset)
    table = pd.read_csv(tmp_path / "out/cam/20240301/20240301_log.csv", index_col=0)
    assert table["FILTER"].fillna("").tolist() == ["r", ""]
    assert "no batch has a value for 'NOSUCH'" in caplog.text
    assert "'FILTER'" not in caplog.text


@pytest.mark.parametrize(
    ("options", "path"),
    [
        ({"output_name": "quick"}, "out/cam/20240301/20240301_quick.csv"),
        ({"output_sub_dir": "logs"}, "out/logs/cam/20240301/20240301_log.csv"),
        ({"output_base_dir": "all"}, "out/all/20240301_log.csv"),
    ],
)
def test_the_file_is_where_the_parameters_say(tmp_path, options, path):
    """As in mirar: <output>/<output_sub_dir>/<night or output_base_dir>/<night>_<name>.csv."""
    log_of(["BASENAME"], **options).base_apply(Dataset([make_batch(["a.fits"])]))
    assert (tmp_path / path).is_file()


def test_source_tables_are_logged_by_their_metadata(tmp_path):
    """A batch of tables gives a row as a batch of images does."""
    log_of(["BASENAME", "TARGET"]).base_apply(Dataset([make_sources("a.fits")]))
    table = pd.read_csv(tmp_path / "out/cam/20240301/20240301_log.csv", index_col=0)
    assert table.to_numpy().tolist() == [["a.fits", "field"]]


def test_nothing_is_written_where_there_is_nothing_to_log(tmp_path):
    """An empty dataset leaves no file."""
    log_of().base_apply(Dataset())
    assert not (tmp_path / "out").exists()


def test_a_failed_write_is_reported(tmp_path):
    """A folder that is a file costs the table, not the images."""
    (tmp_path / "out").write_text("in the way")
    result, errors = log_of(["BASENAME"]).base_apply(Dataset([make_batch(["a.fits"])]))
    assert [len(batch) for batch in result] == [1]
    assert len(errors.get_all_reports()) == 1
