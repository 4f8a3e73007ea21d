"""Turns a batch that enters a segment into chains of images and the contexts that they need.

A pure function of headers and steps: `expand` walks the steps once with images whose pixels it
does not read, and says for each image which steps it passes, which contexts they are given, and
where its chain ends. Planner and driver use the same walk, so the plan shows what will be done.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from mirar_dask.data import ImageBatch
from mirar_dask.data.image_data import ImageHandle
from mirar_dask.data.late import is_listed
from mirar_dask.engine import batch_names
from mirar_dask.engine.expansion import Chain, Context, Expansion, Leaf, Split
from mirar_dask.engine.lookahead import AheadImage, LateError, as_ahead, look_ahead
from mirar_dask.engine.questions import combines_frames, measures_frames, needs_whole_batch
from mirar_dask.engine.types import Bunch, Link
from mirar_dask.errors import MissingCalibrationError
from mirar_dask.processors.base.blocks import names_of
from mirar_dask.processors.base.claims import Claims
from mirar_dask.processors.base.core import CONTAINED
from mirar_dask.processors.base.forms import Form, Regroup
from mirar_dask.processors.base.history import joint_key
from mirar_dask.processors.base.outcome import Record, Status
from mirar_dask.processors.base_processor import (
    BaseImageProcessor,
    BaseProcessor,
    BatchSplitter,
    ProcessorPremadeCache,
    ProcessorWithCache,
)


@dataclass(slots=True)
class _Sub:
    """A part of the batch during the walk."""

    images: dict[int, AheadImage]
    splits: tuple[Split, ...] = ()
    path: batch_names.Path = ()


def expand(
    steps: Sequence[BaseProcessor],
    start: int,
    stop: int,
    batch: Bunch,
    prefix: str,
    claims: Claims,
    *,
    name: str = "",
    keep_images: bool = False,
) -> Expansion:
    """Walk a batch of images through steps ``start:stop``.

    Parameters
    ----------
    steps : sequence of BaseProcessor
        All steps of the run.
    start, stop : int
        First step to walk, and the first not to walk. ``steps[start]`` must look at one image at
        a time, or pass.
    batch : Bunch
        The images.
    prefix : str
        Begins the names of contexts.
    claims : Claims
        Told which products will be written.
    name : str
        Name of the batch.
    keep_images : bool
        Also return the images as they are where they leave, which takes memory.
    """
    walk = _Walk(steps, start, stop, batch, prefix, claims, name)
    expansion = walk.run()
    if keep_images:
        expansion.images = walk.last_seen
    return expansion


class _Walk:
    def __init__(
        self,
        steps: Sequence[BaseProcessor],
        start: int,
        stop: int,
        batch: Bunch,
        prefix: str,
        claims: Claims,
        name: str,
    ) -> None:
        self.steps, self.start, self.stop, self.prefix = steps, start, stop, prefix
        self.claims, self.name = claims, name
        self.handles: list[ImageHandle] = list(batch.members)  # type: ignore[arg-type]
        self.chains = [Chain(position) for position in range(len(self.handles))]
        self.clean = [True] * len(self.handles)
        self.contexts: dict[str, Context] = {}
        self.leaves: list[Leaf] = []
        self.late: str | None = None
        self.last_seen: dict[int, AheadImage] = {}
        self.paths: list[batch_names.Path] = [()] * len(self.handles)
        self.context_paths: dict[str, batch_names.Path] = {}

    def run(self) -> Expansion:
        """Walk all steps."""
        subs = [_Sub({i: look_ahead(handle) for i, handle in enumerate(self.handles)})]
        for place in range(self.start, self.stop):
            step = self.steps[place]
            reached: list[_Sub] = []
            for sub in subs:
                try:
                    reached += self.walk(place, step, sub)
                except LateError as exc:
                    self.late = f"step '{step.step_name}' asks for {exc}, known at run time only"
                    self.leave(sub, place)
            subs = reached
        for sub in subs:
            self.leave(sub, self.stop)
        return Expansion(self.chains, self.contexts, self.leaves, self.late, self.name_batches())

    def name_batches(self) -> list[str]:
        """Name the batch of each image, each leaf and each context."""
        masters: dict[int, str] = {}
        for context in self.contexts.values():
            masters |= dict.fromkeys(context.frames, self.steps[context.step].step_name)
        ends = {c.position: c.exit for c in self.chains if c.exit is not None}
        aside = {p: end.step for p, end in ends.items() if end.status is Status.SET_ASIDE}
        names = batch_names.of_paths(
            self.paths,
            self.name,
            {p: step for p, step in masters.items() if p in aside},
            {p: step for p, step in aside.items() if p not in masters},
        )
        telling = batch_names.telling_steps(self.paths)
        for leaf in self.leaves:
            leaf.batch = names[leaf.positions[0]]
        for name, context in self.contexts.items():
            inside = {names[position] for position in context.frames}
            step, path = self.steps[context.step].step_name, self.context_paths[name]
            context.batch = (
                inside.pop()
                if len(inside) == 1
                else batch_names.of_master(step, path, self.name, telling)
            )
        return names

    def leave(self, sub: _Sub, next_step: int) -> None:
        if sub.images:
            self.last_seen.update(sub.images)
            keys = self.keys_behind(sub) if next_step == self.stop else None
            self.leaves.append(Leaf(tuple(sub.images), next_step, sub.splits, keys))

    def keys_behind(self, sub: _Sub) -> tuple[Any, ...] | None:
        """Group keys at the regroup that ends the segment, if that step can tell them now."""
        last = self.steps[self.stop - 1]
        if last.regroup is not Regroup.KEYED:
            return None
        try:
            return tuple(last.group_key(image) for image in sub.images.values())  # type: ignore[attr-defined]
        except (LateError, *CONTAINED):
            return None

    def walk(self, place: int, step: BaseProcessor, sub: _Sub) -> list[_Sub]:
        """Take one part through one step."""
        if needs_whole_batch(step):
            self.leave(sub, place)
            return []
        if step.form is not Form.PASS:
            if step.writes_products:
                self.claim_products(step, sub)
            self.look_at_images(place, step, sub)
            return [sub]
        # Asked before anything is noted: where the answer is late, the step is still to be done.
        groups, exits = self.divide(step, sub) if step.regroup is Regroup.SPLIT else (None, {})
        self.add_links(sub, Link(place, history_only=True))
        for image in sub.images.values():
            image.pass_by(step)
        if groups is None:
            return [sub]
        for position, record in exits.items():
            self.chains[position].exit = record
        parts = []
        for key, images in groups.items():
            path = sub.path + batch_names.turn(place, key)
            for position in images:
                self.paths[position] = path
            splits = (*sub.splits, Split(place, self.done(images), tuple(images)))
            parts.append(_Sub(images, splits, path))
        return parts

    def claim_products(self, step: BaseProcessor, sub: _Sub) -> None:
        """Let an image go no further that would be saved over another one's product."""
        for position, image in list(sub.images.items()):
            try:
                path = step.product_path(image)
                if path is not None:
                    self.claims.claim(path, image)
            except CONTAINED as exc:
                self.chains[position].exit = step.failure(exc, names_of(image))
                del sub.images[position]

    def done(self, images: dict[int, AheadImage]) -> int:
        return len(self.chains[next(iter(images))].links)

    def add_links(self, sub: _Sub, link: Link) -> None:
        for position in sub.images:
            self.chains[position].links.append(link)

    # -- steps that look at images ------------------------------------------------------------

    def look_at_images(self, place: int, step: BaseProcessor, sub: _Sub) -> None:
        """Take one part through a step that looks at its images."""
        assert isinstance(step, BaseImageProcessor)
        context = self.find_context(place, step, sub) if step.form is Form.GATHER else None
        if context is not None and context.kind == "failed":
            for position in sub.images:
                self.chains[position].blocked_by = context.name
            sub.images.clear()
            return
        self.add_links(sub, Link(place, context.name if context else None))
        if step.headers_only and step.form is Form.IMAGE:
            for position, image in list(sub.images.items()):
                after, _ = step.process_image(image)
                if after is None:  # it will fail in the same way when it is run
                    del sub.images[position]
                else:
                    sub.images[position] = as_ahead(after)
            return
        changed = step.changes_keys()
        used = self.key_of(step, context, sub) if context else ""
        for position, image in sub.images.items():
            self.clean[position] = False
            image.pass_by(step, used)
            image.know_less(changed)

    def key_of(self, step: BaseImageProcessor, context: Context, sub: _Sub) -> str:
        """Foresee the key of a context; where it comes out otherwise, so do names of masters."""
        if context.kind == "none":
            return ""
        batch = ImageBatch(list(sub.images.values()))
        try:
            if not isinstance(step, ProcessorWithCache):
                return joint_key(batch)
            if not step.names_masters_by_content:
                return joint_key(step.master_frames(batch) if step.combines_plainly else batch)
            path = context.path or step.get_cache_path(batch)
            if isinstance(step, ProcessorPremadeCache) and step.is_made_before(batch):
                return step.premade_key(path)
            return step.master_key(path)
        except (LateError, *CONTAINED):
            return ""

    def find_context(self, place: int, step: BaseImageProcessor, sub: _Sub) -> Context:
        """Find out what a step is given beside each image, and what that is made of."""
        name = f"{self.prefix}:{step.step_name}:{min(sub.images)}"
        context = Context(name, place, "prepare", users=tuple(sub.images))
        if not isinstance(step, ProcessorWithCache):
            context.frames = context.users
        else:
            self.find_master(step, sub, context)
        self.contexts[name] = context
        self.context_paths[name] = sub.path
        for position in context.frames:
            self.tap(position, name, sub.images[position])
        return context

    def find_master(self, step: ProcessorWithCache, sub: _Sub, context: Context) -> None:
        """Find out of which frames a master is made, or why there is none."""
        batch = ImageBatch(list(sub.images.values()))
        places = {id(image): position for position, image in sub.images.items()}
        known = all(image.late == frozenset() for image in sub.images.values())
        if isinstance(step, ProcessorPremadeCache) and known and step.is_made_before(batch):
            context.kind, context.ahead = "headers", self.bunch_ahead(sub)
            return
        if type(step).get_cache_file is not ProcessorWithCache.get_cache_file:
            context.frames = context.users
            return
        try:
            frames = step.select_frames(batch)
            context.path = step.get_cache_path(batch)
        except MissingCalibrationError as exc:
            if step.missing == "skip":
                context.kind = "none"
                return
            names = tuple(n for image in batch for n in names_of(image))
            context.kind, context.records = "failed", tuple(step.context_failure(exc, names))
            return
        except CONTAINED as exc:
            names = tuple(n for image in batch for n in names_of(image))
            context.kind, context.records = "failed", tuple(step.context_failure(exc, names))
            return
        if step.try_load_cache and is_listed(context.path):
            context.kind, context.ahead = "headers", self.bunch_ahead(sub)
            return
        if not combines_frames(step):
            context.frames = context.users
            return
        positions = tuple(places[id(frame)] for frame in frames if id(frame) in places)
        if len(positions) != len(frames):  # it made images of its own: leave it to `prepare`
            context.frames = context.users
            return
        context.kind, context.frames = "frames", positions

    def bunch_ahead(self, sub: _Sub) -> Bunch:
        return Bunch(tuple(image.handle_of(self.handles[i]) for i, image in sub.images.items()))

    def tap(self, position: int, name: str, image: AheadImage) -> None:
        """Note that a context wants an image as it is here."""
        chain = self.chains[position]
        done = len(chain.links)
        chain.taps.setdefault(done, []).append(name)
        context = self.contexts[name]
        handle = self.handles[position]
        combined = context.kind == "frames"
        readable = handle.pixels.rows_readable or not combined
        measured = combined and measures_frames(self.steps[context.step])
        if self.clean[position] and readable and not measured:
            chain.ahead[done] = image.handle_of(handle)

    # -- dividing -----------------------------------------------------------------------------

    def divide(
        self, step: BaseProcessor, sub: _Sub
    ) -> tuple[dict[Any, dict[int, AheadImage]], dict[int, Record]]:
        """Ask a step into which parts its batch falls, and which images end here."""
        assert isinstance(step, BatchSplitter)
        groups: dict[tuple[Any, ...], dict[int, AheadImage]] = {}
        exits: dict[int, Record] = {}
        for position, image in sub.images.items():
            try:
                key = step.group_key(image)
            except CONTAINED as exc:
                exits[position] = step.failure(exc, names_of(image))
                continue
            if key is None:
                aside = Record(
                    names_of(image), Status.SET_ASIDE, step.step_name, step.description()
                )
                exits[position] = aside
            else:
                groups.setdefault(key, {})[position] = image
        return groups, exits
