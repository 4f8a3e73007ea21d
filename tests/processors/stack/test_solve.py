"""Frames of many kinds are aligned right, and what cannot be aligned is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from mirar_dask.processors.align.transform import AlignmentError, Limits, Solution

SHIFTS = [(0.0, 0.0), (7.3, -4.6), (-15.2, 9.1), (30.4, 22.7)]
STILL = [(0.0, 0.0), (0.2, 0.1), (-0.3, 0.2), (0.0, -0.1)]

SEEDS = [1, *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(2, 8))]

HOT: dict[str, Any] = {"sigma": 8, "hot": 700, "columns": 5}
GROUPS: dict[str, Any] = {"sigma": 8, "hot": 150, "groups": 90}

CASES: dict[str, dict[str, Any]] = {
    "well exposed": {},
    "three stars": {"n": 3, "bright": 6000},
    "five stars": {"n": 5, "bright": 4000},
    "two hundred stars": {"n": 200},
    "nothing moved": {"shifts": STILL},
    "nothing moved, hot pixels": {"shifts": STILL, "pattern": HOT},
    "hot pixels": {"pattern": HOT},
    "more hot groups than stars": {"n": 25, "pattern": GROUPS},
    "slow drift among hot groups": {
        "pattern": GROUPS,
        "shifts": [(0, 0), (1.2, 0.8), (2.3, 1.9), (3.6, 2.4)],
    },
    "slow drift": {"shifts": [(0, 0), (0.7, 0.4), (1.4, 0.9), (2.2, 1.3)], "pattern": HOT},
    "faint": {"bright": 900, "pattern": {"sigma": 8}, "error": 0.4},
    "out of focus": {"bright": 8000, "frame": {"fwhm": 10}, "error": 0.4},
    "sharp": {"frame": {"fwhm": 1.6}},
    "turned": {"rotations": [0, 0.3, -1.1, 3.9]},
    "meridian flip": {"rotations": [0, 180.3, 180, -0.5]},
    "clouds": {"transparencies": [1, 0.5, 0.15, 0.6], "error": 0.4},
    "moonlight": {"frame": {"gradient": 2000, "level": 1000}},
    "cosmic rays": {"frame": {"rays": 150}},
    "far away": {"n": 90, "shifts": [(0, 0), (140, -100), (-90, 70), (40, 120)]},
    "two frames": {"shifts": [(0, 0), (11.4, -6.3)], "pattern": GROUPS | {"groups": 40}},
    "whole pixels": {"shifts": [(0, 0), (5, -3), (-12, 8), (20, 31)], "pattern": HOT},
}


def simulate(simulator, case: dict[str, Any], seed: int):
    """Frames of one sky, and how they lie."""
    sim = simulator.seed(seed, 77)
    sky = sim.sky(case.get("n", 40), case.get("bright", 3000), cluster=case.get("cluster", False))
    pattern = sim.pattern(**case["pattern"]) if "pattern" in case else None
    shifts = case.get("shifts", SHIFTS)
    rotations = case.get("rotations", [0] * len(shifts))
    truth = [sim.place(*s, rotation=r) for s, r in zip(shifts, rotations, strict=True)]
    clear = case.get("transparencies", [1] * len(shifts))
    frames = [
        sim.frame(sky, t, pattern=pattern, transparency=c, **case.get("frame", {}))
        for t, c in zip(truth, clear, strict=True)
    ]
    return sim, frames, truth, pattern


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("name", CASES)
def test_frames_are_aligned(simulator, name: str, seed: int):
    """Every frame is aligned, to a fraction of a pixel all over the frame."""
    case = CASES[name]
    sim, frames, truth, _ = simulate(simulator, case, seed)
    ref, found = sim.align(frames)
    errors = sim.errors(found, ref, truth)
    assert ref == 0
    assert None not in errors, [str(each) for each in found]
    assert max(errors) < case.get("error", 0.25), (name, errors)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(
    "pattern", [{}, HOT, GROUPS, {"sigma": 15, "hot": 300}], ids=["none", "hot", "groups", "noise"]
)
def test_a_frame_of_another_field_is_refused(simulator, pattern: dict[str, Any], seed: int):
    """It is refused, whatever pattern it shares with the others, and these are aligned."""
    sim, frames, truth, fixed = simulate(simulator, {"pattern": pattern}, seed)
    frames[2] = sim.frame(sim.sky(40), pattern=fixed)
    ref, found = sim.align(frames)
    errors = sim.errors(found, ref, truth)
    assert isinstance(found[2], AlignmentError)
    assert errors[2] is None
    assert max(errors[i] for i in (0, 1, 3)) < 0.25


@pytest.mark.parametrize("seed", SEEDS[:2])
def test_another_field_is_refused_where_nothing_else_moved(simulator, seed: int):
    """All that agrees with the others is the camera's: too little, and it did not move."""
    case = {"shifts": STILL, "pattern": {"sigma": 8, "groups": 50}, "n": 40}
    sim, frames, _, fixed = simulate(simulator, case, seed)
    frames[2] = sim.frame(sim.sky(40), pattern=fixed)
    _, found = sim.align(frames)
    assert [isinstance(each, Solution) for each in found] == [True, True, False, True]


