"""ADU become electrons, once."""

from __future__ import annotations

import numpy as np
import pytest

from mirar_dask.errors import ProcessorError, UsageError
from mirar_dask.processors.gain import GainCorrector


def counts(make_image, **keys):
    return make_image(np.array([[1.0, np.nan], [3.0, 4.0]], "f4"), **keys)


@pytest.mark.parametrize("unit", [None, "", "adu", "ADU", "DN", "count"])
def test_pixels_and_header_are_in_electrons(make_image, unit):
    """Masked pixels stay masked."""
    image = counts(make_image, GAIN=1.5, SATURATE=50000.0, BUNIT=unit)
    GainCorrector().apply_to_image(image)
    assert np.array_equal(image.get_data(), [[1.5, np.nan], [4.5, 6.0]], equal_nan=True)
    assert image.dtype == np.float32
    assert (image["BUNIT"], image["GAIN"], image["GAINUSED"]) == ("electron", 1.0, 1.5)
    assert image["SATURATE"] == 75000.0


def test_a_gain_may_be_given_as_a_number_or_by_another_key(make_image):
    """The header's GAIN says 1 afterwards in any case."""
    image = GainCorrector(gain=2.0).apply_to_image(counts(make_image, GAIN=9.0))
    assert (image.get_data()[1, 0], image["GAIN"]) == (6.0, 1.0)
    image = GainCorrector(gain_key="EGAIN").apply_to_image(counts(make_image, EGAIN=2.0))
    assert (image.get_data()[1, 0], image["EGAIN"], image["GAIN"]) == (6.0, 1.0, 1.0)


@pytest.mark.parametrize(
    ("comment", "expected"),
    [("", 5.0), ("[electron] read noise", 5.0), ("[ADU] read noise", 10.0), ("in counts", 10.0),
     ("e-/ADU", 5.0)],
)  # fmt: skip
def test_read_noise_is_in_electrons_unless_its_comment_says_counts(make_image, comment, expected):
    """As headers have it by custom."""
    image = GainCorrector(gain=2.0).apply_to_image(counts(make_image, RDNOISE=(5.0, comment)))
    assert image["RDNOISE"] == expected


def test_a_second_time_changes_nothing_but_leaves_a_caveat(make_image):
    """So the step may be repeated."""
    image = GainCorrector(gain=2.0).apply_to_image(counts(make_image))
    once = image.get_data()
    again, records = GainCorrector(gain=2.0).process_image(image)
    assert np.array_equal(again.get_data(), once, equal_nan=True)
    assert [(record.status, record.reason) for record in records] == [
        ("succeeded with caveats", "BUNIT is 'electron' already: not multiplied by the gain")
    ]


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"GAIN": "high"}, r"GAIN='high', not a finite number: needed to turn ADU into electrons"),
        ({"GAIN": 0.0}, r"GAIN=0\.0, a gain must be positive"),
        ({"GAIN": -1.0}, "must be positive"),
        ({"BUNIT": "Jy"}, r"is in 'jy' \(BUNIT\)"),
        ({"GAIN": True}, "not a finite number"),
    ],
)
def test_what_cannot_be_multiplied_is_left_as_it_was(make_image, keys, message):
    """The error names image, key and value."""
    image = counts(make_image, **keys)
    before = image.pixels
    with pytest.raises(ProcessorError, match=message):
        GainCorrector().apply_to_image(image)
    assert image.pixels is before
    assert "GAINUSED" not in image


def test_a_missing_gain_is_named(make_image):
    """With what it is needed for."""
    image = counts(make_image)
    del image.header["GAIN"]
    with pytest.raises(ProcessorError, match=r"'a\.fits' has no GAIN: needed to turn ADU"):
        GainCorrector().apply_to_image(image)


@pytest.mark.parametrize("gain", [0.0, -1.0, float("nan"), float("inf")])
def test_a_nonsense_number_is_refused(gain):
    """When the processor is made."""
    with pytest.raises(UsageError, match="expected a positive number"):
        GainCorrector(gain=gain)
