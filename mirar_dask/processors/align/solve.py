"""Aligning a set of frames of one camera that have no WCS: the strategy.

By stars first; frames for which that fails then by stars of other widths, through a frame that is
aligned already, by the stars that are left when the fixed pattern is removed, and last by
cross-correlation. Whatever is found must be plausible and significant, or the frame is refused.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from mirar_dask.processors.align.cleaning import FloatImage
from mirar_dask.processors.align.correlation import correlate, spectrum
from mirar_dask.processors.align.frameset import FrameSet
from mirar_dask.processors.align.pattern import PRESENT, fine_structure, shared_structure
from mirar_dask.processors.align.starlist import StarList, find_stars
from mirar_dask.processors.align.transform import (
    AlignmentError,
    Limits,
    Shape,
    Solution,
    Transform,
    objection,
)
from mirar_dask.processors.align.zero import (
    MIN_AGREEING_STARS,
    MIN_CONFIRMED,
    agreeing_share,
    confirmed_share,
    match_beside_pattern,
    pattern_sources,
    stands_still,
)

METHODS = ("stars", "correlation")
NEIGHBOURS = 3
"""Aligned frames through which one that does not match the reference is tried."""
CORRELATED_SIZE = 1600
"""Longest side of frames that are correlated; larger ones are binned."""

SMALLEST_CORRELATED = 32
"""Shortest side of frames that are correlated."""
UNCERTAIN = 0.25
"""A shift with a larger error is measured by cross-correlation too: pixels."""

Attempt = Callable[[int], Solution]
Spectrum = NDArray[np.complex64]


def align(
    load: Callable[[int], FloatImage],
    shapes: Sequence[Shape],
    *,
    methods: Sequence[str] = METHODS,
    limits: Limits | None = None,
    reference: int | None = None,
) -> tuple[int, list[Solution | AlignmentError]]:
    """Align frames with one of them.

    Parameters
    ----------
    load : callable
        Makes the detection image of frame i (see `mirar_dask.processors.align.cleaning`); may be
        called more than once.
    shapes : sequence of tuple
        (ny, nx) of each frame.
    methods : sequence of str
        Of 'stars' and 'correlation'.
    limits : Limits
        What is believed.
    reference : int, optional
        The frame with which the others are aligned; by default the first, or another if the first
        has too few stars.

    Returns
    -------
    tuple of int and list
        The reference, and for each frame how it lies, or why that is not known.
    """
    frames = FrameSet(load, shapes)
    limits = limits or Limits()
    best: Aligner | None = None
    candidates = frames.references(limits.min_matches) if reference is None else [reference]
    for candidate in candidates:
        aligner = Aligner(frames, candidate, methods, limits)
        aligner.run()
        if best is None or len(aligner.solutions) > len(best.solutions):
            best = aligner
        if len(aligner.solutions) > len(frames) / 2:
            break
    assert best is not None  # there is always a candidate
    return best.ref, [_with_stars(frames, i, found) for i, found in enumerate(best.results())]


def _with_stars(
    frames: FrameSet, i: int, found: Solution | AlignmentError
) -> Solution | AlignmentError:
    """Say of an aligned frame what its stars look like."""
    return found if isinstance(found, AlignmentError) else replace(found, stars=frames.looks[i])


class Aligner:
    """Aligns the frames of a set with one of them; used once."""

    def __init__(self, frames: FrameSet, ref: int, methods: Sequence[str], limits: Limits) -> None:
        self.frames = frames
        self.ref = ref
        self.methods = methods
        self.limits = limits
        self.shape = frames.shapes[ref]
        self.solutions: dict[int, Solution] = {ref: Solution(Transform(), "reference")}
        self.reasons: dict[int, dict[str, str]] = {}
        self._spectra: dict[bool, Spectrum] = {}

    def results(self) -> list[Solution | AlignmentError]:
        """For each frame how it lies, or why that is not known."""
        return [
            self.solutions.get(i)
            or AlignmentError("; ".join(self.reasons.get(i, {}).values()) or "nothing was tried")
            for i in range(len(self.frames))
        ]

    def run(self) -> None:
        """Try one way after the other on the frames that are left."""
        ways: list[tuple[str, Attempt]] = []
        if "stars" in self.methods:
            ways += [
                ("stars", self.by_stars),
                ("stars", self.by_stars_of_other_widths),
                ("stars", self.through_another),
                ("stars", self.by_stars_without_pattern),
            ]
        if "correlation" in self.methods:
            ways += [
                ("correlation", self.by_correlation),
                ("correlation", self.by_correlation_without_pattern),
            ]
        for method, attempt in ways:
            self._try(method, attempt)
            if attempt == self.by_stars and self._leave_out_pattern():
                self._try(method, attempt)
        self._doubt_those_that_stand_still()
        if "correlation" in self.methods:
            self._polish()

    def _try(self, method: str, attempt: Attempt) -> None:
        for i in range(len(self.frames)):
            if i in self.solutions:
                continue
            try:
                self.solutions[i] = attempt(i)
            except AlignmentError as error:
                self.reasons.setdefault(i, {}).setdefault(method, str(error))

    def _leave_out_pattern(self) -> bool:
        """Once some frames are known to have moved: forget what did not move, and start again."""
        places = pattern_sources(
            self.frames.stars[self.ref], self._others_than(self.ref), self.shape
        )
        if not len(places):
            return False
        self.frames.leave_out(places)
        self.solutions = {self.ref: self.solutions[self.ref]}
        return True

    def _others_than(self, *left_out: int) -> list[tuple[StarList, Transform]]:
        return [
            (self.frames.stars[i], solution.transform)
            for i, solution in self.solutions.items()
            if i not in (self.ref, *left_out) and solution.method == "stars"
        ]

    def _doubt_those_that_stand_still(self) -> None:
        """Refuse frames of which only what may be the camera's pattern agrees."""
        stars = self.frames.stars
        still = [
            i
            for i, solution in self.solutions.items()
            if solution.method == "stars" and stands_still(solution.transform, self.shape)
        ]
        for i in still:
            confirmers = self._others_than(i)
            if not confirmers:
                continue
            transform = self.solutions[i].transform
            share = confirmed_share(stars[self.ref], stars[i], transform, confirmers)
            if share < MIN_CONFIRMED:
                del self.solutions[i]
                self.reasons.setdefault(i, {})["stars"] = (
                    f"only {share:.0%} of the stars that other frames share with the reference are "
                    "there, and these did not move: they may be the camera's own pattern"
                )

    # -- by stars -----------------------------------------------------------------------------

    def by_stars(self, i: int) -> Solution:
        """By the stars of this frame and of the reference."""
        return self._match(self.frames.stars[self.ref], self.frames.stars[i])

    def by_stars_of_other_widths(self, i: int) -> Solution:
        """By stars of a width that suits this frame better, if there is one."""
        error: AlignmentError | None = None
        for sigma in self.frames.other_widths():
            try:
                return self._match(
                    self.frames.stars_of_width(self.ref, sigma),
                    self.frames.stars_of_width(i, sigma),
                )
            except AlignmentError as exc:
                error = error or exc
        raise error or AlignmentError("no other width of the stars was tried")

    def through_another(self, i: int) -> Solution:
        """By the stars of a frame near by in time that is aligned already."""
        near = sorted((k for k in self.solutions if k != self.ref), key=lambda k: abs(k - i))
        for k in near[:NEIGHBOURS]:
            try:
                step = match_beside_pattern(
                    self.frames.stars[k],
                    self.frames.stars[i],
                    self.frames.shapes[k],
                    self.limits,
                )
            except AlignmentError:
                continue
            transform = step.transform.after(self.solutions[k].transform)
            if objection(transform, self.shape, self.limits) is None:
                return Solution(transform, "stars", step.n_matches, step.rms, step.significance)
        raise AlignmentError("its stars agree with no other frame either")

    def by_stars_without_pattern(self, i: int) -> Solution:
        """By the stars that appear when what does not move is removed."""
        here, there = self._moving_stars(i), self._moving_stars(self.ref)
        try:
            return self._match(there, here)
        except AlignmentError:
            # The reference may be one of many frames that stood still: all its stars are pattern.
            return self._match(self.frames.stars[self.ref], here)

    def _moving_stars(self, i: int) -> StarList:
        image = self.frames.without_pattern(i)
        if image is None:
            raise AlignmentError("no other frame shows the fixed pattern")
        return find_stars(image, self.frames.sigma)

    def _match(self, ref: StarList, other: StarList) -> Solution:
        return match_beside_pattern(ref, other, self.shape, self.limits)

    def _polish(self) -> None:
        """Where few noisy stars gave a shift: take that of the cross-correlation if it is near."""
        for i, known in self.solutions.items():
            error = known.rms * math.sqrt(2 / max(known.n_matches, 1))
            turned = known.transform.largest_difference(
                Transform.shift(*known.transform.offset(self.shape)), self.shape
            )
            if known.method != "stars" or error < UNCERTAIN or turned > UNCERTAIN:
                continue
            try:
                better = self.by_correlation(i)
            except AlignmentError:
                continue
            if better.transform.largest_difference(known.transform, self.shape) < 6 * error:
                self.solutions[i] = replace(known, transform=better.transform, method=better.method)

    # -- by cross-correlation -----------------------------------------------------------------

    def by_correlation(self, i: int) -> Solution:
        """By the peak of the cross-correlation with the reference."""
        return self._correlate(i, without_pattern=False)

    def by_correlation_without_pattern(self, i: int) -> Solution:
        """The same after what does not move was removed."""
        return self._correlate(i, without_pattern=True)

    def _correlate(self, i: int, *, without_pattern: bool) -> Solution:
        if self.frames.shapes[i] != self.shape:
            raise AlignmentError("frames of different shapes are not correlated")
        if min(self.shape) < SMALLEST_CORRELATED:
            raise AlignmentError(f"frames of {self.shape[1]} x {self.shape[0]} are not correlated")
        if without_pattern not in self._spectra:
            self._spectra[without_pattern] = self._spectrum(self.ref, without_pattern)
        binning = self._binning()
        shared = shared_structure(
            fine_structure(self.frames.image(self.ref)), fine_structure(self.frames.image(i))
        )
        found = correlate(
            self._spectra[without_pattern],
            self._spectrum(i, without_pattern),
            (self.shape[0] // binning, self.shape[1] // binning),
            self._correlated_sigma(),
            limits=self.limits,
            binning=binning,
            pattern=shared > PRESENT or len(self.frames.pattern_places) > 0,
        )
        # A few bright stars of two fields make a peak wherever two of them meet.
        share = agreeing_share(
            self.frames.stars[self.ref], self.frames.stars[i], found.transform, self.shape
        )
        if share is not None and share < MIN_AGREEING_STARS:
            raise AlignmentError(
                f"its cross-correlation peaks where only {share:.0%} of its stars agree"
            )
        return found

    def _binning(self) -> int:
        return max(1, -(-max(self.shape) // CORRELATED_SIZE))

    def _correlated_sigma(self) -> float:
        return max(1.5, self.frames.sigma / self._binning())

    def _spectrum(self, i: int, without_pattern: bool) -> Spectrum:
        image = self.frames.without_pattern(i) if without_pattern else self.frames.image(i)
        if image is None:
            raise AlignmentError("no other frame shows the fixed pattern")
        return spectrum(bin_pixels(image, self._binning()))


def bin_pixels(image: FloatImage, n: int) -> FloatImage:
    """Mean of n x n pixels; a remainder at the far edges is left out."""
    if n == 1:
        return image
    ny, nx = image.shape[0] // n, image.shape[1] // n
    binned: FloatImage = image[: ny * n, : nx * n].reshape(ny, n, nx, n).mean(axis=(1, 3))
    return binned
