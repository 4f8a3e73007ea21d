"""Calibration frames and masters of other nights: found in folders, matched to a night.

`imager` asks `associate` for each kind of calibration that some of its frames need and the night
itself lacks. Only headers are read.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from mirar_dask.data import Image
from mirar_dask.errors import BaseProcessorError
from mirar_dask.paths import (
    BASE_NAME_KEY,
    FILTER_KEY,
    OBSCLASS_KEY,
    PROC_HISTORY_KEY,
    RAW_IMG_KEY,
    STACKED_COMPONENT_IMAGES_KEY,
)
from mirar_dask.pipelines.frames import frames_below, note_folder
from mirar_dask.processors.header_words import CALIBRATIONS, from_mjd, parse_number
from mirar_dask.processors.utils.header_normalise import GROUP_KEY, MJD_KEY, HeaderNormaliser

logger = logging.getLogger(__name__)

NIGHT_GAP = 0.5
"""Days without a frame that part one night's calibrations from the next night's."""


@dataclass(frozen=True)
class Held:
    """What a frame is, as far as calibrating concerns."""

    name: str
    """Its BASENAME."""
    kind: str
    """bias, dark, flat, science or other."""
    group: str
    """What frames must share to be calibrated with each other, as text."""
    filter: str
    mjd: float | None
    """When it was taken (UTC); None if its header does not tell."""
    master: bool = False
    """Whether it is a master, to be used as it is."""
    path: Path = Path()
    """Its file."""
    image: Image | None = field(default=None, compare=False, repr=False)
    """Itself, its pixels not read."""

    @property
    def night(self) -> str:
        """Date at which it was taken."""
        return "unknown date" if self.mjd is None else f"{from_mjd(self.mjd):%Y-%m-%d}"


def held(image: Image, path: Path | None = None) -> Held:
    """Describe an image whose header was normalised, and that lies in a file."""
    header = image.get_header()
    return Held(
        name=str(header[BASE_NAME_KEY]),
        kind=str(header[OBSCLASS_KEY]),
        group=str(header[GROUP_KEY]),
        filter=str(header[FILTER_KEY]),
        mjd=parse_number(header.get(MJD_KEY)),
        master=bool(header.get(PROC_HISTORY_KEY)) and STACKED_COMPONENT_IMAGES_KEY in header,
        path=Path(str(header[RAW_IMG_KEY]).partition(",")[0]) if path is None else path,
        image=image,
    )


@dataclass(frozen=True)
class Archive:
    """Calibration frames and masters of other nights."""

    frames: tuple[Held, ...]
    unreadable: tuple[str, ...] = ()
    """Names of FITS files that could not be understood."""

    def without(self, paths: Iterable[Path]) -> Archive:
        """Leave out what lies in some files: those of the night itself."""
        own = {path.resolve() for path in paths}
        names = {path.name for path in own}

        def is_own(path: Path) -> bool:
            return path.name in names and path.resolve() in own

        return replace(self, frames=tuple(f for f in self.frames if not is_own(f.path)))


def scan_archive(
    folders: Iterable[Path],
    load: Callable[[Path], Sequence[Image]],
    normaliser: HeaderNormaliser,
    exclude: Iterable[Path] = (),
) -> Archive:
    """Find calibration frames and masters in folders, by their headers.

    Parameters
    ----------
    folders : iterable of Path
        Searched with all folders below them.
    load : callable
        Gives the images of a file; reads no pixel.
    normaliser : HeaderNormaliser
        Tells what each is, in the same words as for the night.
    exclude : iterable of Path
        Files of the night itself.

    Returns
    -------
    Archive
        Raw calibration frames and masters; calibrated frames, stacks and the rest are left out.
    """
    seen = {path.resolve() for path in exclude}
    found: list[Held] = []
    unreadable: list[str] = []
    places = [(path, Path(folder)) for folder in folders for path in frames_below(Path(folder))]
    for path, folder in places:
        if (resolved := path.resolve()) in seen:
            continue
        seen.add(resolved)
        try:
            images = load(path)
            note_folder(images, path, folder)
            for image in images:
                frame = held(normaliser.apply_to_image(image), path)
                untouched = not _was_processed(image)
                if frame.kind in CALIBRATIONS and (frame.master or untouched):
                    found.append(frame)
        except (BaseProcessorError, OSError, ValueError, KeyError) as error:
            logger.debug("%s is no calibration frame: %s", path, error)
            unreadable.append(path.name)
    return Archive(tuple(found), tuple(unreadable))


def _was_processed(image: Image) -> bool:
    history = str(image.get_header().get(PROC_HISTORY_KEY) or "")
    return any(step and not step.startswith("load") for step in history.split(","))


@dataclass(frozen=True)
class Need:
    """A kind of calibration that some frames of a night need and the night lacks."""

    kind: str
    group: str
    filter: str | None
    """Only for flats."""
    mjd: float | None
    """When those frames were taken: the middle."""
    n_frames: int = 1
    """How many frames need it."""

    def matches(self, frame: Held) -> bool:
        """Whether a frame or master is of the kind, shape, binning, gain and filter needed."""
        same = frame.kind == self.kind and frame.group == self.group
        return same and (self.filter is None or frame.filter == self.filter)

    def __str__(self) -> str:
        return f"{self.kind} for {self.group}" + (f", filter {self.filter}" if self.filter else "")


@dataclass(frozen=True)
class Association:
    """What was chosen for a need: one master, or the frames of one night."""

    need: Need
    frames: tuple[Held, ...]
    days: float
    """From the frames that need it to what was found; negative for earlier."""

    @property
    def is_master(self) -> bool:
        """Whether it is a master, to be used as it is."""
        return self.frames[0].master

    def __str__(self) -> str:
        first = self.frames[0]
        n = len(self.frames)
        frames = "1 frame" if n == 1 else f"{n} frames"
        what = f"master {first.path.name}" if self.is_master else frames
        when = "later" if self.days > 0 else "earlier"
        return f"{self.need}: {what} of {first.night}, {abs(self.days):.1f} days {when}"


def associate(need: Need, archive: Archive, days: float) -> Association | None:
    """Choose from an archive what is nearest in time to the frames that need it.

    Masters are preferred to frames, which would have to be combined first.

    Parameters
    ----------
    need : Need
        What is looked for.
    archive : Archive
        Where.
    days : float
        Greatest distance in time; what has no date is never chosen.

    Returns
    -------
    Association or None
        None if nothing matches within that time.
    """
    if need.mjd is None:
        return None
    here = need.mjd
    near = [
        frame
        for frame in archive.frames
        if need.matches(frame) and frame.mjd is not None and abs(frame.mjd - here) <= days
    ]
    if not near:
        return None
    # Of two at the same distance, the earlier one: it was there when the night began.
    best = min(near, key=lambda frame: (not frame.master, abs(_mjd(frame) - here), _mjd(frame)))
    chosen = (best,) if best.master else _night_around(best, [f for f in near if not f.master])
    return Association(need, chosen, _mjd(best) - here)


def _mjd(frame: Held) -> float:
    assert frame.mjd is not None
    return frame.mjd


def _night_around(best: Held, frames: Sequence[Held]) -> tuple[Held, ...]:
    """Frames taken with `best`, without a gap as long as a day's."""
    ordered = sorted(frames, key=_mjd)
    nights: list[list[Held]] = []
    for frame in ordered:
        if nights and _mjd(frame) - _mjd(nights[-1][-1]) <= NIGHT_GAP:
            nights[-1].append(frame)
        else:
            nights.append([frame])
    return tuple(next(night for night in nights if any(frame is best for frame in night)))
