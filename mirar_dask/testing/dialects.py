"""The headers that simulated cameras write, one dialect for each habit of the field.

Used by `mirar_dask.testing.night`; a new dialect is one more entry of `DIALECTS`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from mirar_dask.testing.camera import Camera, Shape
from mirar_dask.testing.starfield import StarField
from mirar_dask.testing.truth import FrameTruth

if TYPE_CHECKING:
    from astropy.io.fits import Header

Value = str | float | int


@dataclass(frozen=True, slots=True)
class Dialect:
    """How one family of cameras names what it writes."""

    kind_key: str
    """Key that tells bias, dark, flat and science frames apart."""
    kinds: Mapping[str, str]
    """Its values, by our kind."""
    exptime_keys: tuple[str, ...] = ("EXPTIME",)
    target_key: str = "OBJECT"
    gain_key: str = "GAIN"
    noise_key: str | None = "RDNOISE"
    saturate_key: str | None = "SATURATE"
    filter_of_calibrations: str | None = None
    """FILTER of bias and dark frames; None leaves the key out."""
    mjd: bool = True
    """Whether the start of the exposure is given as MJD-OBS too."""
    absent_section: str | None = None
    """Value of the section keys of a camera without overscan; None leaves the keys out."""
    extra: Mapping[str, Value] = field(default_factory=dict)


DIALECTS: Mapping[str, Dialect] = {
    "mirar": Dialect(
        kind_key="OBSCLASS",
        kinds={"bias": "bias", "dark": "dark", "flat": "flat", "science": "science"},
        target_key="TARGET",
        filter_of_calibrations="none",
        extra={"COADDS": 1, "CALSTEPS": "", "PROCFAIL": ""},
    ),
    "iraf": Dialect(
        kind_key="IMAGETYP",
        kinds={"bias": "zero", "dark": "dark", "flat": "flat", "science": "object"},
        saturate_key=None,
        extra={"CCDSUM": "1 1"},
    ),
    "maxim": Dialect(
        kind_key="IMAGETYP",
        kinds={
            "bias": "Bias Frame",
            "dark": "Dark Frame",
            "flat": "Flat Field",
            "science": "Light Frame",
        },
        exptime_keys=("EXPOSURE",),
        gain_key="EGAIN",
        noise_key=None,
        saturate_key=None,
        mjd=False,
        extra={"XBINNING": 1, "YBINNING": 1, "CCD-TEMP": -20.0, "SWCREATE": "simulated"},
    ),
    "lco": Dialect(
        kind_key="OBSTYPE",
        kinds={"bias": "BIAS", "dark": "DARK", "flat": "SKYFLAT", "science": "EXPOSE"},
        absent_section="UNKNOWN",
        extra={"CCDSUM": "1 1"},
    ),
}
"""By name: mirar's core fields, IRAF's habits, MaxIm DL's, Las Cumbres Observatory's."""


def frame_header(
    frame: FrameTruth,
    camera: Camera,
    shape: Shape,
    dialect: str,
    stars: StarField | None,
) -> Header:
    """Write the header of one raw frame.

    Parameters
    ----------
    frame : FrameTruth
        What the frame is.
    camera : Camera
        Gives gain, read noise, saturation and sections.
    shape : (ny, nx)
        The exposed area.
    dialect : str
        A name of `DIALECTS`.
    stars : StarField or None
        The field whose WCS is written; None writes no WCS.
    """
    from astropy.io.fits import Header

    words = DIALECTS[dialect]
    ny, nx = camera.raw_shape(shape)
    header = Header(
        [
            ("SIMPLE", True, "conforms to FITS standard"),
            ("BITPIX", 16, "array data type"),
            ("NAXIS", 2, "number of array dimensions"),
            ("NAXIS1", nx),
            ("NAXIS2", ny),
            ("BSCALE", 1),
            ("BZERO", 32768, "unsigned 16-bit integers"),
            (words.kind_key, words.kinds[frame.kind], "kind of frame"),
            (words.target_key, frame.target or words.kinds[frame.kind], "what was looked at"),
            ("DATE-OBS", frame.date, "UTC, start of exposure"),
        ]
    )
    if words.mjd:
        days = (datetime.fromisoformat(frame.date) - datetime(1858, 11, 17)) / timedelta(days=1)
        header["MJD-OBS"] = (round(days, 8), "[d] start of exposure")
    for key in words.exptime_keys:
        header[key] = (frame.exptime, "[s] exposure time")
    band = frame.filter or words.filter_of_calibrations
    if band is not None:
        header["FILTER"] = (band, "filter")
    header[words.gain_key] = (camera.gain, "[electron/adu]")
    if words.noise_key:
        header[words.noise_key] = (camera.read_noise, "[electron] readout noise")
    if words.saturate_key:
        header[words.saturate_key] = (camera.saturation, "[adu] highest value")
    if frame.kind == "science":
        header["AIRMASS"] = (round(airmass(datetime.fromisoformat(frame.date)), 4), "at the start")
    if dialect == "mirar":
        header["UTCTIME"] = (frame.date, "UTC, start of exposure")
    header["TELESCOP"] = ("simulated", "no telescope")
    header["INSTRUME"] = ("simcam", "simulated camera")
    for key, value in words.extra.items():
        header[key] = value
    sections = camera.sections(shape)
    for key in ("BIASSEC", "TRIMSEC", "DATASEC"):
        text = sections.get(key, words.absent_section)
        if text is not None:
            header[key] = text
    if stars is not None:
        shift = camera.overscan if camera.overscan_side == "left" else 0
        for key, card in stars.wcs_cards(shape, frame.dither).items():
            header[key] = card + shift if key == "CRPIX1" and not isinstance(card, str) else card
    return header


def airmass(moment: datetime) -> float:
    """Return the airmass of a field that a simulated telescope follows: it is highest at 23 h.

    Examples
    --------
    >>> from datetime import datetime
    >>> round(airmass(datetime(2026, 3, 14, 23)), 2), round(airmass(datetime(2026, 3, 14, 20)), 2)
    (1.01, 1.31)
    """
    hours = moment.hour + moment.minute / 60 + moment.second / 3600
    angle = math.radians(15.0 * ((hours - 23.0 + 12.0) % 24.0 - 12.0))
    latitude, declination = math.radians(33.0), math.radians(24.0)
    height = math.sin(latitude) * math.sin(declination)
    height += math.cos(latitude) * math.cos(declination) * math.cos(angle)
    return 1.0 / max(height, 0.1)