@pytest.mark.parametrize("pattern", [None, HOT, GROUPS], ids=["none", "hot", "groups"])
def test_a_frame_without_stars_is_refused(simulator, pattern):
    """Closed dome: what the camera shows by itself is no sky."""
    case = {} if pattern is None else {"pattern": pattern}
    sim, frames, _, fixed = simulate(simulator, case, 4)
    frames[1] = sim.frame(None, pattern=fixed)
    _, found = sim.align(frames)
    assert [isinstance(each, Solution) for each in found] == [True, False, True, True]
    assert "stars" in str(found[1])


@pytest.mark.parametrize("seed", SEEDS)
def test_frames_of_noise_are_refused(simulator, seed: int):
    """Nothing at all is no field; the reference alone is left."""
    sim = simulator.seed(seed, 5)
    _, found = sim.align([sim.frame(None) for _ in range(4)])
    assert sum(isinstance(each, Solution) for each in found) == 1


def test_many_stars_of_two_fields_do_not_agree_by_chance(simulator):
    """In crowded fields some stars always agree; that is not enough."""
    sim = simulator.seed(11)
    frames = [sim.frame(sim.sky(250)) for _ in range(2)]
    _, found = sim.align(frames)
    assert sum(isinstance(each, Solution) for each in found) == 1


def test_a_bad_first_frame_does_not_become_the_reference(simulator):
    """If the first frame shows nothing, the others are aligned with another."""
    sim, frames, truth, _ = simulate(simulator, {}, 3)
    frames[0] = sim.frame(None)
    ref, found = sim.align(frames)
    errors = sim.errors(found, ref, truth)
    assert ref != 0
    assert isinstance(found[0], AlignmentError)
    assert max(errors[1:]) < 0.25


@pytest.mark.parametrize("seed", SEEDS[:2])
@pytest.mark.parametrize("pattern", [{}, HOT, GROUPS], ids=["none", "hot", "groups"])
def test_cross_correlation_alone_finds_the_shifts(simulator, pattern, seed: int):
    """A fixed pattern, which correlates best at no shift, does not mislead it."""
    sim, frames, truth, _ = simulate(simulator, {"pattern": pattern}, seed)
    ref, found = sim.align(frames, methods=("correlation",))
    errors = sim.errors(found, ref, truth)
    assert None not in errors
    assert max(errors) < 0.5
    assert {each.method for each in found} == {"reference", "correlation"}


@pytest.mark.parametrize("seed", SEEDS[:2])
def test_stars_too_faint_to_be_told_one_by_one(simulator, seed: int):
    """A cluster of blurred stars behind a strong pattern, as a small camera sees it."""
    case = {
        "n": 120,
        "bright": 2500,
        "cluster": True,
        "pattern": {"sigma": 17, "hot": 300},
        "frame": {"fwhm": 7, "noise": 15, "rows": 3},
        "error": 1.5,
    }
    sim, frames, truth, _ = simulate(simulator, case, seed)
    ref, found = sim.align(frames)
    errors = sim.errors(found, ref, truth)
    assert None not in errors
    assert max(errors) < 1.5


def test_frames_without_a_common_shape_are_aligned_by_stars(simulator):
    """A smaller frame of the same field has its place in the larger one."""
    sim, frames, truth, _ = simulate(simulator, {}, 5)
    cut = frames[1][10:260, 20:390]
    ref, found = sim.align([frames[0], cut])
    assert isinstance(found[1], Solution)
    x, y = found[1].transform.at(200, 150)
    true_x, true_y = truth[1].at(200, 150)
    assert (x, y) == pytest.approx((true_x - 20, true_y - 10), abs=0.1)
    assert ref == 0


def test_limits_are_kept(simulator):
    """What lies beyond them is refused, with the reason."""
    sim, frames, _, _ = simulate(simulator, {"rotations": [0, 3.0, 0, 0]}, 1)
    _, found = sim.align(frames, Limits(max_rotation=1.0, max_shift=0.06))
    assert isinstance(found[1], AlignmentError)  # turned
    assert isinstance(found[2], Solution)
    assert isinstance(found[3], AlignmentError)  # shifted by more than 18 rows


def test_the_same_frames_give_the_same_answer(simulator):
    """No chance is left in it."""
    sim, frames, _, _ = simulate(simulator, {"pattern": HOT}, 9)
    first, again = sim.align(frames), sim.align(frames)
    assert str(first) == str(again)


def test_fluxes_are_compared(simulator):
    """The ratio of common stars tells how clear it was."""
    sim, frames, _, _ = simulate(simulator, {"transparencies": [1, 0.5, 1, 1]}, 2)
    _, found = sim.align(frames)
    assert isinstance(found[1], Solution)
    assert found[1].flux_ratio == pytest.approx(0.5, rel=0.05)
    assert np.isfinite([each.significance for each in found[1:]]).all()
