"""HeaderNormaliser: mirar's core fields from the keywords of real-world headers."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest
from astropy.io.fits import Header

from mirar_dask.data import Image
from mirar_dask.io import MissingCoreFieldError, check_image_has_core_fields
from mirar_dask.processors.utils.header_normalise import (
    HeaderNormaliser,
    MissingKeywordError,
    UnknownImageTypeError,
)

DIALECTS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "mirar": (
        {
            "OBSCLASS": "science", "TARGET": "M31", "EXPTIME": 30.0, "FILTER": "r", "GAIN": 1.6,
            "DATE-OBS": "2024-01-02T03:04:05.000", "COADDS": 1, "CALSTEPS": "", "PROCFAIL": "",
        },
        {"OBSCLASS": "science", "TARGET": "M31", "EXPTIME": 30.0, "FILTER": "r", "GAIN": 1.6},
    ),
    "iraf zero": (
        {"IMAGETYP": "zero", "OBJECT": "bias", "EXPTIME": 0, "CCDSUM": "2 2", "RDNOISE": 7.0},
        {"OBSCLASS": "bias", "TARGET": "bias", "EXPTIME": 0.0, "BINNING": "2x2", "FILTER": "none"},
    ),
    "iraf object of an old camera": (
        {
            "IMAGETYP": "object", "OBJECT": "NGC 7789", "EXPTIME": "30.", "FILTERS": "V",
            "DATE-OBS": "31/12/98", "UT": "03:04:05", "GTGAIN": 2.0,
        },
        {
            "TARGET": "NGC 7789", "EXPTIME": 30.0, "FILTER": "V", "GAIN": 1.0,
            "DATE-OBS": "1998-12-31T03:04:05.000",
        },
    ),
    "maxim light": (
        {
            "IMAGETYP": "Light Frame", "OBJECT": "M13", "EXPOSURE": 120.0, "FILTER": "Red",
            "EGAIN": 0.38, "XBINNING": 2, "YBINNING": 2, "OBJCTRA": "16 41 41",
        },
        {
            "OBSCLASS": "science", "EXPTIME": 120.0, "FILTER": "Red", "GAIN": 0.38,
            "BINNING": "2x2", "RA": "16 41 41",
        },
    ),
    "maxim flat": (
        {"IMAGETYP": "Flat Field", "EXPTIME": 3.0, "FILTER": "Red"},
        {"OBSCLASS": "flat", "TARGET": "flat", "FILTER": "Red"},
    ),
    "cmos camera whose GAIN is a setting": (
        {"IMAGETYP": "LIGHT", "EXPTIME": 60.0, "GAIN": 120, "EGAIN": 0.95, "OFFSET": 30},
        {"GAIN": 0.95, "GAINSET": 120},
    ),
    "lco": (
        {
            "OBSTYPE": "EXPOSE", "OBJECT": "auto_focus field", "EXPTIME": 30.0, "FILTER": "rp",
            "FILTER1": "air", "FILTER2": "rp", "GAIN": 3.54, "CCDSUM": "1 1", "CONFMODE": "full",
            "BIASSEC": "UNKNOWN", "TRIMSEC": "[1:4096,1:4096]", "SATURATE": 64000, "RDNOISE": 9.5,
            "DATE-OBS": "2024-01-02T03:04:05.000", "MJD-OBS": 60311.1278357,
        },
        {"OBSCLASS": "science", "FILTER": "rp", "GAIN": 3.54, "TARGET": "auto_focus field"},
    ),
    "lco sky flat": ({"OBSTYPE": "SKYFLAT", "EXPTIME": 1.0, "FILTER": "B"}, {"OBSCLASS": "flat"}),
    "gemini bias": (
        {"OBSCLASS": "dayCal", "OBSTYPE": "BIAS", "OBJECT": "Bias", "EXPTIME": 0.0},
        {"OBSCLASS": "bias"},
    ),
    "gemini standard": (
        {
            "OBSCLASS": "partnerCal", "OBSTYPE": "OBJECT", "OBJECT": "Landolt 92", "EXPTIME": 5.0,
            "FILTER1": "r_G0303", "FILTER2": "open2-8",
        },
        {"OBSCLASS": "science", "FILTER": "r_G0303"},
    ),
    "gemini twilight flat": (
        {"OBSCLASS": "dayCal", "OBSTYPE": "OBJECT", "OBJECT": "Twilight", "EXPTIME": 9.0},
        {"OBSCLASS": "flat"},
    ),
    "gemini acquisition": (
        {"OBSCLASS": "acq", "OBSTYPE": "OBJECT", "OBJECT": "SN", "EXPTIME": 9.0},
        {"OBSCLASS": "other"},
    ),
    "eso": (
        {
            "HIERARCH ESO DPR TYPE": "FLAT,SKY", "EXPTIME": 9.0,
            "HIERARCH ESO INS FILT1 NAME": "R_SPECIAL", "HIERARCH ESO DET OUT1 CONAD": 2.3,
            "MJD-OBS": 51544.5,
        },
        {
            "OBSCLASS": "flat", "FILTER": "R_SPECIAL", "GAIN": 2.3,
            "DATE-OBS": "2000-01-01T12:00:00.000",
        },
    ),
    "indi": ({"FRAME": "Dark", "EXPTIME": 60.0}, {"OBSCLASS": "dark", "TARGET": "dark"}),
    "frame number beside the type": (
        {"FRAME": 17, "IMAGETYP": "Dark Frame", "EXPTIME": 60.0}, {"OBSCLASS": "dark"},
    ),
    "type in OBJECT only": ({"OBJECT": "Flat", "EXPTIME": 2.0}, {"OBSCLASS": "flat"}),
}  # fmt: skip


def image(
    cards: dict[str, Any], name: str = "M13_blue_0001.fits", shape: tuple[int, int] = (4, 6)
) -> Image:
    header = Header({"BASENAME": name, "RAWPATH": f"raw/{name}", "CALSTEPS": "", "PROCFAIL": ""})
    for key, value in cards.items():
        header[key] = value
    return Image(np.zeros(shape, np.float32), header)


@pytest.mark.parametrize("dialect", DIALECTS)
def test_the_dialects_of_real_cameras_give_the_core_fields(dialect: str):
    """What each camera writes becomes mirar's core fields."""
    cards, expected = DIALECTS[dialect]
    done = HeaderNormaliser().apply_to_image(image(cards))
    assert {key: done[key] for key in expected} == expected
    check_image_has_core_fields(done)


