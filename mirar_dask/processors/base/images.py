"""Processors of images: image by image, with a context gathered from the batch, or by batches."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path
from typing import Any

from mirar_dask.data import DataBatch, DataBlock, Dataset, Image, ImageBatch
from mirar_dask.data.header_edits import put_texts
from mirar_dask.errors import NoncriticalProcessingError, ProcessorError
from mirar_dask.io.names import header_text
from mirar_dask.paths import (
    PRODKEY_KEY,
    RAW_IMG_KEY,
)
from mirar_dask.processors.base.blocks import names_of, separate_headers
from mirar_dask.processors.base.core import CONTAINED, BaseProcessor
from mirar_dask.processors.base.errors import DuplicationError
from mirar_dask.processors.base.forms import Form, Regroup, default_hook, regroups
from mirar_dask.processors.base.history import joint_key
from mirar_dask.processors.base.identity import file_key
from mirar_dask.processors.base.image_files import ImageHandler
from mirar_dask.processors.base.outcome import Processed, Record, Status, Stepped, collect_caveats


class BaseImageProcessor(BaseProcessor, ImageHandler):
    """A processor with images in and images out.

    Subclasses override one of

    - ``apply_to_image(image)``: looks at one image at a time;
    - ``prepare(batch)`` and ``apply_to_image(image, context)``: makes a context of some images of
      the batch, a master for instance, then looks at one image at a time;
    - ``_apply_to_images(batch)``: mirar's way, a batch at a time.

    In the first two forms an image that raises fails alone, and the steps before and behind run
    image by image in parallel.
    """

    @default_hook
    def apply_to_image(self, image: Image, context: Any = None) -> Image:
        """Do the operation on one image; it may be modified and returned, or a new one made."""
        raise NotImplementedError

    @default_hook
    def prepare(self, batch: ImageBatch) -> Any:
        """Make the context that `apply_to_image` is given, from the images of a batch."""
        raise NotImplementedError

    @default_hook
    def _apply(self, batch: DataBatch) -> DataBatch:
        return self._apply_to_images(batch)  # type: ignore[arg-type]

    @default_hook
    def _apply_to_images(self, batch: ImageBatch) -> ImageBatch:
        """Do the operation on a batch; the first image that fails raises."""
        if self.form is Form.GATHER:
            context = self.prepare(batch)
            return ImageBatch([self.apply_to_image(image, context) for image in batch])
        return ImageBatch([self.apply_to_image(image) for image in batch])

    def process(self, batch: DataBatch) -> Processed:
        """Do the operation on one batch; an image that fails is reported and left out."""
        if self.form not in (Form.IMAGE, Form.GATHER):
            return super().process(batch)
        records: list[Record] = []
        context = None
        if self.form is Form.GATHER:
            context, records = self.make_context(batch)  # type: ignore[arg-type]
            if any(record.status is Status.FAILED for record in records):
                return Processed(None, records)
        kept = []
        used = self.context_key(context, batch) if self.form is Form.GATHER else ""  # type: ignore[arg-type]
        for image in batch:
            after, new = self.process_image(image, context, used)
            records += new
            if after is not None:
                kept.append(after)
        if not kept and len(batch):
            return Processed(None, records)
        result = type(batch)(kept)
        separate_headers(result)
        try:
            self.check_duplicates(result)
        except DuplicationError as exc:
            records.append(self.failure(exc, names_of(result)))
            return Processed(None, records)
        return Processed(result, records, self.collect_rows(result, records))

    def make_context(self, batch: ImageBatch) -> tuple[Any, list[Record]]:
        """Run `prepare`; where it fails the images of the batch are blocked, and it says by what.

        Returns
        -------
        tuple of context and list of Record
            The first record has the status failed and the report, if `prepare` raised.
        """
        with collect_caveats() as caveats:
            try:
                context = self.prepare(batch)
            except CONTAINED as exc:
                return None, self.context_failure(exc, names_of(batch))
        return context, [Record(n, Status.CAVEATS, self.step_name, why) for n, why in caveats]

    def context_failure(self, exception: BaseException, blocked: tuple[str, ...]) -> list[Record]:
        """Records of a context that could not be made, and of the frames that it blocks."""
        failed = self.failure(exception, blocked)
        return [
            Record((), Status.FAILED, self.step_name, failed.reason, failed.report),
            Record(blocked, Status.BLOCKED, self.step_name, failed.reason),
        ]

    def context_key(self, context: Any, batch: ImageBatch) -> str:
        """Key of a context, for the history of the images that are given it.

        Parameters
        ----------
        context : Any
            What `prepare` returned.
        batch : ImageBatch
            The images that it was made of; those that `prepare` saw.
        """
        return joint_key(batch)

    def process_image(
        self, image: Image, context: Any = None, used: str = ""
    ) -> tuple[Image | None, list[Record]]:
        """Do the operation on one image; what fails is reported, never raised.

        ``used`` is the key of the context.
        """
        before = None if self.fails_before_changing else deepcopy(image)
        names = names_of(image)
        records: list[Record] = []
        with collect_caveats() as caveats:
            try:
                if self.form is Form.GATHER:
                    after: Image | None = self.apply_to_image(image, context)
                else:
                    after = self.apply_to_image(image)
                if not isinstance(after, DataBlock):
                    raise ProcessorError(
                        f"{type(self).__name__}.apply_to_image returned "
                        f"{type(after).__name__}, not an Image"
                    )
                self.write_history(after, used)
            except NoncriticalProcessingError as exc:
                records.append(self.failure(exc, names, status=Status.CAVEATS))
                after = image if before is None else before
            except CONTAINED as exc:
                records.append(self.failure(exc, names))
                after = None
        records += [Record(n, Status.CAVEATS, self.step_name, why) for n, why in caveats]
        return after, records


class BaseImageLoader(BaseImageProcessor):
    """A source: reads files into images, whatever its input.

    Subclasses say which files (`list_inputs`) and how one is read (`load_one`). A file that
    cannot be read fails alone, with a report that names it.
    """

    writes_products = False

    def list_inputs(self) -> list[Path]:
        """Paths of the files to load, in the order in which the images shall come.

        Raises
        ------
        ImageNotFoundError
            If there is nothing to load.
        """
        raise NotImplementedError

    @default_hook
    def load_one(self, path: Path) -> list[Image]:
        """Load the image, or images, of one file."""
        raise NotImplementedError

    def load_file(self, path: Path) -> tuple[list[Image], list[Record]]:
        """Load one file; what fails is reported, never raised."""
        with collect_caveats() as caveats:
            try:
                images = self.load_one(path)
                for image in images:
                    put_texts(image.header, {PRODKEY_KEY: file_key(path)})
                    self.write_history(image)
            except CONTAINED as exc:
                return [], [self.failure(exc, (header_text(path.name),))]
        return images, [Record(n, Status.CAVEATS, self.step_name, why) for n, why in caveats]

    def gather_loaded(self, loaded: list[tuple[list[Image], list[Record]]]) -> Processed:
        """Put what was loaded into one batch; a second image of one name fails, naming both."""
        records = [record for _, new in loaded for record in new]
        first: dict[str, Image] = {}
        for image in (image for images, _ in loaded for image in images):
            known = first.setdefault(image.get_name(), image)
            if known is not image:
                exc = DuplicationError(
                    f"'{image[RAW_IMG_KEY]}' has the name '{image.get_name()}' that "
                    f"'{known[RAW_IMG_KEY]}' has; rename one of the files"
                )
                records.append(self.failure(exc, names_of(image)))
        return Processed(ImageBatch(list(first.values())), records)

    def process(self, batch: DataBatch) -> Processed:
        """Load all files into one batch."""
        try:
            paths = self.list_inputs()
        except CONTAINED as exc:
            return Processed(None, [self.failure(exc, ())])
        return self.gather_loaded([self.load_file(path) for path in paths])

    @default_hook
    def _apply_to_images(self, batch: ImageBatch) -> ImageBatch:
        return ImageBatch([image for path in self.list_inputs() for image in self.load_one(path)])


class _Router(BaseProcessor):
    """What the two kinds of header-driven regroup share."""

    headers_only = True
    writes_products = False
    fails_before_changing = True

    def group_key(self, block: DataBlock) -> tuple[Any, ...] | None:
        """Key, made of header values, of the batch to which a block goes; None sets it aside."""
        raise NotImplementedError

    def changes_keys(self) -> frozenset[str] | None:
        """Change nothing but the history."""
        return frozenset()

    @default_hook
    def _apply(self, batch: DataBatch) -> DataBatch:
        return batch

    def route(
        self, batch: DataBatch, groups: dict[tuple[Any, ...], list[DataBlock]]
    ) -> list[Record]:
        """Add the blocks of a batch to their groups; first-seen order is kept."""
        records: list[Record] = []
        for block in batch:
            try:
                key = self.group_key(block)
            except CONTAINED as exc:
                records.append(self.failure(exc, names_of(block)))
                continue
            if key is None:
                records.append(
                    Record(names_of(block), Status.SET_ASIDE, self.step_name, self.description())
                )
            else:
                groups.setdefault(key, []).append(block)
        return records


class BatchSplitter(_Router):
    """Divides or thins out each batch by header values; batches never mix, so nothing waits."""

    def split(self, batch: DataBatch) -> tuple[list[DataBatch], list[Record]]:
        """Divide one batch, in the order in which its keys are first seen."""
        groups: dict[tuple[Any, ...], list[DataBlock]] = {}
        records = self.route(batch, groups)
        return [type(batch)(blocks) for blocks in groups.values()], records

    def rearrange(self, dataset: Dataset) -> Stepped:
        """Divide every batch."""
        if self.regroup is not Regroup.SPLIT:
            return super().rearrange(dataset)
        done = [self.split(batch) for batch in dataset]
        return Stepped(
            Dataset([batch for batches, _ in done for batch in batches]),
            [record for _, records in done for record in records],
        )

    @regroups(Regroup.SPLIT)
    def update_dataset(self, dataset: Dataset) -> Dataset:
        """Divide every batch; empty ones are left out."""
        return Dataset([batch for each in dataset for batch in self.split(each)[0]])


class KeyedRegroup(_Router):
    """Merges the blocks of all batches by a key of header values, in first-seen order."""

    def merge(self, dataset: Dataset) -> tuple[list[DataBatch], list[Record]]:
        """Put all blocks into new batches by their keys."""
        groups: dict[tuple[Any, ...], list[DataBlock]] = {}
        records: list[Record] = []
        for batch in dataset:
            records += self.route(batch, groups)
        kind: type[DataBatch] = type(dataset[0]) if len(dataset) else ImageBatch
        return [kind(blocks) for blocks in groups.values()], records

    def rearrange(self, dataset: Dataset) -> Stepped:
        """Merge the batches."""
        if self.regroup is not Regroup.KEYED:
            return super().rearrange(dataset)
        batches, records = self.merge(dataset)
        return Stepped(Dataset(batches), records)

    @regroups(Regroup.KEYED)
    def update_dataset(self, dataset: Dataset) -> Dataset:
        """Merge the batches."""
        return Dataset(self.merge(dataset)[0])
