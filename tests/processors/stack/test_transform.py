"""Maps between frames, and what is believed of them."""

import numpy as np
import pytest

from mirar_dask.processors.align.transform import Limits, Transform, objection, rms_limit

SHAPE = (300, 400)


def test_a_shift_moves_every_point_alike():
    """Its parts are added to x and y."""
    x, y = Transform.shift(3.5, -2.0).apply(np.array([0.0, 10.0]), np.array([5.0, 6.0]))
    assert x.tolist() == [3.5, 13.5]
    assert y.tolist() == [3.0, 4.0]


def test_a_similarity_turns_about_its_pivot():
    """The pivot moves by the shift alone; a quarter turn takes +x to +y."""
    turn = Transform.similarity(1.0, 2.0, rotation=90.0, scale=2.0, pivot=(10.0, 20.0))
    assert turn.at(10, 20) == pytest.approx((11, 22))
    assert turn.at(11, 20) == pytest.approx((11, 24))
    assert (turn.rotation, turn.scale) == pytest.approx((90.0, 2.0))


def test_inverse_and_composition_undo_each_other():
    """A map after its inverse leaves everything where it is."""
    turn = Transform.similarity(12.0, -7.0, rotation=33.0, scale=1.2, pivot=(200.0, 150.0))
    assert turn.after(turn.inverse).largest_difference(Transform(), SHAPE) < 1e-9
    assert turn.inverse.after(turn).largest_difference(Transform(), SHAPE) < 1e-9


def test_the_offset_is_that_of_the_middle_of_the_frame():
    """A turn about the middle has none."""
    turn = Transform.similarity(4.0, 5.0, rotation=180.0, pivot=(199.5, 149.5))
    assert turn.offset(SHAPE) == pytest.approx((4.0, 5.0))


@pytest.mark.parametrize(
    ("transform", "words"),
    [
        (Transform.similarity(0, 0, scale=1.05), "scale"),
        (Transform.similarity(0, 0, rotation=30.0, pivot=(200, 150)), "turned by 30.00"),
        (Transform.shift(210, 0), "shifted by 210"),
        (Transform.shift(0, -151), "shifted by 0, -151"),
    ],
)
def test_what_cannot_be_is_refused_in_words(transform: Transform, words: str):
    """Scale far from one, a turn, a shift of more than half the frame."""
    reason = objection(transform, SHAPE, Limits())
    assert reason is not None
    assert words in reason


@pytest.mark.parametrize("rotation", [0.0, -3.0, 180.0, 177.0, -178.0])
def test_small_turns_and_a_meridian_flip_are_possible(rotation: float):
    """Upright or upside down, within some degrees."""
    turn = Transform.similarity(20, -30, rotation=rotation, pivot=(199.5, 149.5))
    assert objection(turn, SHAPE, Limits()) is None


def test_residuals_are_judged_by_the_width_of_stars():
    """A pixel is much for sharp stars and little for those of ten pixels."""
    assert rms_limit(Limits(), fwhm=2.5) == 1.0
    assert rms_limit(Limits(), fwhm=10.0) == 2.5