@pytest.mark.parametrize("dialect", DIALECTS)
def test_normalising_twice_changes_nothing(dialect: str):
    """A frame may meet the step again: masters and archived frames do."""
    normaliser = HeaderNormaliser()
    once = normaliser.apply_to_image(image(DIALECTS[dialect][0]))
    before = dict(once.get_header())
    assert dict(normaliser.apply_to_image(once).get_header()) == before


def test_a_frame_with_hardly_any_keyword_gets_defaults_and_says_so():
    """Target from the file's name, filter 'none', gain 1; all three named in ASSUMED."""
    done = HeaderNormaliser().apply_to_image(image({"IMAGETYP": "Light Frame", "EXPTIME": 5.0}))
    assert (done["TARGET"], done["FILTER"], done["GAIN"]) == ("M13_blue", "none", 1.0)
    assert done["ASSUMED"] == "TARGET,FILTER,GAIN,DATE-OBS"
    assert done["CALGROUP"] == "6x4, bin 1x1"


def test_a_bias_frame_needs_no_exposure_time_and_a_dark_frame_does():
    """A bias lasts no time by definition; a dark is scaled by its time."""
    assert HeaderNormaliser().apply_to_image(image({"IMAGETYP": "bias"}))["EXPTIME"] == 0.0
    with pytest.raises(MissingKeywordError, match="tried EXPTIME, EXPOSURE"):
        HeaderNormaliser().apply_to_image(image({"IMAGETYP": "dark"}))


