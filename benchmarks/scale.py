"""The driver and Dask's scheduler on many workers, with tasks that only wait, against the ideal.

    python benchmarks/scale.py [--workers 1 8 64 256] [--images 100 1000 10000]
                               [--seconds 0.1 1 10] [--times fixed log-normal] [--limit SECONDS]

Driver, plan and scheduler are the real ones. The workers are Dask's own too, all of them in the
same process, so that what they do themselves (about as much as driver and scheduler) is taken from
driver and scheduler; on other machines it would not be.

Nights have batches of uneven sizes (log-normal, of 30 images in the mean). Three ways:

- `images`: each image waits; images of all batches are independent.
- `groups`: the same, then the images are merged by another key, and each group waits as a whole
  for a twentieth of what its images waited for together (as a stack would); every group goes on as
  soon as it is complete.
- `barrier`: as `groups`, but no group goes on before all images are done.

Wall time is that from the moment at which the workers are prepared to the last outcome: finding
the chains of the images and handing out their tasks is in it. (The `rest` prepares the workers and
clears up.) The ideal is a lower bound on the time that this many workers need: the greatest of

- all work divided by the workers, and the longest wait of an image;
- for images that take the same time, that time multiplied by images / workers rounded up;
- for `groups`, for each group: the longest of its images, or all of them divided by the workers,
  whichever is more, and then the wait of the group.

With a barrier it is the sum of the bounds before and behind.

Where times differ and are not known before, no scheduler comes near that bound with few images a
worker. `list` is what list scheduling reaches without any cost: each image, in the order of the
night, goes to the worker that is free first.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import heapq
import math
import os
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from astropy.io.fits import Header
from measure import Result, Row, main, options

from mirar_dask.data import Dataset, Image, ImageBatch
from mirar_dask.processors.base_processor import BaseImageProcessor

MEAN_BATCH = 30
STACK = 0.05
"""Seconds that a group waits for each second that its images waited."""
WIDTH = 0.8
"""Of the log-normal distributions of sizes and, halved, of times: standard deviation of the log."""
TARGET = 1.1
WAYS = ("images", "groups", "barrier")


class Waits(BaseImageProcessor):
    """Wait as long as the image's header says."""

    base_key = "wait"
    writes_products = False

    def apply_to_image(self, image: Image, context: Any = None) -> Image:
        """Wait."""
        time.sleep(image["WAIT"])
        return image

    def changes_keys(self) -> frozenset[str]:
        """Change nothing but the history."""
        return frozenset()


class WaitsForAll(BaseImageProcessor):
    """Wait as long as a stack of the batch would take."""

    base_key = "wait_for_all"
    writes_products = False

    def _apply_to_images(self, batch: ImageBatch) -> ImageBatch:
        time.sleep(STACK * sum(image["WAIT"] for image in batch))
        return batch


