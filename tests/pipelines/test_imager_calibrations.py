"""Calibrations of other nights in a run of `imager`: frames, masters, and what is not used."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits

from mirar_dask.paths import Roots, use_roots
from mirar_dask.pipelines.imager import ImagerPipeline
from mirar_dask.testing import Camera, NightTruth, simulate_night

Reduce = Callable[..., Any]
KINDS = ("bias", "dark", "flat")


def simulate(folder: Path, date: str, **more: Any) -> NightTruth:
    numbers = {"n_bias": 5, "n_dark": 4, "n_flat": 4, "n_science": 2}
    numbers.update({"n_bias": 5, "size": 64, "filters": ("r",), "dialect": "iraf", **more})
    return simulate_night(folder, date=date, **numbers)


@pytest.fixture
def bare_night(tmp_path: Path) -> NightTruth:
    """Simulate a night, in ``raw``, that has science frames alone."""
    return simulate(tmp_path / "raw", "2026-03-14", n_bias=0, n_dark=0, n_flat=0)


def test_frames_of_another_night_calibrate_a_bare_one(
    tmp_path: Path, reduce: Reduce, bare_night: NightTruth
):
    """They are searched for in sub-folders, combined, and named in plan and header."""
    other = simulate(tmp_path / "archive" / "2026" / "20260310" / "raw", "2026-03-10")
    done = reduce(tmp_path / "raw", calibrations=tmp_path / "archive")
    assert done.counts["succeeded"] == 2
    for path in done.products("reduced"):
        truth = other.deviation(path)  # the same sky and detector, with its masters' noise
        assert 0.9 < truth < 1.15
    for kind, n in zip(KINDS, (5, 4, 4), strict=True):
        (said,) = [caveat for caveat in done.caveats() if caveat.startswith(f"{kind} for 64x64")]
        assert f"{n} frames of 2026-03-10" in said
        assert "days earlier, from another night" in said
        master = fits.getheader(fits.getheader(done.products("reduced")[0])[f"{kind.upper()}NAME"])
        assert master["STCKCMPT"].startswith("20260310_")
        assert str(tmp_path / "archive") in master["RAWPATH"]


def test_masters_of_another_night_are_used_as_they_are(
    tmp_path: Path, reduce: Reduce, bare_night: NightTruth
):
    """Preferred to that night's frames; nothing is combined again."""
    simulate(tmp_path / "earlier", "2026-03-10", n_science=0)
    first = reduce(tmp_path / "earlier")
    masters = first.products("calibration")
    assert len(masters) == 3
    assert first.caveats() == ["no science frames in this night: masters are made, nothing else"]
    shutil.move(tmp_path / "out", tmp_path / "archive")
    masters = [tmp_path / "archive" / path.relative_to(first.out) for path in masters]
    simulate(tmp_path / "archive" / "frames", "2026-03-13", n_science=0)

    done = reduce(tmp_path / "raw", calibrations=[tmp_path / "archive"])
    assert done.counts == {"succeeded": 2}
    assert all(0.9 < bare_night_like(path, tmp_path) < 1.15 for path in done.products("reduced"))
    assert done.products("calibration") == []
    for kind, master in zip(KINDS, masters, strict=True):
        assert any(f"master {master.name} of 2026-03-1" in caveat for caveat in done.caveats())
        header = fits.getheader(done.products("reduced")[0])
        assert Path(header[f"{kind.upper()}NAME"]) == master


def bare_night_like(product: Path, tmp_path: Path) -> float:
    """Deviation of a product from the truth, whose noise includes that of the masters."""
    truth = NightTruth.load(tmp_path / "earlier_truth")
    science = NightTruth.load(tmp_path / "truth")
    science.frames.update(truth.frames)
    science.patterns.flats.update(truth.patterns.flats)
    return science.deviation(product)


def test_a_night_uses_its_own_frames_where_it_has_them(tmp_path: Path, reduce: Reduce):
    """Only the flats come from elsewhere, in a night that lacks flats alone."""
    simulate(tmp_path / "raw", "2026-03-14", n_flat=0)
    simulate(tmp_path / "archive", "2026-03-13")
    done = reduce(tmp_path / "raw", calibrations=tmp_path / "archive")
    (caveat,) = done.caveats()
    assert caveat.startswith("flat for 64x64")
    header = fits.getheader(done.products("reduced")[0])
    assert "20260313_" not in fits.getheader(header["BIASNAME"])["STCKCMPT"]
    assert "20260313_" in fits.getheader(header["FLATNAME"])["STCKCMPT"]


