"""How the frames of a stack lie: by WCS where they have one that their stars do not contradict.

Decides between the ways of `mirar_dask.processors.align`; used by `mirar_dask.processors.stack`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np

from mirar_dask.data import Image
from mirar_dask.paths import SATURATE_KEY
from mirar_dask.processors.align.cleaning import FloatImage, detection_image
from mirar_dask.processors.align.resample import NEGLIGIBLE
from mirar_dask.processors.align.sky import transform_by_wcs
from mirar_dask.processors.align.solve import align
from mirar_dask.processors.align.transform import (
    AlignmentError,
    Limits,
    Shape,
    Solution,
    Transform,
)

if TYPE_CHECKING:
    from astropy.wcs import WCS

AlignBy = Literal["auto", "wcs", "stars", "correlation", "none"]
ALIGN_BY: tuple[str, ...] = get_args(AlignBy)

WCS_ERROR = 1.5
"""A WCS is believed if stars lie no further from where it says: pixels."""


@dataclass(frozen=True, slots=True)
class Place:
    """How one frame lies."""

    solution: Solution
    point_by_point: bool = False
    """Its WCS and the reference's differ by more than a linear map."""


@dataclass
class Places:
    """How all frames lie."""

    ref: int
    """The reference frame."""
    found: list[Place | AlignmentError]
    """For each frame, or why it is not known."""
    caveats: list[tuple[int, str]] = field(default_factory=list)
    """What is to be said of which frame."""
    wcs: list[WCS | None] = field(default_factory=list)
    """Of each frame."""


def place_frames(images: Sequence[Image], align_by: AlignBy, limits: Limits) -> Places:
    """Find how frames lie with respect to one of them.

    Parameters
    ----------
    images : sequence of Image
        Frames of one target.
    align_by : {'auto', 'wcs', 'stars', 'correlation', 'none'}
        'auto' takes the WCS of frames that have one, unless their stars contradict it, then
        stars, then cross-correlation.
    limits : Limits
        What is believed.
    """
    shapes: list[Shape] = [(image.shape[0], image.shape[1]) for image in images]
    wcs = [_wcs_of(image) if align_by in ("auto", "wcs") else None for image in images]
    if len(images) == 1:
        return Places(0, [Place(Solution(Transform(), "reference"))], wcs=wcs)
    if align_by == "none":
        return Places(0, _where_they_are(shapes), wcs=wcs)
    if align_by == "wcs":
        return _by_wcs_alone(shapes, wcs)
    methods: tuple[str, ...] = ("stars", "correlation")
    if align_by != "auto":
        methods = (align_by,)
    elif all(each is not None for each in wcs):
        methods = ("stars",)

    def load(i: int) -> FloatImage:
        return detection_image(images[i].view_data(), _saturation(images[i]))

    ref, found = align(load, shapes, methods=methods, limits=limits)
    places = Places(ref, [], wcs=wcs)
    for i, by_stars in enumerate(found):
        places.found.append(_choose(places, i, by_stars, shapes))
    return places


def _saturation(image: Image) -> float | None:
    try:
        value = float(image.get(SATURATE_KEY, math.nan))
    except (TypeError, ValueError):
        return None
    return value if math.isfinite(value) and value > 0 else None


def _wcs_of(image: Image) -> WCS | None:
    """The WCS of a frame; None if there is none that can be read."""
    try:
        return image.wcs
    except Exception:  # wcslib and astropy raise a dozen kinds for broken cards
        return None


def _where_they_are(shapes: Sequence[Shape]) -> list[Place | AlignmentError]:
    def place(number: int, shape: Shape) -> Place | AlignmentError:
        if shape != shapes[0]:
            return AlignmentError(f"its shape {shape} is not the first frame's, {shapes[0]}")
        return Place(Solution(Transform(), "none" if number else "reference"))

    return [place(number, shape) for number, shape in enumerate(shapes)]


def _by_wcs_alone(shapes: Sequence[Shape], wcs: list[WCS | None]) -> Places:
    ref = next((i for i, each in enumerate(wcs) if each is not None), 0)
    places = Places(ref, [], wcs=wcs)
    for i in range(len(shapes)):
        try:
            places.found.append(_by_wcs(places, i, shapes))
        except AlignmentError as error:
            places.found.append(error)
    return places


def _by_wcs(places: Places, i: int, shapes: Sequence[Shape]) -> Place:
    here, there = places.wcs[i], places.wcs[places.ref]
    if here is None or there is None:
        raise AlignmentError("it has no WCS" if here is None else "the reference has no WCS")
    if i == places.ref:
        return Place(Solution(Transform(), "reference"))
    transform, misfit = transform_by_wcs(there, here, shapes[places.ref], shapes[i])
    return Place(Solution(transform, "wcs"), point_by_point=misfit > NEGLIGIBLE)


def _choose(
    places: Places, i: int, by_stars: Solution | AlignmentError, shapes: Sequence[Shape]
) -> Place | AlignmentError:
    """Between the WCS of a frame and its stars."""
    known = by_stars if isinstance(by_stars, AlignmentError) else Place(by_stars)
    if i == places.ref or places.wcs[i] is None or places.wcs[places.ref] is None:
        return known
    try:
        by_wcs = _by_wcs(places, i, shapes)
    except AlignmentError as error:
        if isinstance(by_stars, AlignmentError):
            return error
        places.caveats.append((i, f"{error}, which its stars contradict: aligned by these"))
        return known
    if isinstance(by_stars, AlignmentError):
        return by_wcs
    shape = shapes[places.ref]
    miss = np.subtract(by_wcs.solution.transform.offset(shape), by_stars.transform.offset(shape))
    error_of_stars = by_stars.rms / math.sqrt(max(by_stars.n_matches, 1))
    if math.hypot(*miss) > max(WCS_ERROR, 5 * error_of_stars):
        places.caveats.append(
            (
                i,
                f"by its WCS it lies {math.hypot(*miss):.1f} pixels from where its "
                f"{by_stars.n_matches} stars show it, relative to the reference: aligned by these",
            )
        )
        return known
    agreed = replace(by_stars, transform=by_wcs.solution.transform, method="wcs")
    return Place(agreed, by_wcs.point_by_point)
