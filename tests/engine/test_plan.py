"""The plan says what will be done before a pixel is read."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from mirar_dask.data import Dataset, Image, ImageBatch
from mirar_dask.engine import SerialEngine, Status
from mirar_dask.engine.plan import Plan, plan
from mirar_dask.errors import NothingToDoError
from mirar_dask.processors.base.outcome import Record
from mirar_dask.processors.base_processor import BaseProcessor
from mirar_dask.processors.bias import BiasCalibrator
from mirar_dask.processors.flat import FlatCalibrator
from mirar_dask.processors.utils.header_annotate import HeaderAnnotator
from mirar_dask.processors.utils.image_loader import ImageLoader
from mirar_dask.processors.utils.image_rejector import ImageRejector
from mirar_dask.processors.utils.image_selector import ImageBatcher, ImageRebatcher
from mirar_dask.testing.engine_contract import (
    Doubles,
    WritesLateKey,
    configured,
    reduction,
    settings_for,
)


def _plan(steps: list[BaseProcessor], raw: Path, out: Path) -> Plan:
    return plan(configured(steps), Dataset([ImageBatch()]), settings_for(raw, out))


@pytest.fixture
def planned(raw: Path, tmp_path: Path) -> Plan:
    return _plan(reduction(), raw, tmp_path)


def test_masters_are_listed_with_their_frames(planned: Plan, raw: Path) -> None:
    """One bias, one dark and a flat for each filter, of the frames that will go into them."""
    masters = {(m.step, len(m.frames)): m for m in planned.masters}
    assert sorted(masters) == [("bias", 3), ("dark", 2), ("flat", 2)]
    assert masters["bias", 3].frames == tuple(sorted(p.name for p in raw.glob("bias*")))
    assert masters["bias", 3].used_by == len(list(raw.glob("*.fits")))
    assert all(master.made for master in planned.masters)


def test_a_master_that_is_there_is_not_made_again(raw: Path, tmp_path: Path) -> None:
    """After a run the plan finds its masters, under the names that it foresaw."""
    foreseen = sorted(master.name for master in _plan(reduction(), raw, tmp_path).masters)
    SerialEngine().run(configured(reduction()), Dataset(), settings_for(raw, tmp_path))
    assert sorted(p.name for p in tmp_path.rglob("calibration/*.fits")) == foreseen
    assert not any(master.made for master in _plan(reduction(), raw, tmp_path).masters)


def test_counts_of_images_and_batches_are_those_of_the_run(
    planned: Plan, raw: Path, tmp_path: Path
) -> None:
    """Batches at the end, and how many images each selection sets aside."""
    result = SerialEngine().run(configured(reduction()), Dataset(), settings_for(raw, tmp_path))
    ends = [batch.members for batch in planned.batches if batch.before == "end"]
    assert ends == [tuple(image.get_name() for image in batch) for batch in result.dataset]
    aside = sum(step.set_aside for step in planned.steps)
    assert aside == result.counts()[Status.SET_ASIDE.value]


def test_no_pixel_is_read_and_no_folder_is_made(
    raw: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Headers suffice."""

    def refuse(self: object, *args: object) -> np.ndarray:
        raise AssertionError("a pixel was read")

    monkeypatch.setattr("mirar_dask.data.pixels.FitsPixels.read", refuse)
    monkeypatch.setattr("mirar_dask.data.pixels.FitsPixels.read_rows", refuse)
    assert _plan(reduction(), raw, tmp_path / "out").masters
    assert not (tmp_path / "out").exists()


def test_what_is_known_at_run_time_only_is_said_to_be(raw: Path, tmp_path: Path) -> None:
    """A regroup by a key that a step writes from pixels, and what follows a batch step."""
    late = _plan([ImageLoader(), WritesLateKey(), ImageBatcher("PARITY")], raw, tmp_path)
    assert "PARITY" in late.late[0]
    assert late.rows()[-1][4] == "?"
    batch = _plan([ImageLoader(), Doubles(), ImageRebatcher("FILTER")], raw, tmp_path)
    assert "doubles" in batch.late[0]
    assert batch.steps[1].images == 15


