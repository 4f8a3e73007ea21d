"""What can be said about how a night is watched; the rest is the request of the night itself."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from mirar_dask.errors import UsageError
from mirar_dask.watching.observer import Means

_UNITS = {"": 1, "s": 1, "sec": 1, "m": 60, "min": 60, "h": 3600, "d": 86400}


@dataclass(frozen=True, kw_only=True)
class WatchOptions:
    """How a night is watched. Times are in seconds."""

    observe: Means = "auto"
    """How it is known that frames have come: events of the file system, or looking again."""
    interval: float = 2.0
    """Between two looks at the folder where nothing tells of changes."""
    stable: float = 1.0
    """Without a change, after which a file is examined."""
    incomplete_after: float = 60.0
    """Without a change, after which a file that is not complete has failed."""
    endless_after: float = 600.0
    """After which a file that is still being written has failed."""
    calibrations_after: float = 60.0
    """Without a further calibration frame, after which those that came are taken up."""
    dithers_after: float = 3600.0
    """Without a further frame, after which an incomplete set of dithers is stacked."""
    quiet_after: float = 7200.0
    """Without a new frame, after which the night is over."""
    until: str | None = None
    """When the night is over at the latest: ``06:30``, ``13:30Z``, or date and time (ISO 8601)."""
    midway_after: float = 16 * 3600.0
    """After its beginning, when a summary is written of how the night stands."""
    final_after: float = 48 * 3600.0
    """After its beginning, when the night is over at the latest."""
    realtime: str | None = None
    """Configuration for frames as they come; ``realtime`` where the pipeline has one, else the
    beginning of the night's own."""


def read_seconds(text: str | float, *, name: str) -> float:
    """Read a time span: ``90``, ``90s``, ``2min``, ``1.5h``.

    Raises
    ------
    UsageError
        If it is none.

    Examples
    --------
    >>> read_seconds("2min", name="--quiet-after"), read_seconds("0.5", name="--stable")
    (120.0, 0.5)
    """
    found = re.fullmatch(r"\s*(\d+(?:\.\d*)?|\.\d+)\s*([a-z]*)\s*", str(text).lower())
    if found is None or found[2] not in _UNITS:
        raise UsageError(f"{name} {text}: expected a time such as 90s, 2min or 1.5h")
    return float(found[1]) * _UNITS[found[2]]


def read_moment(text: str, now: datetime, *, name: str = "--until") -> datetime:
    """Read a moment: an hour, which is the next one of that name, or date and time.

    Without ``Z`` or an offset it is the local time of this host.

    Parameters
    ----------
    text : str
        ``06:30``, ``13:30Z``, ``2026-03-15T13:30:00+00:00``.
    now : datetime
        With its time zone.

    Raises
    ------
    UsageError
        If it is none.

    Examples
    --------
    >>> read_moment("06:30Z", datetime(2026, 3, 14, 20, tzinfo=UTC)).isoformat()
    '2026-03-15T06:30:00+00:00'
    """
    said = text.strip()
    hour = re.fullmatch(r"(\d{1,2}):(\d{2})(Z?)", said, re.IGNORECASE)
    try:
        if hour:
            here = now.astimezone(UTC) if hour[3] else now.astimezone()
            found = here.replace(hour=int(hour[1]), minute=int(hour[2]), second=0, microsecond=0)
            return found if found > here else found + timedelta(days=1)
        found = datetime.fromisoformat(said)
        return found if found.tzinfo else found.astimezone()
    except ValueError:
        raise UsageError(
            f"{name} {text}: expected an hour such as 06:30 or 13:30Z, or a date and time such as "
            "2026-03-15T13:30Z"
        ) from None
