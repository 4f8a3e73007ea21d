"""Playing a night: frames are copied into a folder as a camera would write them there.

`RealtimeImageSimulator` is mirar's processor for that; `play_night` does the work, and is what
tests of a watched night use.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterable
from datetime import datetime
from pathlib import Path

from mirar_dask.data import ImageBatch
from mirar_dask.errors import ProcessorError
from mirar_dask.io import read_header
from mirar_dask.paths import EXPTIME_KEY, TIME_KEY, get_output_dir
from mirar_dask.processors.base_processor import BaseImageProcessor
from mirar_dask.processors.utils.header_values import as_list


def play_night(
    frames: Iterable[Path],
    folder: Path,
    *,
    speed: float | None = None,
    longest_gap: float | None = None,
    pieces: int = 1,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Copy frames into a folder, one after the other.

    Parameters
    ----------
    frames : iterable of Path
        Raw frames.
    folder : Path
        Where they are written, under their own names; a file that is there is replaced.
    speed : float, optional
        Play the night so many times as fast as it was: each frame comes when its exposure had
        ended (DATE-OBS and EXPTIME), those that do not tell before all others. By default they
        come in the order given, without a pause.
    longest_gap : float, optional
        Seconds, as played, that a pause takes at most.
    pieces : int
        In so many pieces each file is written, with a short pause between them.
    sleep : callable
        Waits so many seconds.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if speed is None:
        for path in frames:
            _write(path, folder / path.name, pieces, sleep)
        return
    ends = {path: _end_of(path) for path in frames}
    before: float | None = None
    for path in sorted(ends, key=lambda path: (ends[path] or 0.0, path)):
        end = ends[path]
        gap = 0.0 if end is None or before is None else (end - before) / speed
        sleep(gap if longest_gap is None else min(gap, longest_gap))
        _write(path, folder / path.name, pieces, sleep)
        before = end


def _end_of(path: Path) -> float | None:
    """Seconds since the epoch at which an exposure had ended; None if the file does not tell."""
    try:
        header = read_header(path)
        began = datetime.fromisoformat(str(header[TIME_KEY])).timestamp()
        return began + float(header.get(EXPTIME_KEY) or 0.0)
    except (KeyError, ValueError, OSError, ProcessorError):
        return None


def _write(source: Path, target: Path, pieces: int, sleep: Callable[[float], None]) -> None:
    target.unlink(missing_ok=True)
    if pieces == 1:
        shutil.copyfile(source, target)
        return
    content = source.read_bytes()
    size = max(1, -(-len(content) // pieces))
    with target.open("wb", buffering=0) as file:
        for start in range(0, len(content), size):
            if start:
                sleep(0.02)
            file.write(content[start : start + size])


class RealtimeImageSimulator(BaseImageProcessor):
    """Copy raw frames into a folder, as if a camera took them now.

    Parameters
    ----------
    input_img_dir : str or Path
        Folder of the frames.
    input_img_names : str or list of str
        Their names.
    output_dir_name : str
        Folder that they are copied to, below the night's folder.
    output_dir : str or Path, optional
        Root of the night's folder; the root of products by default.
    speed : float, optional
        Play the night so many times as fast as it was, by the DATE-OBS and EXPTIME of the frames;
        by default they are copied at once.

    Notes
    -----
    Reads no header key of its images; writes none. They go on as they are.
    """

    base_key = "simrealtime"

    def __init__(
        self,
        input_img_dir: str | Path,
        input_img_names: str | list[str],
        output_dir_name: str,
        output_dir: str | Path | None = None,
        *,
        speed: float | None = None,
    ) -> None:
        super().__init__()
        self.input_img_dir = Path(input_img_dir)
        self.input_img_names = as_list(input_img_names)
        self.output_dir_name = output_dir_name
        self.output_dir = None if output_dir is None else Path(output_dir)
        self.speed = speed

    def description(self) -> str:
        """Name the folder."""
        return f"Simulate a camera: copy frames into the folder '{self.output_dir_name}'"

    def _apply_to_images(self, batch: ImageBatch) -> ImageBatch:
        folder = get_output_dir(
            self.output_dir_name, sub_dir=self.night_sub_dir or "", output_dir=self.output_dir
        )
        frames = [self.input_img_dir / name for name in self.input_img_names]
        missing = [path.name for path in frames if not path.is_file()]
        if missing:
            raise FileNotFoundError(f"{', '.join(missing)}: not in {self.input_img_dir}")
        play_night(frames, folder, speed=self.speed)
        return batch