def test_a_key_that_a_header_step_writes_is_known_at_the_regroup_behind_it(
    raw: Path, tmp_path: Path
) -> None:
    """Headers are followed through steps and segments, as far as they can be known."""

    def steps() -> list[BaseProcessor]:
        return [
            ImageLoader(),
            BiasCalibrator(),
            HeaderAnnotator(["OBSCLASS", "FILTER"], output_key="KIND"),
            ImageRebatcher("KIND"),
            HeaderAnnotator("KIND", output_key="SORT"),
            ImageBatcher("SORT"),
        ]

    found = _plan(steps(), raw, tmp_path)
    result = SerialEngine().run(configured(steps()), Dataset(), settings_for(raw, tmp_path))
    assert not found.missing
    assert not found.late
    ends = [batch.members for batch in found.batches if batch.before == "end"]
    assert ends == [tuple(image.get_name() for image in batch) for batch in result.dataset]


def test_missing_calibrations_are_named_before_the_run(raw: Path, tmp_path: Path) -> None:
    """The frames that will be blocked, and by what."""
    steps = [ImageLoader(), ImageRejector(("OBSCLASS", "flat")), ImageBatcher("FILTER")]
    found = _plan([*steps, FlatCalibrator()], raw, tmp_path)
    blocked = [r for r in found.missing if r.status is Status.BLOCKED]
    assert {name for r in blocked for name in r.names} >= {"FIELD1_g_0001.fits"}
    assert all("flat" in r.reason for r in blocked)


def test_a_loader_that_reads_pixels_makes_the_plan_late(raw: Path, tmp_path: Path) -> None:
    """The plan says so and does not load anything."""

    def load(path: Path) -> Image:
        raise AssertionError("it was called")

    found = _plan([ImageLoader(load_image=load), Doubles()], raw, tmp_path)
    assert "load" in found.late[0]


def test_unreadable_frames_are_named(raw: Path, tmp_path: Path) -> None:
    """A broken file is in the plan's list of what is missing."""
    folder = tmp_path / "raw"
    folder.mkdir()
    for path in raw.glob("bias*"):
        (folder / path.name).write_bytes(path.read_bytes())
    (folder / "broken.fits").write_bytes(b"")
    found = _plan([ImageLoader(), Doubles()], folder, tmp_path)
    assert [r.names for r in found.missing] == [("broken.fits",)]
    assert found.frames == 4


def test_what_is_wrong_with_many_frames_is_printed_once(planned: Plan) -> None:
    """With the first of them and their number; JSON has each."""
    bad = [
        Record((name,), Status.FAILED, "header", f"NoWordError: {name}: TYP = 'Licht' is not known")
        for name in ("a.fits", "b.fits", "c.fits")
    ]
    other = Record(("d.fits",), Status.FAILED, "header", "NoWordError: d.fits: TYP = 'x'")
    told = str(replace(planned, missing=[*bad, other]))
    assert "missing: a.fits and 2 more at header: NoWordError: TYP = 'Licht' is not known" in told
    assert "missing: d.fits at header: NoWordError: TYP = 'x'" in told
    assert " b.fits" not in told


def test_an_empty_folder_is_nothing_to_do(tmp_path: Path) -> None:
    """One sentence that names the folder."""
    (tmp_path / "empty").mkdir()
    with pytest.raises(NothingToDoError, match="empty"):
        _plan(reduction(), tmp_path / "empty", tmp_path)


def test_the_largest_task_is_estimated(raw: Path, tmp_path: Path) -> None:
    """A night of larger frames needs more."""
    big = tmp_path / "big"
    big.mkdir()
    header = fits.getheader(next(raw.glob("FIELD1_g*")))
    for i in range(2):
        fits.writeto(big / f"b{i}.fits", np.zeros((4000, 5000), np.uint16), header)
    frame = 4000 * 5000 * 4
    found = _plan([ImageLoader(), Doubles()], big, tmp_path)
    assert 2 * frame < found.memory < 8 * frame


def test_every_form_of_the_plan_can_be_read(planned: Plan) -> None:
    """JSON loads, SVG is XML, Mermaid and DOT name all steps."""
    loaded = json.loads(json.dumps(planned.to_json()))
    assert [step["name"] for step in loaded["steps"]][:3] == ["load", "bias", "dark"]
    assert ET.fromstring(planned.to_svg()).tag.endswith("svg")
    for text in (planned.to_mermaid(), planned.to_dot(), planned.to_svg(), str(planned)):
        assert all(step.name in text for step in planned.steps)
