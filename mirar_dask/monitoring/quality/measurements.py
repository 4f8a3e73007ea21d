"""Everything that a run measured: one row for each product, with time, target, filter and airmass.

Read from the headers of the products and from the tables of their sources, so it can be had of a
run that goes on, that is over, or that crashed, wherever its folder is seen.
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path, PurePath
from typing import Any

from mirar_dask.errors import MirarDaskError
from mirar_dask.io.names import is_frame_name
from mirar_dask.monitoring.quality.columns import COLUMNS, NAMES
from mirar_dask.monitoring.quality.header_scan import Value, scan_header
from mirar_dask.monitoring.quality.source_tables import source_medians, table_of
from mirar_dask.processors.header_words import parse_date, parse_number

Row = dict[str, Any]
"""Values by the names of `COLUMNS`; None where nothing is known."""

_FURTHER = ("BASENAME", "OBSCLASS", "NCOMBINE", "STCKCMPT", "COMBMETH", "RAWPATH", "ALIGNREF")
_CD = ("CD1_1", "CD1_2", "CD2_1", "CD2_2")
_KEYS = frozenset(
    [*(key for column in COLUMNS for key in column.keys), *_FURTHER, *_CD, "CDELT1", "CDELT2"]
)
_NUMBERED = tuple(column for column in COLUMNS if column.numbered)
_OF_MATCHES = ("matches", "match_rms")
"""What is known of frames only that were compared with another by their stars."""
_MOST_INPUTS = 999
_NOT_IMAGES = re.compile(r"\.(weight|mask)\.f", re.IGNORECASE)
_CALIBRATIONS = ("bias", "dark", "flat", "sky")
_LATEST = datetime(9000, 1, 1)


def measure(
    products: Iterable[Path],
    output: Path,
    tables: Sequence[Path] = (),
    *,
    frames: Collection[str] | None = None,
) -> list[Row]:
    """Collect what is known of products.

    Parameters
    ----------
    products : iterable of Path
        Files of a night; those that are no images (tables, weight maps, masks) are passed over, as
        are those that cannot be read: they may be half written, or gone.
    output : Path
        The night's folder, from which paths are told.
    tables : sequence of Path
        Folders in which tables of sources may lie beside those of the images.
    frames : collection of str, optional
        Names of raw frames: products of others are left out.

    Returns
    -------
    list of dict
        By time, those without one at the end; every row has all columns.
    """
    rows: dict[str, Row] = {}
    scales: dict[str, float | None] = {}
    inputs: dict[str, Row] = {}
    for path in sorted(products):
        if not is_frame_name(path.name) or _NOT_IMAGES.search(path.name):
            continue
        try:
            header = scan_header(path, _KEYS)
            if frames is not None and not _made_of(header, frames):
                continue
            told = dict(_of_inputs(path, header))
        except (MirarDaskError, OSError):
            continue
        row = _row(path, output, header)
        if row["kind"] != "frame":
            stem = path.name.partition(".fit")[0]
            table = table_of(stem, [path.parent, *tables])
            row.update(source_medians(table) if table else {})
        rows[row["file"]] = row
        scales[row["file"]] = _pixel_scale(header)
        inputs.update(told)
    for row in rows.values():
        if row["kind"] == "frame":
            known = inputs.get(PurePath(row["file"]).name, {})
            row.update({name: value for name, value in known.items() if row[name] is None})
        scale = scales[row["file"]]
        if row["seeing"] is None and row["fwhm"] is not None and scale:
            row["seeing"] = float(f"{row['fwhm'] * scale:.4g}")
    return sorted(rows.values(), key=lambda row: (row["time"] is None, row["time"], row["file"]))


def table_folders(output: Path) -> list[Path]:
    """Return the folders of a night that hold tables and no images."""
    if not output.is_dir():
        return []
    return sorted(path for path in output.iterdir() if path.is_dir() and path.name != "runs")


def _row(path: Path, output: Path, header: Mapping[str, Value]) -> Row:
    row: Row = dict.fromkeys(NAMES)
    row["file"] = path.relative_to(output).as_posix() if path.is_relative_to(output) else str(path)
    row["kind"] = _kind(header)
    for column in COLUMNS:
        for key in column.keys:
            value = header.get(key)
            if value is None or isinstance(value, bool):
                continue
            row[column.name] = (str(value).strip() or None) if column.text else _number(value)
            if row[column.name] is not None:
                break
    moment = parse_date(row["time"]) if row["time"] else None
    known = moment is not None and moment < _LATEST
    row["time"] = moment.isoformat(timespec="milliseconds") if moment and known else None
    return row


def _kind(header: Mapping[str, Value]) -> str:
    kind = str(header.get("OBSCLASS", "")).strip().lower()
    if "NCOMBINE" in header:
        return "stack"
    if "COMBMETH" in header and "STCKCMPT" in header:
        return kind if kind in _CALIBRATIONS else "sky"
    return "frame"


def is_master(row: Row) -> bool:
    """Tell whether a row is that of a master."""
    return row["kind"] in _CALIBRATIONS


def _made_of(header: Mapping[str, Value], frames: Collection[str]) -> bool:
    """Tell whether any of some frames went into a product; a header that is silent means yes."""
    raw = str(header.get("RAWPATH", ""))
    names = {PurePath(part.strip()).name for part in raw.split(",")} - {""}
    return not names or any(name in frames for name in names)


def _of_inputs(path: Path, header: Mapping[str, Value]) -> Iterator[tuple[str, Row]]:
    """Yield the name of each frame that went into a stack, and what the stack knows of it."""
    number = header.get("NCOMBINE")
    if not isinstance(number, int) or "ALIGNREF" not in header:
        return
    numbers = range(1, min(number, _MOST_INPUTS) + 1)
    starts = ("IMCMB", "ALBY", *(column.numbered for column in _NUMBERED))
    found = scan_header(path, {f"{start}{n:03d}" for start in starts for n in numbers})
    for n in numbers:
        name = found.get(f"IMCMB{n:03d}")
        if name is None:
            continue
        told = {c.name: _number(found.get(f"{c.numbered}{n:03d}")) for c in _NUMBERED}
        if found.get(f"ALBY{n:03d}") not in ("stars", "wcs"):
            told.update(dict.fromkeys(_OF_MATCHES))
        yield str(name), told


def _number(value: Value | None) -> float | int | None:
    """Return a number as it is, or one that was written as text."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return value
    return None if value is None else parse_number(value)


def _pixel_scale(header: Mapping[str, Value]) -> float | None:
    """Return the side of a pixel in arcseconds, by the header's WCS; None without one."""
    cd = [_number(header.get(key)) for key in _CD]
    if cd[0] is not None and cd[3] is not None:
        xx, xy, yx, yy = (value or 0.0 for value in cd)
        area = abs(xx * yy - xy * yx)
    else:
        area = abs((_number(header.get("CDELT1")) or 0.0) * (_number(header.get("CDELT2")) or 0.0))
    return 3600.0 * math.sqrt(area) if 0 < area < 1 else None


def time_of(row: Row) -> float | None:
    """Return the time of a row in seconds since the epoch."""
    if not row["time"]:
        return None
    return datetime.fromisoformat(row["time"]).replace(tzinfo=UTC).timestamp()
