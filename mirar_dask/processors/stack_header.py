"""The header of a stack, told from the headers of its inputs and from how they were aligned.

Semantics of mirar's Swarp output; used by `mirar_dask.processors.stack`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from astropy.io.fits import Card, Header
from astropy.io.fits.card import Undefined

from mirar_dask.data import Image
from mirar_dask.paths import (
    BASE_NAME_KEY,
    COADD_KEY,
    EXPTIME_KEY,
    FITS_MASK_KEY,
    GAIN_KEY,
    LATEST_SAVE_KEY,
    LATEST_WEIGHT_SAVE_KEY,
    RAW_IMG_KEY,
    SATURATE_KEY,
    STACKED_COMPONENT_IMAGES_KEY,
    TIME_KEY,
    all_astrometric_keywords,
    core_fields,
    strip_compression_suffix,
)
from mirar_dask.processors.align.transform import Shape, Solution
from mirar_dask.processors.levels import rounded

METHOD_KEY = "ALIGNBY"
REFERENCE_KEY = "ALIGNREF"
LEFT_OUT_KEY = "ALIGNOUT"
N_COMBINED_KEY = "NCOMBINE"
HOW_KEY = "STCKHOW"
STACK_SUFFIX = "_stack.fits"
MOST_NUMBERED = 999
"""A number has room in a key of eight characters up to this; further inputs have no keys."""

_OF_ONE_FILE = {
    *(LATEST_SAVE_KEY, LATEST_WEIGHT_SAVE_KEY, FITS_MASK_KEY, "DATE", "CHECKSUM", "DATASUM"),
    *("BZERO", "BSCALE", "BLANK", "SIMPLE", "XTENSION", "BITPIX", "EXTEND", "NAXIS"),
    *("NAXIS1", "NAXIS2", "COMMENT", "HISTORY", ""),
}
_SUMMARISED = {RAW_IMG_KEY, BASE_NAME_KEY, TIME_KEY, EXPTIME_KEY, COADD_KEY}
_WCS_KEYS = frozenset(all_astrometric_keywords) | {"RADESYS", "PV1_0"}


@dataclass(frozen=True, slots=True)
class Input:
    """One frame that went into a stack."""

    image: Image
    solution: Solution
    weight: float
    flux_factor: float
    """What its values were multiplied by."""
    sky: float = math.nan
    """Its level before."""
    noise: float = math.nan
    """Standard deviation of its pixels before."""


def stack_name(first: Image) -> str:
    """Name of the stack whose first input is `first`: ``<first>_stack.fits``."""
    return Path(strip_compression_suffix(str(first[BASE_NAME_KEY]))).stem + STACK_SUFFIX


def stack_header(
    inputs: Sequence[Input],
    reference: Image,
    shape: Shape,
    *,
    origin: tuple[int, int] = (0, 0),
    left_out: Sequence[str] = (),
    how: str = "",
    efficiency: float = 1.0,
) -> Header:
    """Make the header of a stack.

    Parameters
    ----------
    inputs : sequence of Input
        What was combined, in order.
    reference : Image
        The frame on whose pixels the stack is.
    shape : tuple
        (ny, nx) of the reference frame.
    origin : tuple
        x and y, in pixels of the reference frame, of the stack's first pixel.
    left_out : sequence of str
        Names of the frames that were not combined.
    how : str
        How frames were combined, for the reader.
    efficiency : float
        Photon noise of a mean over that of the combination, squared: 2/pi for a median.
    """
    images = [each.image for each in inputs]
    header = _common_cards(images, reference)
    _keep_core_fields(header, images, reference)
    _move_origin(header, origin)
    if COADD_KEY in header or all(COADD_KEY in image for image in images):
        header[COADD_KEY] = sum(int(_number(image, COADD_KEY, 1)) for image in images)
    exposures = [_number(image, EXPTIME_KEY, math.nan) for image in images]
    if all(math.isfinite(x) for x in exposures):
        header[EXPTIME_KEY] = math.fsum(exposures)
    times = [str(image[TIME_KEY]) for image in images if image.get(TIME_KEY) not in (None, "")]
    if times:
        header[TIME_KEY] = min(times)
    limits = [_number(each.image, SATURATE_KEY, math.nan) * each.flux_factor for each in inputs]
    if any(math.isfinite(x) for x in limits):
        header[SATURATE_KEY] = min(x for x in limits if math.isfinite(x))
    gains = [_number(each.image, GAIN_KEY, math.nan) / each.flux_factor for each in inputs]
    if len(gains) > 1 and all(math.isfinite(gain) for gain in gains):
        header[GAIN_KEY] = (math.fsum(gains) * efficiency, "effective, of the combination")
    header[RAW_IMG_KEY] = ",".join(str(image[RAW_IMG_KEY]) for image in images)
    header[STACKED_COMPONENT_IMAGES_KEY] = ",".join(_components(images))
    header[BASE_NAME_KEY] = stack_name(images[0])
    _describe_alignment(header, inputs, reference, shape, left_out)
    if how:
        header[HOW_KEY] = (how, "how the inputs were combined")
    return header


def _common_cards(images: Sequence[Image], reference: Image) -> Header:
    """Cards of the reference that every input has with the same value, and its WCS."""
    headers = [image.header for image in images]
    header = Header()
    for card in reference.header.cards:
        key = card.keyword
        if key in _OF_ONE_FILE or key in header:
            continue
        if key in _WCS_KEYS or all(_same(other, key, card.value) for other in headers):
            header.append(Card(_keyword(key), card.value, card.comment))
    return header


def _keyword(key: str) -> str:
    return key if len(key) <= 8 and " " not in key else f"HIERARCH {key}"


def _same(header: Header, key: str, value: Any) -> bool:
    if key not in header:
        return False
    other = header[key]
    if isinstance(value, Undefined) or isinstance(other, Undefined):
        return isinstance(value, Undefined) and isinstance(other, Undefined)
    return type(other) is type(value) and bool(other == value)


def _keep_core_fields(header: Header, images: Sequence[Image], reference: Image) -> None:
    """What every image must have and these differ in, the stack has of the reference."""
    for key in core_fields:
        if key not in header and key in reference:
            header[key] = (reference[key], "of ALIGNREF" if key not in _SUMMARISED else "")


def _move_origin(header: Header, origin: tuple[int, int]) -> None:
    for axis, moved in zip((1, 2), origin, strict=True):
        key = f"CRPIX{axis}"
        if key in header and moved:
            header[key] = float(header[key]) - moved


def _number(image: Image, key: str, default: float) -> float:
    try:
        return float(image.get(key, default))
    except (TypeError, ValueError):
        return default


def _components(images: Sequence[Image]) -> list[str]:
    """Where the inputs were saved, if all were; else their names."""
    saved = [image.get(LATEST_SAVE_KEY) for image in images]
    if all(saved):
        return [str(path) for path in saved]
    return [str(image[BASE_NAME_KEY]) for image in images]


def _describe_alignment(
    header: Header,
    inputs: Sequence[Input],
    reference: Image,
    shape: Shape,
    left_out: Sequence[str],
) -> None:
    methods = dict.fromkeys(each.solution.method for each in inputs)
    used = [method for method in methods if method != "reference"] or ["none"]
    header[METHOD_KEY] = (",".join(used), "how the inputs were aligned")
    header[REFERENCE_KEY] = (str(reference[BASE_NAME_KEY]), "input that stayed where it was")
    header[N_COMBINED_KEY] = (len(inputs), "number of inputs")
    if left_out:
        header[LEFT_OUT_KEY] = (",".join(left_out), "could not be aligned")
    for number, each in enumerate(inputs[:MOST_NUMBERED], start=1):
        place = each.solution
        dx, dy = place.transform.offset(shape)
        n = f"{number:03d}"
        header[f"IMCMB{n}"] = (str(each.image[BASE_NAME_KEY]), f"input {number}")
        header[f"ALBY{n}"] = (place.method, "how it was aligned")
        header[f"ALDX{n}"] = (round(dx, 4), "x there less x here, mid-frame [pixel]")
        header[f"ALDY{n}"] = (round(dy, 4), "y there less y here, mid-frame [pixel]")
        header[f"ALRO{n}"] = (round(place.transform.rotation, 5), "its rotation [deg]")
        header[f"ALNM{n}"] = (place.n_matches, "stars that agree with the reference")
        header[f"ALRM{n}"] = (round(place.rms, 4), "their rms residual [pixel]")
        header[f"ALWT{n}"] = (each.weight, "its weight")
        header[f"ALFX{n}"] = (each.flux_factor, "its values were multiplied by this")
        if math.isfinite(each.sky) and math.isfinite(each.noise):
            header[f"ALSK{n}"] = (rounded(each.sky), "its sky, before")
            header[f"ALNO{n}"] = (rounded(each.noise), "noise of a pixel, before")
        if place.stars is not None:
            header[f"ALFW{n}"] = (round(place.stars.fwhm, 4), "FWHM of its stars [pixel]")
            header[f"ALEL{n}"] = (round(place.stars.ellipticity, 4), "their ellipticity")
            header[f"ALNS{n}"] = (place.stars.n_stars, "stars that were found in it")
