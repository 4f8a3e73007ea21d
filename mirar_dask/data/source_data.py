"""Tables of sources: a DataFrame, and metadata that tell which images it comes from."""

from __future__ import annotations

import copy
import sys
from collections.abc import Iterable, Iterator, KeysView
from typing import TYPE_CHECKING, Any, Self

from mirar_dask.data.base_data import DataBatch, DataBlock
from mirar_dask.data.handles import SourceHandle

if TYPE_CHECKING:
    import pandas as pd
    from astropy.table import Table


class SourceTable(DataBlock):
    """Sources of one image.

    Parameters
    ----------
    source_list : DataFrame
        One row a source. The table uses this very object, as mirar's does.
    metadata : dict
        Needs ``RAWPATH`` and ``BASENAME``, usually all keys of the image's header.

    Raises
    ------
    KeyError
        If the metadata lack one of the two keys.
    """

    def __init__(self, source_list: pd.DataFrame, metadata: dict[str, Any]) -> None:
        self.source_list = source_list
        self.metadata = metadata
        super().__init__()

    def get_data(self) -> pd.DataFrame:
        """Return the DataFrame itself."""
        return self.source_list

    def set_data(self, source_list: pd.DataFrame) -> None:
        """Let the table use this DataFrame from now on."""
        self.source_list = source_list

    def get_metadata(self) -> dict[str, Any]:
        """Return the metadata themselves."""
        return self.metadata

    def __getitem__(self, item: Any) -> Any:
        return self.metadata[item]

    def __setitem__(self, key: Any, value: Any) -> None:
        self.metadata[key] = value

    def __contains__(self, key: object) -> bool:
        return key in self.metadata

    def __iter__(self) -> Iterator[str]:
        return iter(self.metadata)

    def get(self, key: str, default: Any = None) -> Any:
        """Return one value of the metadata, or ``default``."""
        return self.metadata.get(key, default)

    def keys(self) -> KeysView[str]:
        """Return the keys of the metadata."""
        return self.metadata.keys()

    def __len__(self) -> int:
        return len(self.source_list)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.get_name()!r} {len(self)} sources>"

    def handle(self) -> SourceHandle:
        """Return the table as it is now, as a value that later changes do not reach."""
        kind = type(self) if type(self) is not SourceTable else None
        return SourceHandle(self.source_list.copy(), copy.deepcopy(self.metadata), kind)

    def __sizeof__(self) -> int:
        table = int(self.source_list.memory_usage(deep=True).sum())
        return object.__sizeof__(self) + table + sys.getsizeof(self.metadata)

    def __dask_tokenize__(self) -> tuple[Any, ...]:
        return SourceHandle(self.source_list, self.metadata).__dask_tokenize__()

    def to_astropy(self) -> Table:
        """Return an astropy Table with the metadata as its ``meta``."""
        from astropy.table import Table

        table = Table.from_pandas(self.source_list)
        for name, unit in self.source_list.attrs.get(_UNITS, {}).items():
            if name in table.colnames:
                table[name].unit = unit
        table.meta.update(copy.deepcopy(self.metadata))
        return table

    @classmethod
    def from_astropy(cls, table: Table) -> Self:
        """Return the sources of an astropy Table whose ``meta`` are the metadata.

        A DataFrame has no units; those of the table are noted in its ``attrs``.
        """
        sources = table.to_pandas()
        units = {name: str(table[name].unit) for name in table.colnames if table[name].unit}
        if units:
            sources.attrs[_UNITS] = units
        return cls(sources, dict(copy.deepcopy(table.meta)))


_UNITS = "units"


class SourceBatch(DataBatch[SourceTable]):
    """Tables of sources that a processor sees together."""

    data_type = SourceTable

    def __init__(self, batch: Iterable[SourceTable] | SourceTable | None = None) -> None:
        super().__init__(batch=batch)

    def append(self, item: SourceTable) -> None:
        """Add one table at the end."""
        self._append(item)

    def get_batch(self) -> list[SourceTable]:
        """Return the tables as a plain list."""
        return self.get_data_list()
