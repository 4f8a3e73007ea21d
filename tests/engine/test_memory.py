"""What a task needs is estimated, and what cannot fit is refused before it starts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mirar_dask.data import Dataset, Image, ImageBatch, NpyPixels
from mirar_dask.data.cache import use_place
from mirar_dask.engine import Engine
from mirar_dask.engine.bench import ContextCache
from mirar_dask.engine.memory import (
    SMALL,
    TaskTooLargeError,
    largest_task,
    of_band,
    of_chain,
    of_master,
    refuse_if_too_large,
    unsaid,
)
from mirar_dask.engine.travel import PackedArray
from mirar_dask.processors.bias import BiasCalibrator
from mirar_dask.processors.combine import DEFAULT_MAX_BYTES
from mirar_dask.processors.utils.image_loader import ImageLoader
from mirar_dask.processors.utils.image_saver import ImageSaver
from mirar_dask.testing.engine_contract import Doubles, configured, reduction, settings_for
from mirar_dask.testing.images import make_image


def frames(n: int, shape: tuple[int, int] = (100, 50)) -> list[Image]:
    return [make_image(f"{i}.fits", np.zeros(shape, np.float32)) for i in range(n)]


class Tells(Doubles):
    """Says how much memory it needs."""

    base_key = "tells"

    def memory_needed(self, shape: tuple[int, ...], n_images: int) -> int:
        """A thousand bytes an image."""
        return 1000 * n_images


def test_a_step_on_whole_batches_counts_what_images_hold_and_three_more() -> None:
    """The largest image decides, and so does what the images of a task may hold together."""
    images = [make_image("a.fits"), *frames(9)]
    frame = 4 * 5000
    assert largest_task([Doubles()], images) == (SMALL + 10 * frame + 3 * frame, "doubles")
    assert largest_task([Doubles()], images, budget=2 * frame)[0] == SMALL + 5 * frame


def test_a_step_may_say_itself_what_it_needs() -> None:
    """It does not count three images then, and the plan has no caveat about it."""
    assert largest_task([Tells()], frames(3))[0] == SMALL + 3 * 4 * 5000 + 3000
    assert unsaid([Doubles(), Tells(), ImageSaver("x")]) == [Doubles().step_name]


def test_a_chain_counts_its_image_and_its_masters() -> None:
    """Our steps work in place; one that says nothing counts three images more."""
    frame = 4 * 2000 * 3000
    own = [step for step in reduction() if not isinstance(step, ImageLoader)]
    plain = of_chain(frame, 3 * frame, own)
    assert 4 * frame <= plain <= 4 * frame + SMALL + (4 << 20)
    assert of_chain(frame, 3 * frame, [*own, Doubles()]) == SMALL + 7 * frame


def test_masters_count_their_bands() -> None:
    """They are made by bands of rows, whatever the number of frames."""
    step = BiasCalibrator()
    small, large = frames(3, (2000, 2000)), frames(300, (2000, 2000))
    frame = large[0].nbytes
    assert of_master(step, small) <= 1.5 * frame + SMALL
    assert of_master(step, large) <= frame + DEFAULT_MAX_BYTES + SMALL
    assert of_master(step, large, banded=True) <= 1.5 * frame + SMALL
    assert of_band(small, (0, 1000)) < of_master(step, small)


def test_kept_masters_make_room_for_a_task() -> None:
    """Those that it uses stay, and so do the last used of the others while there is room."""
    cache = ContextCache(10_000)
    arrays = {name: np.zeros(500, np.float32) for name in "abcd"}
    with use_place(None):
        packed = {name: PackedArray(NpyPixels.publish(a)) for name, a in arrays.items()}
    for name, value in packed.items():
        cache.get(name, value)
    cache.make_room(2000, wanted=["a"])
    kept = list(cache.names)
    assert kept == ["a", "d"]


def test_the_refusal_gives_both_numbers_and_what_to_do() -> None:
    """One sentence."""
    with pytest.raises(TaskTooLargeError, match=r"2\.00 GB.*0\.67 GB.*--memory"):
        refuse_if_too_large(2 * 10**9, "bias master", 10**9)
    refuse_if_too_large(6 * 10**8, "bias master", 10**9)


def test_a_run_that_cannot_fit_is_refused_and_can_be_forced(
    local: Engine, raw: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is begun; with the check off the same run goes through."""
    monkeypatch.setattr("mirar_dask.engine.memory.SMALL", 10**15)
    start = Dataset([ImageBatch()])
    with pytest.raises(TaskTooLargeError):
        local.run(configured(reduction()), start, settings_for(raw, tmp_path))
    assert not list(tmp_path.rglob("*.fits"))
    forced = settings_for(raw, tmp_path, check_memory=False)
    result = local.run(configured(reduction()), start, forced)
    assert result.counts()["failed"] == 0
    assert result.counts()["succeeded"] > 0
