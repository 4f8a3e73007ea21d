"""BaseProcessor: one operation on batches, with mirar's hooks.

A processor is a value: configured once, never changed while it runs, picklable, equal to another
of its class with the same parameters. What a run needs to know of it (how it looks at its blocks,
which header keys it may change, whether it may run twice) it declares.
"""

from __future__ import annotations

import inspect
import logging
import sys
from collections.abc import Callable, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any, ClassVar

from mirar_dask.data import DataBatch, DataBlock, Dataset
from mirar_dask.errors import ErrorReport, ErrorStack, NoncriticalProcessingError
from mirar_dask.processors.base.blocks import names_of, separate_headers
from mirar_dask.processors.base.errors import DuplicationError
from mirar_dask.processors.base.forms import (
    Form,
    Regroup,
    default_hook,
    form_of,
    regroup_of,
    regroups,
)
from mirar_dask.processors.base.history import Untouched, add_to_history, joint_key
from mirar_dask.processors.base.identity import (
    fingerprint,
    parameters_of,
    refuse_hidden_methods,
    why_unsure,
)
from mirar_dask.processors.base.outcome import (
    Processed,
    Record,
    Row,
    Status,
    Stepped,
    collect_caveats,
    note_caveat,
)
from mirar_dask.processors.base.running import (
    latest_figures,
    take_through,
    take_through_with_figures,
)
from mirar_dask.processors.base.trouble import notice

logger = logging.getLogger(__name__)

CONTAINED = (Exception, SystemExit)
"""What a processor may raise without ending anything but its own batch or image.

SystemExit is among them: left alone it would end a worker process, and with it every task there.
"""


