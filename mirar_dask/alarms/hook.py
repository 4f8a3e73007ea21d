"""Calls the user's own command with news of a run: the document on its standard input.

The command's words are started as they stand: no shell reads them, and nothing that comes from
frames or their headers is among them but one path, the last.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import IO

from mirar_dask.alarms.notice import Notice
from mirar_dask.alarms.settings import KEYS, PASSWORD_VARIABLE, PREFIX, AlarmSettings
from mirar_dask.data.cache import CACHE_DIR_VARIABLE, CACHE_KEY_VARIABLE

INSIDE_VARIABLE = f"{PREFIX}INSIDE_ON_END"
"""Tells a run that a command started which was called at the end of another: it calls none."""
OUTPUT = "on_end.txt"
"""What the command printed, in the run's folder."""
CLOSE_SECONDS = 5.0
"""How long a command that is told to stop may take for it."""
_SHOWN = 200
"""Characters of the command's last words that are shown."""


def call(settings: AlarmSettings, notice: Notice) -> str | None:
    """Call the command and wait for its end.

    Returns
    -------
    str or None
        What went wrong, in a sentence; None if the command ended with 0.
    """
    name = Path(settings.on_end[0]).name
    words = [*settings.on_end, *([str(notice.path)] if notice.path else [])]
    place = notice.folder / OUTPUT if notice.folder else None
    with tempfile.TemporaryFile() as given, _output(place) as printed:
        given.write(json.dumps(dict(notice.document)).encode())
        given.seek(0)
        try:
            process = subprocess.Popen(
                words,
                stdin=given,
                stdout=printed,
                stderr=printed,
                env=environment_of(notice, os.environ),
                start_new_session=True,  # Ctrl-C is for us, and all that it starts can be ended
            )
        except OSError as error:
            return f"the command at the end of a run, {name}, did not start: {error.strerror}"
        try:
            code = process.wait(settings.on_end_seconds)
        except subprocess.TimeoutExpired:
            _stop(process)
            return (
                f"the command at the end of a run, {name}, did not end within "
                f"{settings.on_end_seconds:g} s and was stopped; {PREFIX}ON_END_SECONDS gives more"
            )
        except BaseException:
            _stop(process)
            raise
        if code == 0:
            return None
        how = f"status {code}" if code > 0 else f"signal {signal.Signals(-code).name}"
        said = _last_line(printed)
        where = f" ({place})" if place else ""
        return f"the command at the end of a run, {name}, ended with {how}{said}{where}"


def environment_of(notice: Notice, environment: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of the command: ours without our alarms, and the news.

    Parameters
    ----------
    notice : Notice
        What is told.
    environment : mapping
        That of this process.
    """
    ours = {PREFIX + key.upper() for key in KEYS}
    ours |= {PASSWORD_VARIABLE, CACHE_DIR_VARIABLE, CACHE_KEY_VARIABLE}
    kept = {name: value for name, value in environment.items() if name not in ours}
    document = notice.document
    counts = {name.replace(" ", "_").upper(): n for name, n in document["counts"].items()}
    frames = counts.pop("FRAMES", 0)
    news = {
        "STATE": notice.state,
        "EXIT_CODE": notice.exit_code,
        "WHY": notice.why,
        "RUN_ID": document["run_id"],
        "PIPELINE": document["pipeline"],
        "NIGHT": document["night"],
        "SUMMARY": notice.path or "",
        "RUN_FOLDER": notice.folder or "",
        "OUTPUT_FOLDER": document["folders"]["output"],
        "N_FRAMES": frames,
        **{f"N_{name}": n for name, n in counts.items()},
        "N_FAILURES": len(document["failures"]),
        "N_CAVEATS": len(document["caveats"]),
        "N_PRODUCTS": len(document["products"]),
    }
    told = {PREFIX + name: str(value).replace("\0", "") for name, value in news.items()}
    return {**kept, **told, INSIDE_VARIABLE: "1"}


def _output(place: Path | None) -> IO[bytes]:
    if place is not None:
        try:
            return place.open("w+b")
        except OSError:
            pass  # a full disk: the command is called all the same
    return tempfile.TemporaryFile()


def _stop(process: subprocess.Popen[bytes]) -> None:
    """End a command with all that it started."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, number)
        except ProcessLookupError:
            break
        try:
            process.wait(CLOSE_SECONDS)
        except subprocess.TimeoutExpired:
            continue
    process.wait()


def _last_line(printed: IO[bytes]) -> str:
    size = printed.seek(0, os.SEEK_END)
    printed.seek(max(0, size - 4096))
    lines = printed.read().decode(errors="replace").split("\n")
    last = next((line.strip() for line in reversed(lines) if line.strip()), "")
    clean = "".join(c if c.isprintable() else "?" for c in last)[:_SHOWN]
    return f": {clean}" if clean else ""
