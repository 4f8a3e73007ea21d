"""The words of the common header dialects."""

from __future__ import annotations

import doctest
from datetime import datetime

import pytest

from mirar_dask.processors import header_words
from mirar_dask.processors.header_words import (
    class_of_name,
    class_of_word,
    from_mjd,
    is_absent,
    join_filters,
    parse_binning,
    parse_date,
    parse_number,
    target_of_name,
    to_mjd,
)


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        (
            "bias",
            ["bias", "BIAS", "zero", "Bias Frame", "BIAS FRAME", "Zero", "Bias-Frame", "Offset"],
        ),
        ("dark", ["dark", "DARK", "Dark Frame", "DARKFLAT", "Flat Dark", "dark_frame"]),
        ("flat", ["flat", "FLAT", "Flat Field", "FLAT FIELD", "Flat Frame", "SKYFLAT", "SkyFlat"]),
        (
            "flat",
            ["dome flat", "DOME FLAT", "Sky Flat", "FLAT,SKY", "twilight", "dflat", "FLATFIELD"],
        ),
        ("science", ["science", "SCIENCE", "object", "OBJECT", "Light Frame", "LIGHT", "Light"]),
        ("science", ["EXPOSE", "STANDARD", "STD", "STD,FLUX", "sci", "target", "Object Frame"]),
        ("other", ["focus", "FOCUS", "ARC", "acq", "LAMPFLAT", "EXPERIMENTAL", "Tricolor Image"]),
        ("other", ["GUIDE", "AUTO_FOCUS", "pointing", "test", "Master Bias", "Master Dark Frame"]),
        (None, ["whatever", "", "12", "dayCal", "M13"]),
    ],
)
def test_usual_words_of_image_types_are_known(kind: str | None, words: list[str]):
    """Words of IRAF, MaxIm DL, LCO, Gemini, ESO, Lowell and INDI, in any spelling."""
    assert {word: class_of_word(word) for word in words} == dict.fromkeys(words, kind)


def test_words_of_an_instrument_win_over_the_usual_ones():
    """A camera may call its science frames by any word."""
    assert class_of_word("Pointing", {"pointing": "science"}) == "science"


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("bias_0001.fits", "bias"),
        ("2024-01-01_Flat-R-003.fit", "flat"),
        ("dark30s.FITS", "dark"),
        ("M13_blue_0001.fits", None),
        ("biased_view.fits", None),
        ("darkcloud_1.fits", None),
        ("dusk_1.fits", None),
    ],
)
def test_a_file_name_tells_a_calibration_frame_by_a_word_of_its_own(name: str, kind: str | None):
    """Parts of longer words, and words that targets have too, tell nothing."""
    assert class_of_name(name) == kind


def test_a_name_tells_frames_of_the_sky_and_a_camera_s_own_words():
    """A word for a calibration counts more than one for the sky, and a camera's own most."""
    assert class_of_name("LIGHT_M13_001.fits") == "science"
    assert class_of_name("flat_light_panel_001.fits") == "flat"
    assert class_of_name("Kühlbild_bias_3.fits", {"khlbild": "dark"}) == "dark"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("14.03.2026 20:21:22", datetime(2026, 3, 14, 20, 21, 22)),
        ("14.03.2026", datetime(2026, 3, 14)),
        ("2026-03-14T01:02:03+02:00", datetime(2026, 3, 13, 23, 2, 3)),
        ("2026-03-14 20:00:00 -0330", datetime(2026, 3, 14, 20, 0, 0)),
        ("2026-03-14T20:00:00.5-0330", datetime(2026, 3, 14, 23, 30, 0, 500000)),
        ("2026-03-14T20:00:00Z", datetime(2026, 3, 14, 20, 0, 0)),
        ("32.03.2026", None),
    ],
)
def test_dates_of_other_habits_are_read(text: str, expected: datetime | None):
    """Day, month and year with dots; a time with its distance from UTC."""
    assert parse_date(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2024-01-02T03:04:05.25", datetime(2024, 1, 2, 3, 4, 5, 250000)),
        ("2024-01-02 03:04:05", datetime(2024, 1, 2, 3, 4, 5)),
        ("2024-01-02", datetime(2024, 1, 2)),
        ("2024/1/2", datetime(2024, 1, 2)),
        ("31/12/98", datetime(1998, 12, 31)),
        ("2024-13-02", None),
        ("yesterday", None),
    ],
)
def test_dates_of_old_and_new_form_are_read(text: str, expected: datetime | None):
    """ISO dates with or without a time, and the FITS form of before 2000."""
    assert parse_date(text) == expected


def test_a_day_and_a_time_of_day_make_a_date():
    """Seconds of 60, as rounding cameras write them, run into the next minute."""
    assert parse_date("2024-01-02", "03:04:60.0") == datetime(2024, 1, 2, 3, 5)
    assert parse_date("2024-01-02T01:00:00", "03:04:05") == datetime(2024, 1, 2, 1)


def test_modified_julian_days_go_both_ways():
    """MJD 51544 is the first day of 2000."""
    assert from_mjd(51544.5) == datetime(2000, 1, 1, 12)
    assert to_mjd(datetime(2000, 1, 1, 12)) == 51544.5


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("2 2", (2, 2)), ("2x2", (2, 2)), ("1,2", (1, 2)), ("1*1", (1, 1)), (3, (3, 3)),
        ("2", (2, 2)), ("Bin2x2", (2, 2)), ("", None), ("0 0", None), (None, None),
    ],
)  # fmt: skip
def test_binnings_are_read_in_every_usual_form(value: object, expected: tuple[int, int] | None):
    """CCDSUM writes two numbers, others one or a word with them."""
    assert parse_binning(value) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (30, 30.0), ("30.0", 30.0), ("1.5E1", 15.0), ("1.5D1", 15.0), ("30 s", 30.0),
        ("1.4 e-/ADU", 1.4), ("long", None), ("", None), (True, None), ("nan", None),
    ],
)  # fmt: skip
def test_numbers_written_as_text_are_read(value: object, expected: float | None):
    """Units behind a number do no harm; words are no numbers."""
    assert parse_number(value) == expected


def test_filters_of_several_wheels_become_one_name():
    """Positions without a filter are left out; all open is 'clear'."""
    assert join_filters(["air", "rp", "air"]) == "rp"
    assert join_filters(["V", "ND2"]) == "V+ND2"
    assert join_filters(["open1-6", "Clear"]) == "clear"
    assert join_filters([None, "UNKNOWN"]) is None


def test_placeholders_count_as_absent():
    """'N/A' and 'UNKNOWN' say as little as no keyword; zero says something."""
    assert all(map(is_absent, ["", " ", "N/A", "UNKNOWN", "none", None, float("nan")]))
    assert not any(map(is_absent, [0, 0.0, False, "0", "r"]))


def test_a_file_name_gives_the_target_without_its_number():
    """Running numbers and endings go; a name of digits alone gives none."""
    assert target_of_name("M13_blue_0001.fits") == "M13_blue"
    assert target_of_name("NGC 891-12.fits.fz") == "NGC 891"
    assert target_of_name("00012.fit") is None


def test_the_examples_in_the_docstrings_hold():
    """Every docstring example of the module runs."""
    assert doctest.testmod(header_words).failed == 0