class BaseProcessor:
    """One operation on batches of images or source tables.

    Subclasses override one of the hooks `_apply`, `_apply_to_images`, `_apply_to_sources`,
    `apply_to_image` (see `BaseImageProcessor`) and, where they move blocks between batches,
    `update_dataset`.
    """

    base_key: str = ""
    """Short name, written into the processing history of every block."""
    subclasses: ClassVar[dict[str, type[BaseProcessor]]] = {}
    """Every processor class by its `base_key`; of several with one key the last defined."""
    max_n_cpu: int = sys.maxsize
    """At most so many at once on the whole cluster (mirar's name for `max_concurrent`)."""
    max_concurrent: ClassVar[int | None] = None
    """At most so many at once on the whole cluster; None for no limit."""
    version: ClassVar[str] = "1"
    """Part of the provenance key: raise it when results change."""
    headers_only: ClassVar[bool] = False
    """Reads and writes headers only, so that it can run before any pixel is read."""
    repeatable: ClassVar[bool] = True
    """May run twice on the same batch; False for what writes to databases and services."""
    writes_products: ClassVar[bool] = True
    """Has effects outside its batch, files mostly; then its work is never left out."""
    neutral_parameters: ClassVar[frozenset[str]] = frozenset()
    """Parameters that results do not depend on."""
    fails_before_changing: ClassVar[bool] = False
    """Raises before it changes anything, so that nothing need be kept to undo it."""
    reads_later: ClassVar[bool] = False
    """Only notes what is to be done to rows: pixels are made when somebody reads them."""

    def __init__(self) -> None:
        self.night: str | None = None
        self.night_sub_dir: str | None = None
        self.preceding_steps: list[BaseProcessor] | None = None
        self.step_name: str = self.base_key
        self.latest_n_input_blocks = 0
        self.latest_n_input_batches = 0
        self.latest_n_output_blocks = 0
        self.latest_n_output_batches = 0
        self.latest_error_stack = ErrorStack()
        self.latest_runtime = 0.0
        self.latest_batch_runtimes: list[float] = []

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if isinstance(cls.base_key, str) and cls.base_key:
            cls.subclasses[cls.base_key] = cls

    # -- what it is ---------------------------------------------------------------------------

    def description(self) -> str:
        """Say in one sentence what this processor, with its parameters, does."""
        return (inspect.getdoc(type(self)) or type(self).__name__).partition("\n")[0]

    def __str__(self) -> str:
        return f"[{self.description()}]"

    def __repr__(self) -> str:
        shown = ", ".join(f"{key}={value!r}" for key, value in self.parameters().items())
        return f"{type(self).__name__}({shown})"

    def __eq__(self, other: object) -> bool:
        if type(self) is not type(other) or not isinstance(other, BaseProcessor):
            return NotImplemented
        return self.parameters() == other.parameters() and self.night_sub_dir == other.night_sub_dir

    def __hash__(self) -> int:
        return hash((type(self).__qualname__, self.step_name, self.night_sub_dir))

    def __getstate__(self) -> dict[str, Any]:
        # The steps before it hold theirs in turn: sent along, a list of n steps would travel as
        # n*n/2. A run sends its list of steps once and sets the links again where it arrives.
        return {**self.__dict__, "preceding_steps": None, "latest_error_stack": ErrorStack()}

    @property
    def form(self) -> Form:
        """How this processor looks at the blocks of a batch."""
        return form_of(type(self))

    @property
    def regroup(self) -> Regroup:
        """What this processor does to the list of batches."""
        return regroup_of(type(self))

    @property
    def fingerprint(self) -> str:
        """Hash of class, version and parameters; computed once the night is set."""
        return self.__dict__.get("_fingerprint") or fingerprint(self)

    @property
    def why_unsure(self) -> str | None:
        """Why nobody can tell whether this step changed since an earlier run; None if one can."""
        return why_unsure(self)

    @property
    def concurrency_limit(self) -> int | None:
        """At most so many of this step at once on the whole cluster; None for no limit."""
        limits = [x for x in (self.max_concurrent, self.max_n_cpu) if x not in (None, sys.maxsize)]
        return min((int(x) for x in limits if x is not None), default=None)

    def parameters(self) -> dict[str, Any]:
        """Constructor parameters and their values, where they are kept under their own names."""
        return parameters_of(self)

    def product_path(self, block: DataBlock) -> Path | None:
        """Path of the file that this step will write for a block, told from its header alone."""
        return None

    def memory_needed(self, shape: tuple[int, ...], n_images: int) -> int | None:
        """Bytes beside what images hold, with n of a shape at once; None: it does not say."""
        return 0 if self.headers_only else None

    def changes_keys(self) -> frozenset[str] | None:
        """Header keys that this step may change beside the processing history (None: any)."""
        return None

    # -- what surrounds it --------------------------------------------------------------------

    def set_preceding_steps(self, previous_steps: list[BaseProcessor]) -> None:
        """Tell the processor which steps come before it."""
        self.preceding_steps = previous_steps

    def set_night(self, night_sub_dir: str | int = "") -> None:
        """Set the folder, below the raw and output roots, of the night that is reduced."""
        refuse_hidden_methods(self)
        self.night_sub_dir = str(night_sub_dir)
        self.night = Path(self.night_sub_dir).name
        self._fingerprint = fingerprint(self)  # from now on the parameters stay as they are

    def check_prerequisites(self) -> None:
        """Raise PrerequisiteError if a step that this one needs does not precede it."""

    def add_caveat(self, subject: DataBlock | DataBatch | Sequence[str], reason: str) -> None:
        """Report something that the user should know about a result that is good otherwise.

        Parameters
        ----------
        subject : DataBlock, DataBatch or sequence of str
            What it concerns; names of raw frames where it is a sequence.
        reason : str
            One sentence.
        """
        if not note_caveat(names_of(subject), reason):
            logger.warning("%s: %s", self.step_name, reason)

    def generate_error_report(self, exception: BaseException, batch: DataBatch) -> ErrorReport:
        """Render an exception that concerns a whole batch."""
        return ErrorReport(exception, type(self).__module__, list(names_of(batch)))

    # -- the hooks ----------------------------------------------------------------------------

    @default_hook
    def _apply(self, batch: DataBatch) -> DataBatch:
        """Do the operation on one batch."""
        raise NotImplementedError(f"{type(self).__name__} says nowhere what it does to a batch")

    @regroups(Regroup.NONE)
    def update_dataset(self, dataset: Dataset) -> Dataset:
        """Rearrange the batches once all of them are done."""
        return dataset

    def table_rows(self, batch: DataBatch) -> list[Row]:
        """Rows that this batch adds to the night's table; none by default."""
        return []

    def write_table(self, rows: list[Row]) -> Path | None:
        """Write the night's table from the rows of all batches, in their order."""
        return None

    # -- running it ---------------------------------------------------------------------------

    @default_hook
    def apply(self, batch: DataBatch) -> DataBatch:
        """Do the operation on one batch, write the history, refuse duplicate names.

        Raises whatever the operation raises; `process` is the form that contains it.
        """
        used = joint_key(batch) if self.mixes_blocks else ""
        batch = self._apply(batch)
        batch = self._update_processing_history(batch, used)
        self.check_duplicates(batch)
        return batch

    @property
    def mixes_blocks(self) -> bool:
        """Whether what it makes of a block may depend on the others of its batch."""
        tells = self.headers_only and self.changes_keys() == frozenset()
        return self.form is Form.BATCH and not tells

    def _update_processing_history(self, batch: DataBatch, used: str = "") -> DataBatch:
        for block in batch:
            self.write_history(block, used)
        return batch

    def write_history(self, block: DataBlock, used: str = "") -> None:
        """Add this step to the processing history in the header of a block.

        Parameters
        ----------
        block : DataBlock
            Its CALSTEPS grows by the step's key; PRODKEY becomes the hash of what it was and of
            what this step does, so that it stands for all that the block was made of.
        used : str
            Key of what the step used beside the block, a master for instance.
        """
        add_to_history(block, self.base_key, self.fingerprint, used)

    def check_duplicates(self, batch: DataBatch) -> None:
        """Raise DuplicationError if two blocks of a batch have one name."""
        seen: set[str] = set()
        for block in batch:
            name = block.get_name()
            if name in seen:
                raise DuplicationError(
                    f"two blocks named '{name}' in one batch after step '{self.step_name}'; "
                    "give them BASENAMEs of their own, or batches of their own"
                )
            seen.add(name)

    def process(self, batch: DataBatch) -> Processed:
        """Do the operation on one batch; what fails is reported, never raised."""
        before = None if self.fails_before_changing else deepcopy(batch)
        records: list[Record] = []
        with collect_caveats() as caveats:
            try:
                after: DataBatch | None = self.apply(batch)
            except NoncriticalProcessingError as exc:
                records.append(self.failure(exc, names_of(batch), status=Status.CAVEATS))
                after = batch if before is None else before
            except CONTAINED as exc:
                records.append(self.failure(exc, names_of(batch)))
                after = None
        records += [Record(names, Status.CAVEATS, self.step_name, why) for names, why in caveats]
        if after is None:
            return Processed(None, records)
        separate_headers(after)
        return Processed(after, records, self.collect_rows(after, records))

    def collect_rows(self, batch: DataBatch, records: list[Record]) -> list[Row]:
        """Ask for the rows of one batch; a failure there costs the rows, not the batch."""
        try:
            return self.table_rows(batch)
        except CONTAINED as exc:
            records.append(self.failure(exc, names_of(batch), status=Status.CAVEATS))
            return []

    def rearrange(self, dataset: Dataset) -> Stepped:
        """Run `update_dataset`; if it raises, the batches that entered it fail with one report."""
        try:
            if self.regroup is not Regroup.FREE:
                return Stepped(self.update_dataset(dataset))
            before = Untouched(dataset)
            after = self.update_dataset(dataset)
            before.mark_the_others(after, self.fingerprint)
            return Stepped(after)
        except CONTAINED as exc:
            names = tuple(name for batch in dataset for name in names_of(batch))
            return Stepped(Dataset(), [self.failure(exc, names)])

    def step(self, dataset: Dataset, tick: Callable[[float], None] | None = None) -> Stepped:
        """Take a dataset through this step, batch after batch, then regroup.

        Parameters
        ----------
        dataset : Dataset
            The batches; they are modified.
        tick : callable, optional
            Told the seconds that each batch took.
        """
        return take_through(self, dataset, tick)

    def save_table(self, rows: list[Row]) -> list[Record]:
        """Write the rows of all batches, if there are any; a failure is a record."""
        if not rows:
            return []
        try:
            self.write_table(rows)
        except CONTAINED as exc:
            return [self.failure(exc, (), status=Status.FAILED)]
        return []

    def base_apply(self, dataset: Dataset) -> tuple[Dataset, ErrorStack]:
        """Take a dataset through this one step, serially.

        Returns
        -------
        tuple of Dataset and ErrorStack
            The dataset after the step, and the errors that were contained.
        """
        return take_through_with_figures(self, dataset)

    def latest_stats(self) -> dict[str, Any]:
        """Figures of the latest `base_apply`, under mirar's names (times in seconds)."""
        return latest_figures(self)

    def failure(
        self,
        exception: BaseException,
        names: tuple[str, ...],
        status: Status = Status.FAILED,
    ) -> Record:
        """Make a record, with its rendered report, of an exception."""
        notice(exception)
        report = ErrorReport(exception, type(self).__module__, list(names))
        logger.debug("%s: %s", self.step_name, report.generate_full_traceback())
        reason = " ".join(f"{report.error_name}: {report.message}".split())
        return Record(names, status, self.step_name, reason, report)


class CleanupProcessor(BaseProcessor):
    """A processor that leaves out the batches that it emptied."""

    @regroups(Regroup.DROP_EMPTY)
    def update_dataset(self, dataset: Dataset) -> Dataset:
        """Leave out the empty batches."""
        return Dataset([batch for batch in dataset if len(batch) > 0])