@pytest.mark.parametrize("cards", [{}, {"EXPTIME": "long"}, {"EXPOSURE": "N/A"}, {"EXPTIME": -1.0}])
def test_a_science_frame_without_exposure_time_fails_by_name(cards: dict[str, Any]):
    """The message names the file, what was tried or found, and the remedy."""
    frame = image({"IMAGETYP": "object", **cards}, name="x_07.fits")
    before = dict(frame.get_header())
    with pytest.raises(MissingCoreFieldError, match=r"^x_07.fits: .*EXPTIME.*\[header\]"):
        HeaderNormaliser().apply_to_image(frame)
    assert dict(frame.get_header()) == before


def test_a_frame_whose_type_nothing_tells_fails_and_names_what_was_tried():
    """No keyword, no OBJECT, no word in the file's name."""
    with pytest.raises(UnknownImageTypeError, match=r"0001.fits: .*OBSCLASS, OBSTYPE, IMAGETYP"):
        HeaderNormaliser().apply_to_image(image({"EXPTIME": 1.0}, name="0001.fits"))


def test_a_keyword_that_seems_to_tell_the_type_is_named():
    """Whoever writes an instrument file need not look for it."""
    with pytest.raises(UnknownImageTypeError, match="perhaps BILDTYP does, which is 'Flat'"):
        HeaderNormaliser().apply_to_image(image({"BILDTYP": "Flat", "EXPTIME": 3.0}))


def test_the_folder_in_the_night_tells_the_type_when_no_keyword_does():
    """The innermost that does; a keyword of the header counts more, the file's name less."""
    cards = {"EXPTIME": 3.0, "SUBDIR": "2026-03-14_LIGHTS/Flats/R"}
    assert HeaderNormaliser().apply_to_image(image(cards))["OBSCLASS"] == "flat"
    cards = {"EXPTIME": 3.0, "SUBDIR": "LIGHTS", "IMAGETYP": "Dark Frame"}
    assert HeaderNormaliser().apply_to_image(image(cards))["OBSCLASS"] == "dark"
    own = HeaderNormaliser(image_types={"dark": ["Dunkel"]})
    cards = {"EXPTIME": 3.0, "SUBDIR": "Dunkel"}
    assert own.apply_to_image(image(cards, name="bias_1.fits"))["OBSCLASS"] == "dark"


def test_a_keyword_may_be_scaled_and_a_day_joined_with_a_time():
    """Milliseconds become seconds; two keywords make one moment, or none if one is absent."""
    own = HeaderNormaliser(aliases={"EXPTIME": ["EXPMS/1000"], "DATE-OBS": ["DATUM+UHRZEIT"]})
    cards = {"IMAGETYP": "flat", "EXPMS": 300, "DATUM": "14.03.2026", "UHRZEIT": "20:21:22"}
    found = own.apply_to_image(image(cards))
    assert (found["EXPTIME"], found["DATE-OBS"]) == (0.3, "2026-03-14T20:21:22.000")
    found = own.apply_to_image(image({**cards, "UHRZEIT": ""}))
    assert "DATE-OBS" in found["ASSUMED"]


def test_a_type_that_is_not_known_is_named_with_its_near_matches():
    """A misspelled word is shown with what was probably meant."""
    with pytest.raises(UnknownImageTypeError, match=r"IMAGETYP = 'Scienze'.*mean 'science'"):
        HeaderNormaliser().apply_to_image(image({"IMAGETYP": "Scienze", "EXPTIME": 1.0}))


def test_the_file_name_tells_the_type_when_no_keyword_does():
    """bias_0001.fits is a bias frame."""
    assert HeaderNormaliser().apply_to_image(image({}, name="bias_1.fits"))["OBSCLASS"] == "bias"


