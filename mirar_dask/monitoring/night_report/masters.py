"""The masters of a night beside those of other nights: their levels and noise, for the report.

Other nights are looked for beside this one in the output folder, and in the archives of
calibrations that the run was given.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from mirar_dask.errors import MirarDaskError
from mirar_dask.monitoring.quality.header_scan import scan_header
from mirar_dask.monitoring.quality.measurements import Row, is_master, measure

MOST_NIGHTS = 120
"""Nights that are looked at, the newest of those before and after."""
MOST_MASTERS = 3000
FOLDER = "calibration"
"""Where masters lie in a night's folder."""


@dataclass(frozen=True, slots=True)
class MasterLevel:
    """A master of some night."""

    night: str
    kind: str
    """bias, dark, flat or sky."""
    group: str
    """What masters must share to be compared: camera, shape, filter, exposure time."""
    row: Row
    """What was measured of it."""
    ours: bool
    """Whether it is of the night of the report."""
    frames: tuple[str, ...] = ()
    """What went into it, by its header; told of masters of the night of the report."""


def master_levels(output: Path, archives: Iterable[Path] = ()) -> list[MasterLevel]:
    """Collect the masters of a night and of other nights that can be compared with them.

    Parameters
    ----------
    output : Path
        The night's folder.
    archives : iterable of Path
        Folders of nights, or of masters, that calibrations were taken from; those that are not seen
        from here are passed over.

    Returns
    -------
    list of MasterLevel
        By time. Masters of other nights whose group this night has none of are left out.
    """
    ours = list(_masters(output, output / FOLDER, ours=True))
    groups = {(one.kind, one.group) for one in ours}
    found = {one.row["file"]: one for one in ours}
    for night, folder in _other_nights(output, archives):
        if len(found) >= MOST_MASTERS:
            break
        for one in _masters(night, folder, ours=False):
            if (one.kind, one.group) in groups:
                found.setdefault(one.row["file"], one)
    return sorted(found.values(), key=lambda one: (one.row["time"] or "", one.row["file"]))


def _other_nights(output: Path, archives: Iterable[Path]) -> Iterator[tuple[Path, Path]]:
    """Yield folders of nights with those of their masters."""
    beside = _folders(output.parent)
    yield from ((night, night / FOLDER) for night in beside if night != output)
    for archive in archives:
        for folder in [archive, *_folders(archive)]:
            if folder != output:
                yield folder, folder
                yield folder, folder / FOLDER


def _folders(place: Path) -> Sequence[Path]:
    """Return the folders in a folder whose names come last, that is the newest nights."""
    try:
        found = [path for path in place.iterdir() if not path.name.startswith(".")]
    except OSError:
        return []
    return sorted((path for path in found if path.is_dir()), reverse=True)[:MOST_NIGHTS]


def _masters(night: Path, folder: Path, *, ours: bool) -> Iterator[MasterLevel]:
    try:
        files = sorted(path for path in folder.glob("*.fit*") if not path.name.startswith("."))
    except OSError:
        return
    for row in measure(files[:MOST_MASTERS], night):
        if not is_master(row):
            continue
        # A dark's level grows with its time; a flat is not compared by that.
        exposure = f"{row['exptime']:g} s" if row["kind"] == "dark" and row["exptime"] else ""
        band = str(row["filter"] or "") if row["kind"] in ("flat", "sky") else ""
        parts = [band, exposure, str(row["camera"] or "")]
        group = ", ".join(part for part in parts if part)
        path = night / row["file"]
        frames = _frames_of(path) if ours else ()
        told = row | {"file": str(path)}
        yield MasterLevel(night.name, row["kind"], group, told, ours, frames)


def _frames_of(path: Path) -> tuple[str, ...]:
    try:
        names = str(scan_header(path, ("STCKCMPT",)).get("STCKCMPT", ""))
    except (MirarDaskError, OSError):
        return ()
    return tuple(name for part in names.split(",") if (name := part.strip()))
