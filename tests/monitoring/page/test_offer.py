"""The page on a real scheduler's server."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from functools import partial
from pathlib import Path
from urllib.request import urlopen

import pytest

from mirar_dask.cluster import ClusterSpec, connect
from mirar_dask.monitoring.page.offer import offer_page
from mirar_dask.testing.journals import JournalOfNight


def test_a_scheduler_serves_the_page_beside_its_own(tmp_path: Path):
    """Whichever is asked for first; workers are those that the scheduler knows."""
    folder = JournalOfNight(frames=20, batches=2).write(tmp_path / "imager" / "1", until=0.5)
    offer = partial(offer_page, out=str(tmp_path), run=str(folder))
    with connect(ClusterSpec.parse("threads", workers=1), offer=offer) as engine:
        pages = engine.client.dashboard_link.removesuffix("/status")  # type: ignore[attr-defined]
        for path in ("/mirar/", "/status", "/mirar/"):
            with urlopen(pages + path) as answer:
                body = answer.read()
                assert (b'id="mirar"' in body) == (path == "/mirar/")
        with urlopen(f"{pages}/mirar/api/runs") as answer:
            told = json.load(answer)
        assert told["dask"]
        (run,) = told["runs"]
        with urlopen(f"{pages}/mirar/api/runs/{run['key']}/changes") as answer:
            assert json.load(answer)["head"]["state"] == "interrupted"


def test_a_scheduler_without_this_package_is_told_of_and_the_night_goes_on(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    """It was started in another environment; one sentence says so."""
    bare = tmp_path / "bare" / "mirar_dask"
    bare.mkdir(parents=True)
    (bare / "__init__.py").write_text("raise ImportError('there is no mirar_dask here')\n")
    environment = {**os.environ, "PYTHONPATH": str(bare.parent)}
    code = (
        "import sys, asyncio\n"
        "from distributed import Scheduler, Worker\n"
        "async def main():\n"
        "    async with Scheduler(host='127.0.0.1', port=0, dashboard=False,\n"
        "                         dashboard_address='127.0.0.1:0') as scheduler:\n"
        "        async with Worker(scheduler.address, nthreads=1, dashboard=False):\n"
        "            print(scheduler.address, flush=True)\n"
        "            await asyncio.to_thread(sys.stdin.read)\n"
        "asyncio.run(main())\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=tmp_path,  # else Python would find the package where the tests run
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    with process:
        assert process.stdout is not None
        address = process.stdout.readline().strip()
        offer = partial(offer_page, out=str(tmp_path), run=str(tmp_path))
        with (
            caplog.at_level(logging.WARNING, logger="mirar_dask"),
            connect(ClusterSpec.parse(address), offer=offer),
        ):
            pass
        process.communicate()
    (said,) = [r.getMessage() for r in caplog.records if "page of the night" in r.getMessage()]
    assert "install mirar_dask where it runs" in said
    assert "mirar-dask page" in said
