"""What a night holds against what its steps need: decided from headers, before any pixel is read.

A kind of calibration that the night lacks altogether is left out, or taken from other nights; one
that is there but matches not every frame is named. Used by `imager`; pure functions.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from mirar_dask.pipelines.calibrations import Archive, Association, Held, Need, associate
from mirar_dask.processors.header_words import CALIBRATIONS

WHO_NEEDS: Mapping[str, tuple[str, ...]] = {
    "bias": ("dark", "flat", "science"),
    "dark": ("flat", "science"),
    "flat": ("science",),
}
"""Kind of calibration -> kinds of frames that are calibrated with it."""


@dataclass(frozen=True)
class Decisions:
    """What becomes of each kind of calibration in a night."""

    left_out: tuple[str, ...] = ()
    """Kinds that are in neither the night nor the archive."""
    associations: tuple[Association, ...] = ()
    """What is taken from other nights."""
    caveats: tuple[str, ...] = ()
    """One sentence for whatever the observer should know."""


def decide(
    night: Sequence[Held],
    kinds: Iterable[str],
    archive: Archive | None = None,
    days: float = 30.0,
    *,
    skipping: Iterable[str] = (),
) -> Decisions:
    """Decide for each kind of calibration where it comes from.

    Parameters
    ----------
    night : sequence of Held
        The frames of the night.
    kinds : iterable of str
        Kinds that the steps subtract or divide by.
    archive : Archive, optional
        Frames and masters of other nights; used only for what the night lacks.
    days : float
        Greatest distance in time of what is taken from the archive.
    skipping : iterable of str
        Kinds without which frames go on; of the others a missing one blocks them.
    """
    goes_on = set(skipping)
    blocked: set[str] = set()
    left_out: list[str] = []
    associations: list[Association] = []
    caveats: list[str] = []
    for kind in kinds:
        own = [frame for frame in night if frame.kind == kind]
        found, open_needs = [], []
        for need in needs_of(night, kind):
            choice = None if archive is None else associate(need, archive, days)
            if choice is None:
                open_needs.append(need)
            else:
                found.append(choice)
        associations += found
        caveats += [f"{choice}, from another night" for choice in found]
        if not own and not found:
            left_out.append(kind)
            tried = "" if archive is None else _tried(kind, archive, days)
            caveats.append(f"no {kind} frames in this night{tried}: its step was left out")
        else:
            open_needs = [need for need in open_needs if need.group not in blocked]
            caveats += [_unmatched(need, own) for need in open_needs]
            if kind not in goes_on:
                blocked |= {need.group for need in open_needs}
    caveats += _idle(night)
    return Decisions(tuple(left_out), tuple(associations), tuple(caveats))


def needs_of(night: Sequence[Held], kind: str) -> list[Need]:
    """Return the groups (and filters, for flats) whose frames need a kind that is not there."""
    by_filter = kind == "flat"

    def place(frame: Held) -> tuple[str, str | None]:
        return frame.group, frame.filter if by_filter else None

    have = {place(frame) for frame in night if frame.kind == kind}
    waiting: dict[tuple[str, str | None], list[Held]] = {}
    for frame in night:
        if frame.kind in WHO_NEEDS[kind] and place(frame) not in have:
            waiting.setdefault(place(frame), []).append(frame)
    return [
        Need(kind, group, band, _middle(frames), len(frames))
        for (group, band), frames in waiting.items()
    ]


def _middle(frames: Iterable[Held]) -> float | None:
    times = [frame.mjd for frame in frames if frame.mjd is not None]
    return median(times) if times else None


def _tried(kind: str, archive: Archive, days: float) -> str:
    n = sum(frame.kind == kind for frame in archive.frames)
    if not n:
        return ", nor among the calibrations of other nights"
    return f", and none of the {n} of other nights matches within {days:g} days"


def _unmatched(need: Need, own: Sequence[Held]) -> str:
    others = Counter(
        frame.group + (f", filter {frame.filter}" if need.filter else "") for frame in own
    )
    shown = "; ".join(f"{n} of {group}" for group, n in others.most_common(3)) or "none"
    who = "1 frame needs" if need.n_frames == 1 else f"{need.n_frames} frames need"
    return f"{need}: no frame of this night matches, and {who} it (there are: {shown})"


def _idle(night: Sequence[Held]) -> list[str]:
    """Sentences about frames that nothing in the night is calibrated with."""
    if not any(frame.kind == "science" for frame in night):
        return ["no science frames in this night: masters are made, nothing else"] if night else []
    used = {frame.group for frame in night if frame.kind not in CALIBRATIONS}
    idle: dict[tuple[str, str], list[str]] = {}
    for frame in night:
        if frame.kind in CALIBRATIONS and frame.group not in used:
            idle.setdefault((frame.kind, frame.group), []).append(frame.name)
    return [
        f"{_few(names)} ({kind}, {group}): no science frame of this night is calibrated with it"
        for (kind, group), names in idle.items()
    ]


def _count(names: Sequence[str]) -> str:
    return "1 frame" if len(names) == 1 else f"{len(names)} frames"


def _few(names: Sequence[str]) -> str:
    shown = ", ".join(names[:3])
    return shown if len(names) <= 3 else f"{shown} and {len(names) - 3} more"


def describe_assumed(
    assumed: Iterable[tuple[str, str]], tried: Mapping[str, Sequence[str]]
) -> list[str]:
    """Sentences about header fields that were filled in, each field once.

    Parameters
    ----------
    assumed : iterable of (name, fields)
        BASENAME of each image and its ``ASSUMED`` value.
    tried : mapping
        Field -> keywords that were tried.
    """
    instead = {
        "GAIN": "1 electron per ADU is assumed",
        "FILTER": "the filter is called 'none'",
        "TARGET": "the target is named after the file",
        "DATE-OBS": "the time of observation stays unknown",
    }
    tables = {"GAIN": "[detector] gain", "DATE-OBS": "[header] DATE-OBS"}
    by_field: dict[str, list[str]] = {}
    for name, fields in assumed:
        for field in filter(None, fields.split(",")):
            by_field.setdefault(field, []).append(name)
    return [
        f"{field} is not in the headers of {_count(names)}"
        f"{', or not understood' if field == 'DATE-OBS' else ''} ({_few(names)}; tried "
        f"{', '.join(tried.get(field, (field,)))}): {instead.get(field, 'a default is used')}"
        f"; an instrument file can say it: {tables.get(field, f'[header] or [defaults] {field}')}"
        for field, names in by_field.items()
    ]
