"""The probe: before any work, every worker proves that it can do the run's tasks.

It reads what the driver wrote and writes what the driver reads, in the folders that the run will
use; its packages, clock and disk are looked at too. Workers that join later prove the same, and
those that cannot leave again. No file is looked up before it exists: NFS would go on saying that
it is absent for up to 30 seconds.
"""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
import stat
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from distributed import Client, Worker, WorkerPlugin

from mirar_dask.cluster.places import Places
from mirar_dask.cluster.sighting import (
    Finding,
    Order,
    Sighting,
    compatible,
    first_block,
    judge,
    look,
    merged,
    own_versions,
    refusal,
    trouble_with,
    write_token,
)
from mirar_dask.engine.plugin import register
from mirar_dask.errors import ClusterError
from mirar_dask.private import make_private

logger = logging.getLogger(__name__)

ANSWER_SECONDS = 20.0
"""How long a worker may take to look."""
PROBES = ".probes"
"""Folder for the files of the probe, in the run's."""
TOPIC = "mirar_dask-probe"
"""Where workers that join later say what they found."""


@contextmanager
def order_for(places: Places) -> Iterator[Order]:
    """Write what workers are to read, and remove it in the end."""
    read: list[Any] = []
    write: list[Any] = []
    above: Path | None = None
    if places.raw is not None:
        frame = _a_file_below(places.raw)
        if frame is not None:
            read.append(("raw", first_block(frame)))
    try:
        for place, folder in (("output", places.output), ("cache", places.cache)):
            if folder is not None:
                if place == "cache":
                    make_private(folder)
                folder.mkdir(parents=True, exist_ok=True)
                read.append((place, write_token(folder, "driver")))
                write.append((place, folder))
        yield Order(tuple(read), tuple(write), own_versions(), time.time())
    finally:
        for place, token in read:
            if place != "raw":
                token.path.unlink(missing_ok=True)
        if above is not None:
            shutil.rmtree(above, ignore_errors=True)


def _a_file_below(folder: Path) -> Path | None:
    with suppress(OSError):
        for found, folders, names in os.walk(folder):
            folders.sort()
            for name in sorted(names):
                if stat.S_ISREG(Path(found, name).lstat().st_mode):  # no pipe: it would wait
                    return Path(found, name)
    return None


def probe(client: Client, order: Order) -> list[Finding]:
    """Have every worker look, and return what keeps them from the run; nothing if all is well."""
    order = replace(order, time=time.time())
    workers = list(client.scheduler_info(n_workers=-1)["workers"])

    async def ask(address: str) -> Any:
        call = client.run(_look, order, workers=[address], on_error="return")
        return (await asyncio.wait_for(call, ANSWER_SECONDS)).get(address)

    async def ask_all() -> list[Any]:
        return await asyncio.gather(*map(ask, workers), return_exceptions=True)

    findings: list[Finding] = []
    for address, answer in zip(workers, client.sync(ask_all), strict=True):
        if isinstance(answer, Sighting):
            findings += judge(order, answer) + _unread(answer)
        else:
            what = _why_silent(answer)
            place = "versions" if "installed" in what else "worker"
            findings.append(Finding(place, what, (_host(address),)))
    return merged([*_of_scheduler(client, order), *findings])


def _of_scheduler(client: Client, order: Order) -> list[Finding]:
    """Look at the scheduler's own packages; mirar_dask need not be there."""
    found = client.get_versions()["scheduler"]["packages"]
    ours = {name: said for name, said in order.versions if name in ("dask", "distributed")}
    return [
        Finding("versions", f"it has {name} {found.get(name)}, the driver {said}", ("scheduler",))
        for name, said in ours.items()
        if not compatible(name, said, str(found.get(name)))
    ]


def _host(address: str) -> str:
    return address.partition("://")[2] or address


def _why_silent(answer: Any) -> str:
    if isinstance(answer, ImportError) or "ModuleNotFoundError" in str(answer):
        return "mirar_dask, or this version of it, is not installed there"
    if isinstance(answer, TimeoutError):
        return f"it did not look at the folders within {ANSWER_SECONDS:.0f} s (does storage hang?)"
    return f"it did not answer ({type(answer).__name__}: {answer})"


def _unread(sighting: Sighting) -> list[Finding]:
    """Read here what a worker wrote there, and remove it."""
    found = []
    for place, token in sighting.written:
        trouble = trouble_with(token)
        token.path.unlink(missing_ok=True)
        if trouble:
            what = f"what it writes to {token.path.parent} does not arrive at the driver"
            found.append(Finding(place, what, (sighting.host,)))
    return found


async def _look(order: Order) -> Sighting:
    # In a thread: the worker goes on talking to its scheduler while slow storage answers.
    return await asyncio.to_thread(look, order)


class ProbePlugin(WorkerPlugin):
    """Has each worker that joins later look; one that cannot do the tasks leaves again.

    Parameters
    ----------
    order : Order
        What it is to look at.
    known : frozenset of str
        Addresses of workers that have looked already.
    """

    def __init__(self, order: Order, known: frozenset[str]) -> None:
        self.name = f"mirar_dask-probe-{os.urandom(4).hex()}"
        self.order = order
        self.known = known

    async def setup(self, worker: Worker) -> None:
        """Look, before the first task: Dask begins with tasks when the plugins are set up."""
        if worker.address in self.known:
            return
        # How long the plugin lay at the scheduler is no fault of this host's clock.
        skew = worker.scheduler_delay
        order = replace(self.order, time=time.time() + skew)
        sighting = await _look(order)
        for _, token in sighting.written:
            await asyncio.to_thread(token.path.unlink, missing_ok=True)
        findings = judge(order, sighting)
        if not findings:
            return
        said = [str(finding) for finding in findings]
        await worker.scheduler.log_event(topic=TOPIC, msg={"said": said})
        await worker.close_gracefully(restart=False, reason=refusal(findings))


@contextmanager
def proving(client: Client, places: Places) -> Iterator[None]:
    """Let every worker prove itself, those that join while the block lasts included.

    Raises
    ------
    ClusterError
        If one of those that are there now cannot do the run's tasks.
    """
    with order_for(places) as order:
        known = frozenset(client.scheduler_info(n_workers=-1)["workers"])
        findings = probe(client, order)
        if findings:
            raise ClusterError(refusal(findings))
        plugin = ProbePlugin(order, known)
        register(client, plugin)
        client.subscribe_topic(TOPIC, _turned_away)
        try:
            yield
        finally:
            with suppress(Exception):  # the cluster may be what failed
                client.unsubscribe_topic(TOPIC)
                client.unregister_worker_plugin(plugin.name)


def _turned_away(event: Any) -> None:
    said: Sequence[str] = event[1].get("said", ())
    logger.warning("a worker that joined was turned away: %s", "; ".join(said))