def test_groups_of_one_night_may_differ_in_where_their_masters_come_from(
    tmp_path: Path, reduce: Reduce
):
    """Flats of r from the night itself, those of g a master of another night."""
    simulate(tmp_path / "other", "2026-03-10", filters=("g",), n_science=0)
    reduce(tmp_path / "other")
    shutil.move(tmp_path / "out", tmp_path / "archive")
    truth = simulate(tmp_path / "raw", "2026-03-14", filters=("g", "r"))
    for path in (tmp_path / "raw").glob("flat_g_*"):
        path.unlink()
    done = reduce(tmp_path / "raw", calibrations=tmp_path / "archive")
    assert done.counts["succeeded"] == 4
    flats = {
        fits.getheader(path)["FILTER"]: fits.getheader(path)["FLATNAME"]
        for path in done.products("reduced")
    }
    assert Path(flats["r"]).is_relative_to(done.out)
    assert Path(flats["g"]).is_relative_to(tmp_path / "archive")
    assert all(0.9 < truth.deviation(path) < 1.15 for path in done.products("reduced"))


@pytest.mark.parametrize(
    "wrong",
    [
        {"date": "2025-12-01"}, {"size": 32}, {"camera": Camera(gain=3.0)},
    ],
)  # fmt: skip
def test_what_does_not_match_is_not_used(
    tmp_path: Path, reduce: Reduce, bare_night: NightTruth, wrong: dict[str, Any]
):
    """Another shape, another gain, or too long ago: left out, with the reason."""
    simulate(tmp_path / "archive", **{"date": "2026-03-13", **wrong})
    done = reduce(tmp_path / "raw", calibrations=tmp_path / "archive")
    assert done.counts == {"succeeded": 2}
    assert all("of other nights matches within 30 days" in said for said in done.caveats())
    assert "BIASNAME" not in fits.getheader(done.products("reduced")[0])


def test_flats_of_another_filter_are_not_used(
    tmp_path: Path, reduce: Reduce, bare_night: NightTruth
):
    """Bias and dark frames are."""
    simulate(tmp_path / "archive", "2026-03-13", filters=("g",))
    done = reduce(tmp_path / "raw", calibrations=tmp_path / "archive")
    header = fits.getheader(done.products("reduced")[0])
    assert "DARKNAME" in header
    assert "FLATNAME" not in header


def test_the_number_of_days_is_a_parameter(tmp_path: Path, reduce: Reduce, bare_night: NightTruth):
    """`--set calibrations.days=200` reaches further back."""
    simulate(tmp_path / "archive", "2025-12-01")
    settings = {"calibrations.days": "200"}
    done = reduce(tmp_path / "raw", calibrations=tmp_path / "archive", settings=settings)
    assert "BIASNAME" in fits.getheader(done.products("reduced")[0])


def test_science_frames_and_products_of_other_nights_are_never_taken(
    tmp_path: Path, reduce: Reduce, bare_night: NightTruth
):
    """Neither are files that cannot be read; they are counted."""
    simulate(tmp_path / "other", "2026-03-13", n_bias=0, n_dark=0, n_flat=0, targets=("OTHER",))
    reduce(tmp_path / "other")
    shutil.move(tmp_path / "out", tmp_path / "archive")
    shutil.copytree(tmp_path / "other", tmp_path / "archive" / "raw")
    (tmp_path / "archive" / "broken.fits").write_bytes(b"no FITS")
    done = reduce(tmp_path / "raw", calibrations=tmp_path / "archive")
    assert done.counts == {"succeeded": 2}
    assert any("1 file in the folders of calibrations" in caveat for caveat in done.caveats())


def test_a_night_inside_the_archive_does_not_meet_itself(tmp_path: Path, reduce: Reduce):
    """The night's own frames are no calibrations of another night."""
    simulate(tmp_path / "raw", "2026-03-14")
    done = reduce(tmp_path / "raw", calibrations=tmp_path)
    assert done.counts["succeeded"] == 2
    assert done.caveats() == []


def test_adapting_reads_no_pixel(
    tmp_path: Path, bare_night: NightTruth, monkeypatch: pytest.MonkeyPatch
):
    """A plan shows what is taken from other nights before a frame is read."""
    simulate(tmp_path / "archive", "2026-03-13")
    pipeline = ImagerPipeline("reduce", night="night", calibrations=tmp_path / "archive")
    with use_roots(Roots(raw=tmp_path, output=tmp_path / "out", night_raw=tmp_path / "raw")):
        load, header, *rest = pipeline.set_configuration("reduce")
        images = [image for path in load.list_inputs() for image in load.load_one(path)]

        def refuse(*_: Any) -> np.ndarray:
            raise AssertionError("pixels were read")

        monkeypatch.setattr(type(images[0].pixels), "read", refuse)
        monkeypatch.setattr(type(images[0].pixels), "read_rows", refuse)
        done = pipeline.adapt(rest, [header.apply_to_image(image) for image in images])
    assert len(done.extra_images) == 13
    assert len({image.get_name() for image in done.extra_images}) == 13