@dataclass(frozen=True)
class Night:
    """How long the images wait, and which belong together."""

    waits: np.ndarray
    batches: np.ndarray
    """Number of each image's batch; a group is made of two batches."""

    @classmethod
    def draw(cls, n: int, seconds: float, times: str, seed: int = 1) -> Night:
        """Draw a night of n images."""
        rng = np.random.default_rng(seed)
        sizes = rng.lognormal(math.log(MEAN_BATCH) - WIDTH**2 / 2, WIDTH, n).astype(int) + 1
        batches = np.repeat(np.arange(n), sizes)[:n]
        waits = np.full(n, seconds)
        if times != "fixed":
            width = WIDTH / 2
            waits = rng.lognormal(math.log(seconds) - width**2 / 2, width, n)
        return cls(waits, batches)

    def dataset(self) -> Dataset:
        """Return the images, of one pixel each."""
        pixels = np.zeros((1, 1), np.float32)
        rows = zip(self.waits.tolist(), self.batches.tolist(), strict=True)
        return Dataset(
            [
                ImageBatch(
                    [
                        Image(pixels, _header(number, wait, batch))
                        for number, (wait, batch) in enumerate(rows)
                    ]
                )
            ]
        )

    def ideal(self, way: str, workers: int) -> float:
        """Return the lower bound, in seconds."""
        stacks = STACK * np.bincount(self.batches // 2, self.waits)
        first = _bound(self.waits, workers)
        if way == "images":
            return first
        if way == "barrier":
            return first + _bound(stacks, workers)
        groups = self.batches // 2
        before = np.bincount(groups, self.waits) / workers
        np.maximum.at(before, groups, self.waits)
        return max(
            first, (self.waits.sum() + stacks.sum()) / workers, float((before + stacks).max())
        )


def list_schedule(times: np.ndarray, workers: int) -> float:
    """Return the end of the last image if each goes, in order, to the worker that is free first."""
    free = [0.0] * workers
    for seconds in times.tolist():
        heapq.heapreplace(free, free[0] + seconds)
    return float(max(free))


def _bound(times: np.ndarray, workers: int) -> float:
    bound = max(times.sum() / workers, times.max())
    if (times == times[0]).all():
        bound = max(bound, math.ceil(len(times) / workers) * times[0])
    return float(bound)


def _header(number: int, wait: float, batch: int) -> Header:
    name = f"{number:05d}.fits"
    cards = {"BASENAME": name, "RAWPATH": name, "CALSTEPS": "", "WAIT": wait}
    return Header({**cards, "BATCH": batch, "GROUP": batch // 2})


def _steps(way: str) -> list[BaseImageProcessor]:
    from mirar_dask.processors.utils.image_selector import ImageBatcher, ImageRebatcher

    steps: list[BaseImageProcessor] = [ImageBatcher("BATCH"), Waits()]
    if way != "images":
        steps += [ImageRebatcher("GROUP"), WaitsForAll()]
    for step in steps:
        step.step_name = step.base_key
        step.set_night("night")
    return steps


# -- the cluster ----------------------------------------------------------------------------------

SETTINGS = {
    # What every worker does on its own account, and 256 in one process would do 256 times there.
    "distributed.worker.profile.enabled": False,
    "distributed.admin.system-monitor.interval": "1h",
    "distributed.admin.tick.interval": "5s",
    "distributed.admin.tick.limit": "60s",
}


HEARTBEAT = 30.0


@contextlib.contextmanager
def cluster(workers: int) -> Iterator[Any]:
    """Give an engine on so many workers of one thread, all in this process."""
    import dask
    from distributed import Client, LocalCluster, Worker

    from mirar_dask.cluster.environment import SETTINGS as OURS
    from mirar_dask.engine.driver import DaskEngine

    class RarelyHeard(Worker):  # type: ignore[misc]
        """A worker that says that it is alive every half minute, not every two seconds."""

        async def heartbeat(self) -> None:
            if time.monotonic() - getattr(self, "heard", -HEARTBEAT) >= HEARTBEAT:
                self.heard = time.monotonic()
                await super().heartbeat()

    async def start(address: str) -> list[Any]:
        kind: Any = RarelyHeard
        made = [
            kind(
                address, nthreads=1, memory_limit=0, dashboard=False,
                dashboard_address="127.0.0.1:0", name=f"worker-{number}",
            )
            for number in range(workers)
        ]  # fmt: skip
        for first in range(0, workers, 16):
            await asyncio.gather(*made[first : first + 16])
        return made

    async def stop(made: list[Any]) -> None:
        await asyncio.gather(*(worker.close() for worker in made))

    with contextlib.ExitStack() as stack:
        stack.enter_context(dask.config.set({**OURS, **SETTINGS}))
        started = stack.enter_context(
            LocalCluster(
                n_workers=0, processes=False, protocol="inproc://",
                dashboard_address="127.0.0.1:0", scheduler_kwargs={"dashboard": False},
            )
        )  # fmt: skip
        made = started.sync(start, started.scheduler_address)
        stack.callback(started.sync, stop, made)
        client = stack.enter_context(Client(started))
        client.wait_for_workers(workers, timeout=120)
        yield DaskEngine(client)


# -- the table ------------------------------------------------------------------------------------


def reduce(engine: Any, night: Night, way: str) -> tuple[float, float]:
    """Run one night; return the seconds of its reduction, and those that the rest took."""
    from mirar_dask.engine.events import RunStarted, TaskFinished
    from mirar_dask.engine.types import RunSettings

    times: list[float] = []

    def listen(event: Any) -> None:
        if isinstance(event, RunStarted | TaskFinished):
            times.append(event.time)

    settings = RunSettings(group_by_group=way != "barrier", keep_results=False, listeners=(listen,))
    result = engine.run(_steps(way), night.dataset(), settings)
    assert result.counts()["succeeded"] == len(night.waits), result.counts()
    wall = times[-1] - times[0]
    return wall, float(result.phases["reduce"]) - wall


def run(chosen: argparse.Namespace) -> Result:
    """Run all combinations whose ideal is within the limit."""
    os.environ["USE_WINTER_CACHE"] = "false"  # one pixel an image may travel
    if chosen.quick:
        chosen.workers, chosen.images, chosen.seconds = [8], [100], [0.1]
    rows, lines, figures = [], [_title()], []
    for workers in chosen.workers:
        nights = {
            (n, seconds, times): Night.draw(n, seconds, times)
            for n in chosen.images
            for seconds in chosen.seconds
            for times in chosen.times
        }
        with cluster(workers) as engine:
            reduce(engine, Night.draw(workers, 0.01, "fixed"), "groups")  # imports, connections
            for (n, seconds, times), night in nights.items():
                found: dict[str, float] = {}
                for way in chosen.ways:
                    ideal = night.ideal(way, workers)
                    what = {
                        "workers": workers, "images": n, "seconds": seconds, "times": times,
                        "way": way, "ideal": ideal,
                    }  # fmt: skip
                    if ideal <= chosen.limit:
                        found[way], what["rest"] = reduce(engine, night, way)
                        what["wall"] = found[way]
                        what["ratio"] = found[way] / ideal
                        if way == "images":
                            what["list"] = list_schedule(night.waits, workers)
                    figures.append(what)
                    lines.append(_line(what))
                    print(lines[-1], file=sys.stderr, flush=True)
                    if found.get(way) and workers == max(chosen.workers) and seconds >= 1:
                        label = f"{n:,} images of {seconds:g} s ({times}), {way}: wall / ideal"
                        known = times == "fixed" or ideal > 0.9 * what.get("list", 0)
                        target = f"<= {TARGET}" if way == "images" and known else ""
                        rows.append(Row(label, found[way] / ideal, target=target))
                        if way == "images" and not known:
                            label = label.replace("ideal", "list scheduling")
                            rows.append(
                                Row(label, found[way] / what["list"], target=f"<= {TARGET}")
                            )
                if {"groups", "barrier"} <= set(found) and workers == max(chosen.workers):
                    label = f"{n:,} images of {seconds:g} s ({times}): barrier / group by group"
                    rows.append(Row(label, found["barrier"] / found["groups"], target="> 1"))
    sizes = f"batches of {MEAN_BATCH} images in the mean, up to {max(chosen.workers)} workers"
    title = "Driver and scheduler on many workers"
    return Result("scale", title, sizes, rows, {"runs": figures}, lines)


def _title() -> str:
    head = f"{'workers':>7} {'images':>7} {'a frame':>8} {'times':<11}{'way':<8}"
    return f"{head}{'ideal':>8}{'list':>9}{'wall':>9}{'ratio':>7}{'rest':>9}"


def _line(run: dict[str, Any]) -> str:
    head = (
        f"{run['workers']:>7} {run['images']:>7,} {run['seconds']:>6g} s {run['times']:<11}"
        f"{run['way']:<8}{run['ideal']:>6.1f} s"
    )
    if "wall" not in run:
        return f"{head}  not run"
    listed = f"{run['list']:>7.1f} s" if "list" in run else " " * 9
    return f"{head}{listed}{run['wall']:>7.2f} s{run['ratio']:>7.3f}{run['rest']:>7.2f} s"


def parser() -> argparse.ArgumentParser:
    """Return the options."""
    made = options(__doc__, repeat=1)
    made.add_argument("--workers", type=int, nargs="+", default=[1, 8, 64, 256])
    made.add_argument("--images", type=int, nargs="+", default=[100, 1000, 10_000])
    made.add_argument("--seconds", type=float, nargs="+", default=[0.1, 1.0, 10.0])
    made.add_argument("--times", nargs="+", default=["fixed", "log-normal"])
    made.add_argument("--ways", nargs="+", default=WAYS, choices=WAYS)
    made.add_argument(
        "--limit", type=float, default=5.0, help="longest ideal that is run (seconds)"
    )
    return made


if __name__ == "__main__":
    main(parser(), run)
