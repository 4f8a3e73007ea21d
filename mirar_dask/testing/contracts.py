"""What every processor promises, as checks that the tests of any processor can run.

::

    def test_my_processor_keeps_its_promises(tmp_path):
        check_processor(MyProcessor(width=3), make_batch(), folder=tmp_path)

A promise that is not kept raises AssertionError, which says which one and how.
"""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from mirar_dask.data import DataBatch, Dataset, Image
from mirar_dask.data.pixels import Pixels
from mirar_dask.errors import ErrorStack
from mirar_dask.paths import (
    CAL_OUTPUT_SUB_DIR,
    PROC_HISTORY_KEY,
    PRODKEY_KEY,
    SOFTVER_KEY,
    Roots,
    current_roots,
    use_roots,
)
from mirar_dask.processors.base_processor import BaseProcessor

HISTORY_KEYS = frozenset({PROC_HISTORY_KEY, "REDUCER", "REDMACH", "REDTIME", "REDSOFT"}) | {
    SOFTVER_KEY,
    PRODKEY_KEY,
}
"""Header keys that every step may change."""
VARYING_KEYS = frozenset({"REDTIME", "DATE"})
"""Header keys that hold the time of writing."""


def check_processor(
    processor: BaseProcessor, batch: DataBatch[Any] | None = None, *, folder: Path
) -> None:
    """Check all promises of a processor that hold whatever it does.

    Parameters
    ----------
    processor : BaseProcessor
        The processor; its night is set if it was not.
    batch : DataBatch, optional
        Blocks that it can be applied to without an error; they are copied first. Without them
        nothing is applied.
    folder : Path
        An empty folder; products go there.

    Raises
    ------
    AssertionError
        If a promise is not kept.
    """
    if processor.night_sub_dir is None:
        processor.set_night("pipe/20240301")
    output = folder / "products"
    with use_roots(Roots(current_roots().raw, output, current_roots().night_raw)):
        check_describes_itself(processor)
        check_travels(processor)
        check_rebuilds(processor)
        check_empty_dataset(processor)
        if batch is not None:
            check_stays_the_same(processor, batch)
            check_repeats(processor, batch)
            check_declared_keys(processor, batch)
            check_pixels_unread(processor, batch)
    if not processor.writes_products:
        written = [p for p in output.rglob("*") if p.is_file() and not _is_master(p)]
        assert not written, f"{_name(processor)} says that it writes no products; found {written}"


def check_describes_itself(processor: BaseProcessor) -> None:
    """Check that a processor has a key and says in words what it does."""
    assert isinstance(processor.base_key, str) and processor.base_key, (
        f"{_name(processor)} has no base_key"
    )
    text = processor.description()
    assert isinstance(text, str) and text.strip(), f"{_name(processor)} has no description"
    assert str(processor) == f"[{text}]", f"str() of {_name(processor)} is not its description"
    assert _name(processor) in repr(processor), f"repr() of {_name(processor)} does not name it"


def check_travels(processor: BaseProcessor) -> None:
    """Check that a processor is the same after pickling, by the means that Dask uses."""
    import cloudpickle

    arrived = cloudpickle.loads(cloudpickle.dumps(processor))
    assert arrived == processor, f"{_name(processor)} is another one after pickling"
    assert arrived.description() == processor.description(), (
        f"{_name(processor)} describes itself differently after pickling"
    )


def rebuild(processor: BaseProcessor) -> BaseProcessor:
    """Make a processor anew from what `parameters` says."""
    given = processor.parameters()
    arguments: list[Any] = []
    options: dict[str, Any] = {}
    for cls in type(processor).__mro__:
        init = cls.__dict__.get("__init__")
        if init is None:
            continue
        kinds = [(p.name, p.kind) for p in inspect.signature(init).parameters.values()]
        for name, kind in kinds:
            if kind is inspect.Parameter.VAR_POSITIONAL:
                arguments += given.get(name, ())
            elif kind is not inspect.Parameter.VAR_KEYWORD and name in given:
                options.setdefault(name, given[name])
        if not any(kind is inspect.Parameter.VAR_KEYWORD for _, kind in kinds):
            break  # what its bases take is not for the user to give
    made = type(processor)(*arguments, **options)
    if processor.night_sub_dir is not None:
        made.set_night(processor.night_sub_dir)
    return made


def check_rebuilds(processor: BaseProcessor) -> None:
    """Check that `parameters` holds all that the processor was made with."""
    made = rebuild(processor)
    assert made.parameters() == processor.parameters(), (
        f"{_name(processor)} made anew from its parameters has {made.parameters()}, "
        f"not {processor.parameters()}"
    )
    assert made == processor, f"{_name(processor)} made anew from its parameters is not equal"


def check_empty_dataset(processor: BaseProcessor) -> None:
    """Check that an empty dataset goes through."""
    dataset, errors = processor.base_apply(Dataset())
    assert isinstance(dataset, Dataset), f"{_name(processor)} made {dataset!r} of a dataset"
    assert isinstance(errors, ErrorStack), f"{_name(processor)} returned {errors!r} for errors"
    assert len(errors.get_all_reports()) == 0, _reports(processor, errors)


