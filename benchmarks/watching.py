"""What a night costs that is watched frame by frame: seconds a frame, as the night grows longer.

    python benchmarks/watching.py [FRAMES]

Each frame comes when the one before is reduced, so that there are as many small runs as frames: the
most that a night can have.
"""

from __future__ import annotations

import logging
import shutil
import sys
import tempfile
import threading
import time
from pathlib import Path
from statistics import median

from mirar_dask.config import NightSettings
from mirar_dask.testing import simulate_night
from mirar_dask.watching import WatchOptions
from mirar_dask.watching.night import follow_night, request_watch

SIZE = 64
PARTS = 10
"""Parts of the night that are told apart."""


def main(n_frames: int = 2000, cluster: str = "local") -> None:
    """Watch a night of so many exposures, and print what each part of it took."""
    logging.disable(logging.INFO)
    with tempfile.TemporaryDirectory() as scratch:
        source, raw, out = Path(scratch, "src"), Path(scratch, "n1"), Path(scratch, "out")
        simulate_night(
            source, size=SIZE, n_bias=20, n_dark=10, n_flat=10, n_science=n_frames, filters=("r",)
        )
        raw.mkdir()
        order = sorted(source.iterdir(), key=lambda path: (path.name[0] == "F", path.name))
        took: list[float] = []
        came = threading.Semaphore(0)

        def say(text: str) -> None:
            if "reduced" in text:
                came.release()

        def camera() -> None:
            for path in order:
                shutil.copyfile(path, raw / path.name)
                if path.name.startswith("FIELD"):
                    began = time.perf_counter()
                    came.acquire()
                    took.append(time.perf_counter() - began)

        options = WatchOptions(stable=0.05, calibrations_after=1, quiet_after=60)
        asked = NightSettings(raw=raw, out=out, cluster=cluster, workers=2)
        threading.Thread(target=camera, daemon=True).start()
        follow_night(request_watch(asked, options), options, say=say)
        size = max(1, len(took) // PARTS)
        for start in range(0, len(took), size):
            part = took[start : start + size]
            print(
                f"frames {start + 1:5d} to {start + len(part):5d}: median {median(part):.3f} s, "
                f"worst {max(part):.3f} s, together {sum(part):.1f} s",
                flush=True,
            )


if __name__ == "__main__":
    main(*map(int, sys.argv[1:2]))
