"""What a night lacks, and where it is taken from: decided from headers alone."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mirar_dask.pipelines.calibrations import Archive, Held, Need, associate
from mirar_dask.pipelines.night_needs import decide, describe_assumed, needs_of

GROUP = "64x64, bin 1x1"
TONIGHT = 60000.3


def frames(kind: str, n: int = 3, **more: Any) -> list[Held]:
    mjd = more.pop("mjd", TONIGHT)
    name = more.pop("name", kind)
    base: dict[str, Any] = {"group": GROUP, "filter": "r", "kind": kind, **more}
    return [Held(name=f"{name}_{i}.fits", mjd=mjd + 0.001 * i, **base) for i in range(n)]


def master(kind: str, **more: Any) -> list[Held]:
    made = frames(kind, 1, name=f"master_{kind}", **more)
    return [replace(frame, master=True, path=Path(frame.name)) for frame in made]


NIGHT = [*frames("bias"), *frames("dark"), *frames("flat"), *frames("science")]
ALL = ("bias", "dark", "flat")


def test_a_complete_night_needs_nothing():
    """Every frame has its calibrations: no caveats."""
    decisions = decide(NIGHT, ALL)
    assert (decisions.left_out, decisions.associations, decisions.caveats) == ((), (), ())


@pytest.mark.parametrize("kind", ALL)
def test_a_kind_that_the_night_lacks_altogether_is_left_out_with_a_caveat(kind: str):
    """One sentence names the kind."""
    night = [frame for frame in NIGHT if frame.kind != kind]
    decisions = decide(night, ALL)
    assert decisions.left_out == (kind,)
    assert decisions.caveats == (f"no {kind} frames in this night: its step was left out",)


def test_a_kind_that_is_there_but_matches_not_every_frame_stays_and_is_explained():
    """The step stays, so that it blocks the frames; the sentence says what there is instead."""
    night = [*NIGHT, *frames("science", 2, group="32x32, bin 2x2")]
    decisions = decide(night, ALL)
    assert decisions.left_out == ()
    assert "bias for 32x32, bin 2x2: no frame of this night matches" in decisions.caveats[0]
    assert "2 frames need it (there are: 3 of 64x64, bin 1x1)" in decisions.caveats[0]


def test_flats_are_needed_filter_by_filter():
    """Flats of r do not serve frames of g; biases serve all."""
    night = [*NIGHT, *frames("science", 2, filter="g")]
    assert [str(need) for need in needs_of(night, "flat")] == [f"flat for {GROUP}, filter g"]
    assert needs_of(night, "bias") == []


def test_frames_that_calibrate_nothing_are_named():
    """A lone bias frame of another size is told apart from the others."""
    night = [*NIGHT, *frames("bias", 1, name="odd", group="32x32, bin 1x1")]
    (caveat,) = decide(night, ALL).caveats
    assert caveat.startswith("odd_0.fits (bias, 32x32, bin 1x1): no science frame")


def test_a_night_of_calibrations_alone_says_so():
    """Masters are made for other nights."""
    night = [frame for frame in NIGHT if frame.kind != "science"]
    assert decide(night, ALL).caveats == (
        "no science frames in this night: masters are made, nothing else",
    )


def test_what_the_night_has_is_never_taken_from_other_nights():
    """The archive serves only the kinds, shapes and filters that the night lacks."""
    archive = Archive((*master("bias", mjd=TONIGHT - 1), *master("flat", mjd=TONIGHT - 1)))
    night = [frame for frame in NIGHT if frame.kind != "flat"]
    decisions = decide(night, ALL, archive)
    assert [choice.need.kind for choice in decisions.associations] == ["flat"]
    assert decisions.left_out == ()
    (caveat,) = decisions.caveats
    assert "master master_flat_0.fits of 2023-02-24, 1.0 days earlier" in caveat


def test_an_archive_without_a_match_leaves_the_kind_out_and_says_why():
    """The caveat counts what was there and too far away."""
    archive = Archive((*frames("bias", mjd=TONIGHT - 100), *master("dark", group="other")))
    decisions = decide(frames("science"), ALL, archive)
    assert decisions.left_out == ALL
    assert "none of the 3 of other nights matches within 30 days" in decisions.caveats[0]
    assert "nor among the calibrations of other nights" in decisions.caveats[2]


NEED = Need("flat", GROUP, "r", TONIGHT)


def test_the_nearest_in_time_is_chosen():
    """Before or after; the sign tells."""
    early, late = frames("flat", mjd=TONIGHT - 3), frames("flat", mjd=TONIGHT + 2, name="late")
    choice = associate(NEED, Archive((*early, *late)), 30)
    assert choice is not None
    assert choice.frames == tuple(late)
    assert choice.days == pytest.approx(2.0, abs=0.01)
    assert "3 frames of 2023-02-27, 2.0 days later" in str(choice)


def test_masters_are_preferred_to_frames_that_are_nearer():
    """A master is ready, and was checked by whoever made it."""
    near, far = frames("flat", mjd=TONIGHT - 1), master("flat", mjd=TONIGHT - 9)
    choice = associate(NEED, Archive((*near, *far)), 30)
    assert choice is not None
    assert choice.is_master
    assert choice.frames == tuple(far)


@pytest.mark.parametrize(
    "wrong",
    [
        {"group": "64x64, bin 2x2"}, {"group": "32x32, bin 1x1"}, {"filter": "g"},
        {"kind": "dark"}, {"mjd": TONIGHT - 31}, {"mjd": TONIGHT + 31},
    ],
)  # fmt: skip
def test_another_shape_binning_filter_kind_or_a_distant_night_is_not_used(wrong: dict[str, Any]):
    """Nothing is better than something wrong."""
    kind = wrong.pop("kind", "flat")
    wrong.setdefault("mjd", TONIGHT - 1)
    assert associate(NEED, Archive(tuple(frames(kind, **wrong))), 30) is None


def test_frames_of_one_night_alone_are_combined():
    """The nearest night's frames, not those of the night before it."""
    first, second = frames("flat", mjd=TONIGHT - 4), frames("flat", mjd=TONIGHT - 3, name="near")
    choice = associate(NEED, Archive((*first, *second)), 30)
    assert choice is not None
    assert choice.frames == tuple(second)


def test_bias_and_dark_frames_serve_every_filter():
    """Only flats depend on the filter."""
    choice = associate(Need("bias", GROUP, None, TONIGHT), Archive(tuple(frames("bias"))), 30)
    assert choice is not None


def test_what_has_no_date_is_never_chosen():
    """Neither a frame without a date, nor anything for a night without one."""
    undated = [replace(frame, mjd=None) for frame in frames("flat")]
    assert associate(NEED, Archive(tuple(undated)), 30) is None
    assert associate(replace(NEED, mjd=None), Archive(tuple(frames("flat"))), 30) is None


def test_fields_that_were_filled_in_are_told_once_for_the_night():
    """One sentence a field, with the number of frames and the keywords that were tried."""
    assumed = [(f"x_{i}.fits", "GAIN,FILTER" if i else "GAIN") for i in range(5)]
    gain, band = describe_assumed(assumed, {"GAIN": ["EGAIN", "GAIN"]})
    assert gain == (
        "GAIN is not in the headers of 5 frames (x_0.fits, x_1.fits, x_2.fits and 2 more; tried "
        "EGAIN, GAIN): 1 electron per ADU is assumed; an instrument file can say it: "
        "[detector] gain"
    )
    assert band.startswith("FILTER is not in the headers of 4 frames")
    assert band.endswith("an instrument file can say it: [header] or [defaults] FILTER")
