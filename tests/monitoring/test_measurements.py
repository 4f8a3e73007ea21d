"""What a run measured, against the truth of a simulated night, and how it is written."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from astropy.io import fits

from mirar_dask.monitoring.quality.columns import COLUMNS, NAMES, columns_table
from mirar_dask.monitoring.quality.files import as_tsv, write_measurements
from mirar_dask.monitoring.quality.measurements import measure
from mirar_dask.testing.dialects import airmass

from .conftest import Reduced


def test_every_product_has_a_row_with_every_column(reduced: Reduced):
    """Masters, calibrated frames and stacks; not weight maps and tables. Sorted by time."""
    rows = reduced.rows()
    kinds = [row["kind"] for row in rows.values()]
    assert {kind: kinds.count(kind) for kind in kinds} == {
        "bias": 1, "dark": 1, "flat": 2, "frame": 8, "stack": 2,
    }  # fmt: skip
    assert all(tuple(row) == NAMES for row in rows.values())
    times = [row["time"] for row in rows.values()]
    assert times == sorted(times)
    assert not any("weight" in file for file in rows)


def test_frames_are_measured_as_they_were_simulated(reduced: Reduced):
    """Sky, noise, seeing, offsets, time and airmass of each calibrated frame."""
    rows, truth = reduced.rows(), reduced.truth
    for name in truth.names("science"):
        frame, row = truth.frames[name], rows[f"reduced/{name}"]
        first = truth.frames[name[:-9] + "0001.fits"]
        sky = frame.light / truth.camera.gain
        assert row["sky"] == pytest.approx(sky, rel=0.02)
        assert row["noise"] == pytest.approx(np.median(truth.noise(name)), rel=0.06)
        assert row["fwhm"] == pytest.approx(frame.fwhm, rel=0.08)
        assert row["ellipticity"] < 0.08 and row["sources"] > 20
        moved = np.subtract(frame.dither, first.dither)
        assert (row["shift_x"], row["shift_y"]) == pytest.approx(moved, abs=0.15)
        # The frame that the others were aligned with is not aligned itself.
        assert (row["matches"] is None) is (frame is first)
        assert row["seeing"] == pytest.approx(row["fwhm"] * 0.6, rel=0.01)
        assert row["time"].startswith(frame.date[:19])
        assert row["airmass"] == pytest.approx(airmass(pd.Timestamp(frame.date)), abs=1e-4)
        assert (row["filter"], row["target"], row["exptime"]) == (frame.filter, frame.target, 30)


def test_stacks_tell_what_their_sources_are_like(reduced: Reduced):
    """The number of sources and their median width come from the table beside the stack."""
    for band in "gr":
        row = reduced.rows()[f"stacks/FIELD1_{band}_0001_stack.fits"]
        table = pd.read_csv(reduced.output / "sources" / f"FIELD1_{band}_0001_stack.csv")
        assert row["sources"] == len(table) and row["combined"] == 4
        clean = table[(table["flags"] & ~32) == 0]
        assert row["fwhm"] == pytest.approx(clean["fwhm"].median())
        assert row["exptime"] == 120


def test_masters_tell_their_level(reduced: Reduced):
    """The level of the bias is that of the detector, and it says of how many frames it is."""
    bias = next(row for row in reduced.rows().values() if row["kind"] == "bias")
    data = fits.getdata(reduced.output / bias["file"])
    assert bias["level"] == pytest.approx(np.median(data)) and bias["combined"] == 4


def test_a_run_without_products_measured_nothing(tmp_path: Path):
    """No rows, and files that say so."""
    write_measurements(measure([], tmp_path), tmp_path)
    assert (tmp_path / "measurements.tsv").read_text().splitlines() == ["\t".join(NAMES)]
    assert len(pd.read_parquet(tmp_path / "measurements.parquet")) == 0


def test_broken_products_are_passed_over(tmp_path: Path):
    """A file that is half written does not hide the others, nor do odd headers."""
    (tmp_path / "half.fits").write_bytes(b"SIMPLE  =                    T")
    image = fits.PrimaryHDU(np.zeros((8, 8), "f4"))
    image.header.update({"DATE-OBS": "yesterday", "AIRMASS": "low", "SKYMED": True, "NCOMBINE": 9})
    image.header["TARGET"] = "<script>alert(1)</script>"
    image.writeto(tmp_path / "odd.fits")
    (row,) = measure(sorted(tmp_path.iterdir()), tmp_path)
    assert (row["time"], row["airmass"], row["sky"]) == (None, None, None)
    assert row["target"] == "<script>alert(1)</script>"


def test_the_three_files_say_the_same(reduced: Reduced, tmp_path: Path):
    """JSON with a description of the columns, TSV for eyes, Parquet with types and units."""
    rows = list(reduced.rows().values())
    write_measurements(rows, tmp_path)
    told = json.loads((tmp_path / "measurements.json").read_text())
    assert told["rows"] == rows
    assert [column["name"] for column in told["columns"]] == list(NAMES)
    tsv = pd.read_csv(tmp_path / "measurements.tsv", sep="\t", keep_default_na=True)
    parquet = pd.read_parquet(tmp_path / "measurements.parquet")
    for column in COLUMNS:
        if not column.text:
            expected = np.array([row[column.name] for row in rows], float)
            assert np.array_equal(tsv[column.name].to_numpy(float), expected, equal_nan=True)
            assert np.array_equal(parquet[column.name].to_numpy(float), expected, equal_nan=True)
    assert list(parquet["file"]) == [row["file"] for row in rows]


def test_a_value_with_a_tab_stays_in_its_column():
    """Whatever a header holds, a line of the TSV has one cell for each column."""
    row = dict.fromkeys(NAMES) | {"target": "a\tb\nc"}
    assert as_tsv([row]).splitlines()[1].count("\t") == len(NAMES) - 1


def test_the_manual_lists_the_columns_as_they_are():
    """docs/report.md is written by hand, its table of columns is compared."""
    manual = Path(__file__).parents[2] / "docs" / "report.md"
    assert columns_table() in manual.read_text()
