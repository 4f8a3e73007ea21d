"""Sizes, times and ranges as people write them, and back into text."""

from __future__ import annotations

import re

from mirar_dask.errors import UsageError

MIN_MEMORY = 256 << 20
"""Least memory with which a worker process is of any use."""
MIN_WALLTIME = 60
_SIZES = {"": 1, "b": 1, "k": 10**3, "kb": 10**3, "kib": 2**10, "m": 10**6, "mb": 10**6}
_SIZES |= {"mib": 2**20, "g": 10**9, "gb": 10**9, "gib": 2**30, "t": 10**12, "tb": 10**12}
_SIZES |= {"tib": 2**40}
_TIMES = {"s": 1, "sec": 1, "m": 60, "min": 60, "h": 3600, "hours": 3600, "d": 86400, "days": 86400}
_CLOCK = re.compile(r"(?:(\d+)-)?(\d+):([0-5]\d):([0-5]\d)")


def read_memory(text: int | str, *, name: str = "--memory") -> int:
    """Read the memory of a worker process: bytes, or a text such as ``2GB`` or ``512MiB``."""
    said = str(text).strip().lower()
    number = said.rstrip("abcdefghijklmnopqrstuvwxyz ")
    try:
        found = int(float(number) * _SIZES[said[len(number) :].strip()])
    except (KeyError, ValueError, OverflowError):
        raise UsageError(f"{name} {text}: expected a size such as 2GB or 512MiB") from None
    if found < MIN_MEMORY:
        raise UsageError(f"{name} {text}: a worker needs at least 256 MiB")
    return found


def read_walltime(text: str, *, name: str = "--walltime") -> int:
    """Read how long a job may run, in seconds: ``2h``, ``90min``, ``01:30:00``, ``1-00:00:00``.

    A number alone is refused: it is minutes to one queue system and seconds to another.
    """
    said = str(text).strip().lower()
    clock = _CLOCK.fullmatch(said)
    number = said.rstrip("abcdefghijklmnopqrstuvwxyz ")
    try:
        if clock:
            days, hours, minutes, seconds = (int(part or 0) for part in clock.groups())
            found = days * 86400 + hours * 3600 + minutes * 60 + seconds
        else:
            found = int(float(number) * _TIMES[said[len(number) :].strip()])
    except (KeyError, ValueError, OverflowError):
        raise UsageError(
            f"{name} {text}: expected a time such as 2h, 90min, 01:30:00 or 1-12:00:00"
        ) from None
    if found < MIN_WALLTIME:
        raise UsageError(f"{name} {text}: a job needs at least a minute")
    return found


def read_range(text: str | tuple[int, int], *, name: str = "--adapt") -> tuple[int, int]:
    """Read the least and the greatest number of workers, ``MIN:MAX``."""
    parts = text.split(":") if isinstance(text, str) else list(text)
    try:
        least, most = (int(part) for part in parts)
    except (TypeError, ValueError):
        raise UsageError(f"{name} {text}: expected MIN:MAX, such as 0:20") from None
    if least < 0 or most < 1 or least > most:
        raise UsageError(f"{name} {text}: expected 0 <= MIN <= MAX and 1 <= MAX, such as 0:20")
    return least, most


def memory_text(size: int) -> str:
    """Write a size as people do: ``2.0 GB``."""
    return f"{size / 1e9:.1f} GB"


def clock_text(seconds: int) -> str:
    """Write a time as queue systems do: ``HH:MM:SS``.

    Examples
    --------
    >>> clock_text(90061)
    '25:01:01'
    """
    return f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}"