def test_an_instrument_names_its_own_keywords_words_and_values():
    """Aliases win over the usual keywords; values over everything; defaults over nothing."""
    normaliser = HeaderNormaliser(
        aliases={"EXPTIME": ["ITIME"], "FILTER": ["WHEEL1+WHEEL2"], "OBSCLASS": ["KIND"]},
        defaults={"TARGET": "survey", "GAIN": 2.0},
        values={"SATURATE": 50000.0, "BIASSEC": "[1:2,1:4]"},
        image_types={"science": ["Himmel"]},
    )
    cards = {"KIND": "himmel", "ITIME": 7.0, "EXPTIME": 1.0, "SATURATE": 65535}
    done = normaliser.apply_to_image(image({**cards, "WHEEL1": "open", "WHEEL2": "V", "GAIN": 3.0}))
    assert (done["OBSCLASS"], done["EXPTIME"], done["FILTER"]) == ("science", 7.0, "V")
    assert (done["TARGET"], done["GAIN"], done["SATURATE"]) == ("survey", 3.0, 50000.0)
    assert done["BIASSEC"] == "[1:2,1:4]"
    assert "ASSUMED" not in done.keys() or "TARGET" not in done["ASSUMED"]


@pytest.mark.parametrize(
    ("cards", "other"),
    [
        ({"XBINNING": 1}, {"XBINNING": 2}),
        ({"GAIN": 1.5}, {"GAIN": 3.0}),
        ({"INSTRUME": "red arm"}, {"INSTRUME": "blue arm"}),
        ({"READOUTM": "Fast"}, {"READOUTM": "Slow"}),
        ({"XORGSUBF": 0}, {"XORGSUBF": 100}),
        ({"EXTPOS": 1}, {"EXTPOS": 2}),
    ],
)
def test_frames_that_do_not_fit_each_other_are_in_different_groups(
    cards: dict[str, Any], other: dict[str, Any]
):
    """Binning, gain, camera, readout, window and extension part frames; so does the shape."""

    def group(more: dict[str, Any], shape: tuple[int, int] = (4, 6)) -> str:
        frame = image({"IMAGETYP": "bias", **more}, shape=shape)
        return str(HeaderNormaliser().apply_to_image(frame)["CALGROUP"])

    assert group(cards) == group(cards)
    assert group(cards) != group(other)
    assert group(cards) != group(cards, (4, 7))


def test_a_trimmed_frame_belongs_to_the_group_of_its_trimmed_shape():
    """So that masters made of trimmed frames match raw frames."""
    raw = image({"IMAGETYP": "bias", "TRIMSEC": "[3:6,1:4]", "BIASSEC": "[1:2,1:4]"})
    assert HeaderNormaliser().apply_to_image(raw)["CALGROUP"].startswith("4x4,")
    raw = image({"IMAGETYP": "bias", "TRIMSEC": "[3:6,1:4]", "BIASSEC": "[1:2,1:4]"})
    assert HeaderNormaliser(trim=False).apply_to_image(raw)["CALGROUP"].startswith("6x4,")


def test_only_the_keys_that_it_declares_are_changed():
    """The planner relies on `changes_keys`."""
    for cards, _ in DIALECTS.values():
        frame = image(cards)
        before = dict(frame.get_header())
        after = dict(HeaderNormaliser().apply_to_image(frame).get_header())
        changed = {key for key in after if after[key] != before.get(key)}
        assert changed <= HeaderNormaliser().changes_keys()


def test_it_is_a_value():
    """Equal by its parameters, also behind a pickle."""
    one = HeaderNormaliser(aliases={"EXPTIME": ("ITIME",)}, trim=False)
    assert pickle.loads(pickle.dumps(one)) == one
    assert one != HeaderNormaliser(trim=False)
