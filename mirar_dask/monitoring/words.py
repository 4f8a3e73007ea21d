"""How counts, sizes, times and failures are said, everywhere in the same way."""

from __future__ import annotations

from mirar_dask.processors.base.outcome import Record

_UNITS = ((1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "kB"))


def plural(number: int, noun: str) -> str:
    """Return "1 frame", "2 frames"."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def size_text(nbytes: float) -> str:
    """Return "340 MB", "1.2 GB"."""
    for unit, name in _UNITS:
        if nbytes >= unit:
            return (
                f"{nbytes / unit:.1f} {name}"
                if nbytes < 10 * unit
                else f"{nbytes / unit:.0f} {name}"
            )
    return f"{nbytes:.0f} B"


def duration(seconds: float) -> str:
    """Return "5 s", "12 min", "2 h 05"."""
    if seconds < 99.5:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60:02d}"


def brief(seconds: float) -> str:
    """Return "0.4 ms", "14 ms", "1.37 s", "95 s"."""
    if seconds < 0.01:
        return f"{1e3 * seconds:.1f} ms"
    if seconds < 1.0:
        return f"{1e3 * seconds:.0f} ms"
    return f"{seconds:.2f} s" if seconds < 10 else duration(seconds)


def clock(seconds: float) -> str:
    """Return "00:01:15"; hours are not limited to those of a day."""
    whole = int(seconds)
    return f"{whole // 3600:02d}:{whole // 60 % 60:02d}:{whole % 60:02d}"


def night_page(dashboard: str) -> str:
    """Return the address of the night's own page, on the server of a dashboard."""
    return f"{dashboard.rstrip('/').removesuffix('/status')}/mirar"


def failure_line(record: Record) -> str:
    """Say in one line what failed, where and why."""
    if not record.names:
        who = record.step
    elif len(record.names) == 1:
        who = f"{record.names[0]} at {record.step}"
    else:
        who = f"{record.names[0]} and {len(record.names) - 1} more at {record.step}"
    return f"{record.status}: {who}: {record.reason}"
