"""Packs that are asked back: which, and that every image is handed out once."""

from __future__ import annotations

import threading
import time
from typing import Any

import numpy as np
import pytest
from astropy.io.fits import Header
from distributed import Client, LocalCluster

from mirar_dask.data import Dataset, Image, ImageBatch
from mirar_dask.engine import packing
from mirar_dask.engine.asking import UnderWay, worth_asking
from mirar_dask.engine.driver import DaskEngine
from mirar_dask.engine.events import TaskSubmitted
from mirar_dask.engine.pack import Pack
from mirar_dask.engine.packing import Packing
from mirar_dask.engine.types import Bunch, ChainItem, RunSettings
from mirar_dask.processors.base_processor import BaseImageProcessor
from mirar_dask.testing.engine_contract import configured


def images(waits: list[float]) -> ImageBatch:
    """Make images that say how long a step takes for each."""
    return ImageBatch(
        [
            Image(
                np.zeros((1, 1), np.float32),
                Header(
                    {"BASENAME": f"{n}.fits", "RAWPATH": f"{n}.fits", "CALSTEPS": "", "WAIT": w}
                ),
            )
            for n, w in enumerate(waits)
        ]
    )


def items(n: int) -> list[ChainItem]:
    """Make what goes into a pack."""
    return [
        ChainItem(position, member)  # type: ignore[arg-type]
        for position, member in enumerate(Bunch.of(images([0.0] * n)).members)
    ]


def test_a_pack_gives_back_what_would_be_begun_last() -> None:
    """Half of what waits, rounded up; never what was begun."""
    pack = Pack(items(6), seconds=60.0)
    begun = iter(pack)
    assert next(begun).position == 0
    assert pack.give_back(0.5) == (3, 4, 5)
    assert pack.give_back(0.5) == (2,)
    assert pack.give_back(1.0) == (1,)
    assert pack.give_back(1.0) == ()
    assert list(begun) == []


def test_a_pack_whose_time_is_over_begins_no_other_image() -> None:
    """It begins one in any case: a task that did nothing would be handed out for ever."""
    assert [item.position for item in Pack(items(3), seconds=0.0)] == [0]


def test_no_image_is_done_twice_or_by_nobody_while_packs_are_asked() -> None:
    """One thread does the images, another takes them away at the same time."""
    pack, done, taken = Pack(items(2000), seconds=60.0), [], []

    def take() -> None:
        while found := pack.give_back(0.01):
            taken.extend(found)

    thread = threading.Thread(target=take)
    thread.start()
    done.extend(item.position for item in pack)
    thread.join()
    assert sorted(done + taken) == list(range(2000))


def test_those_that_have_most_left_are_asked_first() -> None:
    """As many as workers are idle; none of whose steps nothing is known."""
    known = Packing(slots=4)
    packs = [
        UnderWay(1, (0,), 4, 3.0),
        UnderWay(2, (0,), 4, 1.0),
        UnderWay(3, (0,), 1, 0.0),
        UnderWay(4, (0,), 8, 9.0),
        UnderWay(5, (7,), 9, 1.0),
    ]
    assert worth_asking(packs, 2, known) == []
    known.learn((0,), 1, 1.0)
    assert worth_asking(packs, 2, known) == [2, 1]
    assert worth_asking(packs, 9, known) == [2, 1, 4]
    assert worth_asking(packs, 0, known) == []


class Waits(BaseImageProcessor):
    """Wait as long as the image's header says."""

    base_key = "wait"

    def apply_to_image(self, image: Image, context: Any = None) -> Image:
        """Wait."""
        time.sleep(image["WAIT"])
        return image


def test_an_idle_worker_gets_images_from_the_pack_of_another(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The driver asks, the images go on elsewhere, and each is done once."""
    monkeypatch.setattr(packing, "TASKS_A_SECOND", 1)  # two workers are many
    submitted: list[TaskSubmitted] = []

    def listen(event: Any) -> None:
        if isinstance(event, TaskSubmitted):
            submitted.append(event)

    with (
        LocalCluster(
            n_workers=2,
            threads_per_worker=1,
            processes=False,
            dashboard_address=None,
            scheduler_kwargs={"dashboard": False},
        ) as cluster,
        Client(cluster) as client,
    ):
        engine = DaskEngine(client)
        settings = RunSettings(keep_results=False, listeners=(listen,))
        result = engine.run(
            configured([Waits()]), Dataset([images([0.3] * 5 + [0.12] * 5)]), settings
        )
    assert result.counts()["succeeded"] == 10
    names = [name for event in submitted for name in event.names]
    assert len(names) > 10, "nothing was given back"
    assert set(names) == {f"{n}.fits" for n in range(10)}
