"""PendingPixels: what an earlier run made and did not keep, made again if it is asked for.

An image between two products, as most steps leave one, need not be made to find that the product
behind it is there. Where that is not so, whoever reads it does the steps that lead to it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from mirar_dask.data import Image, ImageBatch, ImageHandle
from mirar_dask.data.pixels import Pixels
from mirar_dask.engine.batch_work import do_batch
from mirar_dask.engine.bench import Bench, current_bench
from mirar_dask.engine.travel import files_of
from mirar_dask.engine.types import BatchWork, Bunch, Handle, Link
from mirar_dask.errors import ProcessorError
from mirar_dask.processors.base_processor import BaseImageProcessor


@dataclass(frozen=True, slots=True)
class PendingContext:
    """A context that is made, by whoever needs it, of the images that go into it."""

    step: int
    inputs: Bunch

    def make(self, bench: Bench) -> Any:
        """Run `prepare`."""
        step, batch = bench.steps[self.step], self.inputs.open()
        assert isinstance(step, BaseImageProcessor)
        assert isinstance(batch, ImageBatch)
        return step.prepare(batch)

    @property
    def files(self) -> tuple[Path, ...]:
        """Files of the cache behind the images."""
        return tuple(path for handle in self.inputs.members for path in handle.files)


@dataclass(frozen=True, slots=True, eq=False)
class PendingPixels(Pixels):
    """What becomes of an image's pixels on some links; readable in a task of the run."""

    base: ImageHandle
    """The image before the links."""
    links: tuple[Link, ...]
    contexts: dict[str, Any]
    """Packed contexts by name."""
    keys: dict[str, str]
    """What they stand for in the history."""
    shape: tuple[int, ...]
    dtype: np.dtype

    rows_readable: ClassVar[bool] = False

    @property
    def path(self) -> Path | None:  # type: ignore[override]
        """No file holds them."""
        return None

    @property
    def cache_files(self) -> tuple[Path, ...]:
        """Files of the cache without which they cannot be made again."""
        files = list(self.base.files)
        for value in self.contexts.values():
            files += value.files if isinstance(value, PendingContext) else files_of(value)
        return tuple(files)

    def read(self) -> np.ndarray:
        """Do the steps.

        Raises
        ------
        ProcessorError
            If one of them fails, which it did not when the image was made first.
        """
        bench = current_bench()
        known = bench.last_pending
        if known is None or known[0] is not self:
            known = bench.last_pending = self, self._make(bench).get_data()
        return known[1].copy()

    def _make(self, bench: Bench) -> Image:
        image = self.base.open()
        for link in self.links:
            step = bench.steps[link.step]
            if link.history_only:
                continue
            assert isinstance(step, BaseImageProcessor)
            name = link.context or ""
            context = self._context(name, bench) if name else None
            after, records = step.process_image(image, context, self.keys.get(name, ""))
            if after is None:
                reason = records[-1].reason if records else "no reason is known"
                raise ProcessorError(
                    f"'{self.base.name}' could not be made again at step '{step.step_name}', "
                    f"which an earlier run had passed: {reason}"
                )
            image = after
        return image

    def _context(self, name: str, bench: Bench) -> Any:
        value = self.contexts[name]
        if not isinstance(value, PendingContext):
            return bench.contexts.get(name, value)
        if name not in bench.contexts.names:
            bench.contexts.put(name, None, value.make(bench))
        return bench.contexts.get(name, None)

    def token(self) -> tuple[Any, ...]:
        """Return what identifies the image and the links."""
        links = tuple((link.step, self.keys.get(link.context or "", "")) for link in self.links)
        return ("pending", self.base.pixels.token(), *links)


@dataclass(frozen=True, slots=True, eq=False)
class PendingMember(Pixels):
    """What becomes of the pixels of one image of a batch in steps that see the batch as a whole."""

    work: BatchWork
    number: int
    """Of the batch, among those that come out."""
    place: int
    """Of the image in that batch."""
    shape: tuple[int, ...]
    dtype: np.dtype

    rows_readable: ClassVar[bool] = False

    @property
    def path(self) -> Path | None:  # type: ignore[override]
        """No file holds them."""
        return None

    @property
    def cache_files(self) -> tuple[Path, ...]:
        """Files of the cache behind the batch."""
        return tuple(path for handle in self.work.batch.members for path in handle.files)

    def read(self) -> np.ndarray:
        """Do the steps.

        Raises
        ------
        ProcessorError
            If one of them fails, which it did not when the batch was made first.
        """
        outcome = do_batch(self.work, current_bench())
        try:
            handle = outcome.batches[self.number].members[self.place]
            assert isinstance(handle, ImageHandle)
            return handle.pixels.read()
        except IndexError:
            reasons = "; ".join(record.reason for record in outcome.records)
            names = ", ".join(self.work.batch.names[:3])
            raise ProcessorError(
                f"the batch of {names} could not be made again: {reasons}"
            ) from None
        finally:
            for path in outcome.files:
                path.unlink(missing_ok=True)

    def token(self) -> tuple[Any, ...]:
        """Return what identifies batch, steps and image."""
        members = tuple(h.__dask_tokenize__() for h in self.work.batch.members)
        return ("pending", members, self.work.step, self.work.stop, self.number, self.place)


def pending_batches(work: BatchWork, batches: tuple[Bunch, ...]) -> tuple[Bunch, ...]:
    """Let the images that a batch became be made again if somebody reads their pixels."""

    def pending(handle: Handle, number: int, place: int) -> Handle:
        if not isinstance(handle, ImageHandle):
            return handle
        pixels = PendingMember(work, number, place, handle.shape, handle.dtype)
        return replace(handle, pixels=pixels)

    return tuple(
        replace(bunch, members=tuple(pending(h, n, p) for p, h in enumerate(bunch.members)))
        for n, bunch in enumerate(batches)
    )
