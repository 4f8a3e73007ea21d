"""What an earlier run has done, as lines of JSON: blocks, rows, records and marks of files.

`Memo` keeps these in a run's folder. Whatever has no exact form here is not remembered, and done
again: no pickle is ever written, or read.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mirar_dask.data import ImageHandle, SourceHandle
from mirar_dask.data.handles import hash_of, hash_of_table
from mirar_dask.data.header_files import content_of, header_of
from mirar_dask.data.pixels import FitsFilePixels, FitsPixels, Pixels
from mirar_dask.engine.types import Bunch, Handle, Mark
from mirar_dask.processors.base.outcome import Record, Row, Status

KEPT = (Status.CAVEATS, Status.SET_ASIDE)
"""What records of work that was done say; those of failures are never kept."""


@dataclass(frozen=True, slots=True)
class GonePixels(Pixels):
    """Pixels that no file of an earlier run holds."""

    shape: tuple[int, ...]
    dtype: np.dtype

    @property
    def path(self) -> Path | None:  # type: ignore[override]
        """There is none."""
        return None

    def read(self) -> np.ndarray:
        """Raise: they are gone."""
        raise LookupError("the pixels of this image were not kept by the run that made them")

    def token(self) -> tuple[Any, ...]:
        """Raise: they are gone."""
        self.read()
        return ()


class NotPlainError(TypeError):
    """Raised when something has no exact form as JSON."""


@dataclass(frozen=True, slots=True)
class Node:
    """Some work that was done: a stretch of an image's chain, or of a batch's way."""

    key: str
    """Hash of what went in and of all that was done to it."""
    since: str
    """Key of what went in."""
    passed: int
    """Number of links, or of steps, that were passed."""
    blocks: tuple[Bunch, ...] | None
    """What came out; None where it is of no use to a later run."""
    records: tuple[Record, ...] = ()
    rows: tuple[tuple[int, tuple[Row, ...]], ...] = ()
    """Rows for tables, by the place of their step among the ``passed``."""
    marks: tuple[Mark, ...] = ()
    """Files without which this does not count: products, and masters that were used."""
    run: str = ""
    """Run that did it."""

    @property
    def lasts(self) -> bool:
        """Whether all that came out lies in files that last."""
        handles = [handle for bunch in self.blocks or () for handle in bunch.members]
        gone = (isinstance(h, ImageHandle) and isinstance(h.pixels, GonePixels) for h in handles)
        return self.blocks is not None and not any(gone)

    def all_marks(self) -> Iterator[Mark]:
        """Give the marks of all files without which this does not count."""
        yield from self.marks
        for handle in (handle for bunch in self.blocks or () for handle in bunch.members):
            pixels = handle.pixels if isinstance(handle, ImageHandle) else None
            if isinstance(pixels, FitsPixels | FitsFilePixels):
                yield Mark(pixels.path, pixels.size, pixels.mtime_ns, pixels.inode)

    def to_json(self, night: Path) -> dict[str, Any]:
        """Return the node as JSON has it; paths within the night's folder are relative to it.

        Raises
        ------
        NotPlainError
            If a part of it has no exact form.
        """
        return {
            "key": self.key,
            "since": self.since,
            "passed": self.passed,
            "blocks": None if self.blocks is None else [_bunch(b, night) for b in self.blocks],
            "records": [[r.names, r.status.value, r.step, r.reason] for r in self.records],
            "rows": [[place, [plain(row) for row in rows]] for place, rows in self.rows],
            "marks": [[_relative(m.path, night), m.size, m.mtime_ns, m.inode] for m in self.marks],
            "run": self.run,
        }

    @classmethod
    def of_json(cls, values: dict[str, Any], night: Path) -> Node:
        """Return the node that `to_json` wrote."""
        blocks = values["blocks"]
        return cls(
            key=values["key"],
            since=values["since"],
            passed=values["passed"],
            blocks=None if blocks is None else tuple(_to_bunch(each, night) for each in blocks),
            records=tuple(
                Record(tuple(names), Status(status), step, reason)
                for names, status, step, reason in values["records"]
            ),
            rows=tuple(
                (place, tuple(_to_value(r) for r in rows)) for place, rows in values["rows"]
            ),
            marks=tuple(Mark(night / path, *rest) for path, *rest in values["marks"]),
            run=values["run"],
        )


def plain(value: Any) -> Any:
    """Return a value as JSON has it, so that `_to_value` gives it back exactly.

    Raises
    ------
    NotPlainError
        If there is no such form.
    """
    kind = type(value)
    if value is None or kind in (str, bool, int):
        return value
    if kind is float:
        return value if math.isfinite(value) else {"float": repr(value)}
    if kind is dict and all(type(key) is str for key in value):
        return {"dict": {key: plain(item) for key, item in value.items()}}
    if kind in (list, tuple):
        return {kind.__name__: [plain(item) for item in value]}
    if isinstance(value, np.generic) and not value.dtype.hasobject:
        return {"numpy": [value.dtype.str, _text(value.tobytes())]}
    raise NotPlainError(f"{kind.__name__} has no exact form as JSON")


def _to_value(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    ((kind, inner),) = value.items()
    match kind:
        case "float":
            return float(inner)
        case "dict":
            return {key: _to_value(item) for key, item in inner.items()}
        case "list":
            return [_to_value(item) for item in inner]
        case "tuple":
            return tuple(_to_value(item) for item in inner)
        case "numpy":
            return np.frombuffer(_bytes(inner[1]), np.dtype(inner[0]))[0]
    raise NotPlainError(f"unknown form {kind!r}")


# -- blocks -----------------------------------------------------------------------------------


def _bunch(bunch: Bunch, night: Path) -> dict[str, Any]:
    return {
        "sources": bunch.is_sources,
        "members": [_handle(handle, night) for handle in bunch.members],
    }


def _to_bunch(values: dict[str, Any], night: Path) -> Bunch:
    return Bunch(tuple(_to_handle(one, night) for one in values["members"]), values["sources"])


def _handle(handle: Handle, night: Path) -> dict[str, Any]:
    if isinstance(handle, SourceHandle):
        if handle.source_type is not None:
            raise NotPlainError("a table of a class of its own")
        metadata = plain(handle.metadata)
        table = _table(handle.table)
        again = _to_value(metadata), _to_table(table)
        if (hash_of(again[0]), hash_of_table(again[1])) != (
            hash_of(handle.metadata),
            hash_of_table(handle.table),
        ):
            raise NotPlainError("a table has no exact form as Arrow")
        return {"metadata": metadata, "table": table}
    content = content_of(handle.header)
    if handle.image_type is not None or handle.extras or content is None:
        raise NotPlainError("an image with more than header and pixels")
    return {"header": _text(content), "pixels": _pixels(handle.pixels, night)}


def _to_handle(values: dict[str, Any], night: Path) -> Handle:
    if "table" in values:
        return SourceHandle(_to_table(values["table"]), _to_value(values["metadata"]))
    header = header_of(_bytes(values["header"]))
    return ImageHandle(header, _to_pixels(values["pixels"], night))


def _pixels(pixels: Pixels, night: Path) -> dict[str, Any]:
    if not isinstance(pixels, FitsPixels | FitsFilePixels):
        return {"gone": True, "shape": list(pixels.shape), "dtype": pixels.dtype.str}
    stamp = [pixels.size, pixels.mtime_ns, pixels.inode]
    found = {
        "path": _relative(pixels.path, night),
        "shape": list(pixels.shape),
        "dtype": pixels.dtype.str,
        "stamp": stamp,
    }
    if isinstance(pixels, FitsFilePixels):
        return {**found, "hdu": pixels.hdu}
    scaling = [plain(x) for x in (pixels.bscale, pixels.bzero, pixels.blank)]
    return {
        **found,
        "offset": pixels.offset,
        "disk": pixels.disk_dtype.str,
        "scaling": scaling,
    }


def _to_pixels(values: dict[str, Any], night: Path) -> Pixels:
    shape, dtype = tuple(values["shape"]), np.dtype(values["dtype"])
    if "gone" in values:
        return GonePixels(shape, dtype)
    path, stamp = night / values["path"], values["stamp"]
    if "hdu" in values:
        return FitsFilePixels(path, values["hdu"], shape, dtype, *stamp)
    disk = np.dtype(values["disk"])
    bscale, bzero, blank = (_to_value(value) for value in values["scaling"])
    return FitsPixels(path, values["offset"], shape, disk, bscale, bzero, blank, dtype, *stamp)


def _table(table: Any) -> dict[str, Any]:
    """Return a table with its columns of plain numbers and texts as Arrow, others by value."""
    import pyarrow as pa

    columns = list(table.columns)
    if not all(type(name) is str for name in columns) or len(set(columns)) < len(columns):
        raise NotPlainError("a table has columns without names of their own")
    objects = [name for name in columns if table[name].dtype == object]
    try:
        arrow = pa.Table.from_pandas(table.drop(columns=objects))
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, arrow.schema) as writer:
            writer.write_table(arrow)
    except (pa.ArrowException, TypeError, ValueError) as error:
        raise NotPlainError(f"a table has no form as Arrow: {error}") from error
    return {
        "columns": columns,
        "arrow": _text(sink.getvalue().to_pybytes()),
        "objects": {name: [plain(value) for value in table[name]] for name in objects},
    }


def _to_table(values: dict[str, Any]) -> Any:
    import pandas as pd
    import pyarrow as pa

    with pa.ipc.open_stream(_bytes(values["arrow"])) as reader:
        table = reader.read_all().to_pandas()
    for name, cells in values["objects"].items():
        found = [_to_value(cell) for cell in cells]
        table[name] = pd.Series(found, index=table.index, dtype=object)
    return table[values["columns"]]


def _relative(path: Path, night: Path) -> str:
    return str(path.relative_to(night)) if path.is_relative_to(night) else str(path)


def _text(content: bytes) -> str:
    return base64.b64encode(content).decode("ascii")


def _bytes(text: str) -> bytes:
    return base64.b64decode(text)