def check_stays_the_same(processor: BaseProcessor, batch: DataBatch[Any]) -> None:
    """Check that a processor does not change itself while it is applied."""
    before = copy.deepcopy(_state(processor))
    _apply(processor, batch)
    after = _state(processor)
    changed = [key for key in before.keys() | after.keys() if not _same(before, after, key)]
    assert not changed, f"{_name(processor)} changed its own {', '.join(sorted(changed))}"


def check_repeats(processor: BaseProcessor, batch: DataBatch[Any]) -> None:
    """Check that the same input gives the same result, to the bit."""
    # Read before the second round: that may replace the products that the first left.
    first, second = (_contents(_apply(processor, batch)) for _ in range(2))
    assert first.keys() == second.keys(), f"{_name(processor)} made other batches of the same input"
    for place, (data, header) in first.items():
        assert _equal(data, second[place][0]), (
            f"{_name(processor)} gave other values the second time"
        )
        assert header == second[place][1], (
            f"{_name(processor)} wrote another header the second time"
        )


def check_declared_keys(processor: BaseProcessor, batch: DataBatch[Any]) -> None:
    """Check that a processor changes no header key but those that it declares."""
    declared = processor.changes_keys()
    if declared is None:
        return
    before = {block.get_name(): _header(block) for block in batch}
    for block in _blocks(_apply(processor, batch)):
        old = before.get(block.get_name())
        if old is None:
            continue
        new = _header(block)
        changed = {key for key in old.keys() | new.keys() if old.get(key) != new.get(key)}
        undeclared = changed - declared - HISTORY_KEYS
        assert not undeclared, f"{_name(processor)} changed {undeclared} undeclared"


def check_pixels_unread(processor: BaseProcessor, batch: DataBatch[Any]) -> None:
    """Check that a processor that says so looks at headers only."""
    if not processor.headers_only or not all(isinstance(block, Image) for block in batch):
        return
    blind = [Image(UnreadablePixels(b.shape, b.dtype), b.get_header().copy()) for b in batch]
    _apply(processor, type(batch)(blind))


class UnreadablePixels(Pixels):
    """Pixels that raise when they are read."""

    __slots__ = ("dtype", "shape")

    path = None

    def __init__(self, shape: tuple[int, ...], dtype: np.dtype) -> None:
        self.shape = shape
        self.dtype = dtype

    def read(self) -> np.ndarray:
        """Raise AssertionError."""
        raise AssertionError("pixels were read by a processor that says that it reads headers only")

    def token(self) -> tuple[Any, ...]:
        """Identify the pixels."""
        return ("unreadable", self.shape, self.dtype.str)


def processor_classes(within: Callable[[str], bool] = lambda _: True) -> list[type[BaseProcessor]]:
    """Return the processor classes that can be used as they are, sorted by name.

    Parameters
    ----------
    within : callable
        Given the name of a module, says whether its classes are wanted.
    """
    found: set[type[BaseProcessor]] = set()
    todo: list[type[BaseProcessor]] = [BaseProcessor]
    while todo:
        subclasses = todo.pop().__subclasses__()
        todo += subclasses
        found.update(subclasses)
    public = [
        cls
        for cls in found
        if cls.base_key and not cls.__name__.startswith("_") and within(cls.__module__)
    ]
    return sorted(public, key=lambda cls: (cls.__name__, cls.__module__))


def _apply(processor: BaseProcessor, batch: DataBatch[Any]) -> Dataset:
    dataset, errors = processor.base_apply(Dataset([copy.deepcopy(batch)]))
    assert len(errors.get_all_reports()) == 0, _reports(processor, errors)
    return dataset


def _state(processor: BaseProcessor) -> dict[str, Any]:
    """All that a processor remembers, apart from the figures of its latest run."""
    return {key: value for key, value in vars(processor).items() if not key.startswith("latest_")}


def _same(before: dict[str, Any], after: dict[str, Any], key: str) -> bool:
    if key not in before or key not in after:
        return False
    same = before[key] == after[key]
    return bool(np.all(same)) or before[key] is after[key]


def _blocks(dataset: Dataset) -> list[Any]:
    return [block for batch in dataset for block in batch]


def _contents(dataset: Dataset) -> dict[tuple[int, int], tuple[Any, dict[str, str]]]:
    """Values and header of every block, by the numbers of its batch and of the block in it."""
    return {
        (i, j): (block.get_data(), _header(block, VARYING_KEYS))
        for i, batch in enumerate(dataset)
        for j, block in enumerate(batch)
    }


def _equal(one: Any, other: Any) -> bool:
    if isinstance(one, np.ndarray):
        return np.array_equal(one, other, equal_nan=True)
    return bool(one.equals(other))


def _header(block: Any, without: frozenset[str] = frozenset()) -> dict[str, str]:
    """Header or metadata as text: values such as NaN are not equal to themselves."""
    return {str(key): str(block[key]) for key in block.keys() if key and key not in without}


def _is_master(path: Path) -> bool:
    """Whether a file is one that a calibrator keeps for itself."""
    return path.parent.name == CAL_OUTPUT_SUB_DIR


def _name(processor: BaseProcessor) -> str:
    return type(processor).__name__


def _reports(processor: BaseProcessor, errors: ErrorStack) -> str:
    reports = errors.get_all_reports()
    first = reports[0].generate_full_traceback() if len(reports) else ""
    return f"{_name(processor)} failed with {len(reports)} errors, of which the first is\n{first}"
