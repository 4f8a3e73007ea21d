"""Blocks, batches and datasets: the containers that every processor receives and returns.

A :class:`DataBlock` is the smallest unit (an image, a table of sources), a :class:`DataBatch`
holds the blocks that a processor sees together, a :class:`Dataset` holds the batches.
The concrete blocks live in ``image_data`` and ``source_data``.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterable, Iterator, MutableSequence
from pathlib import Path
from typing import Any, ClassVar, Generic, Self, SupportsIndex, TypeVar, cast, overload

from mirar_dask.paths import BASE_NAME_KEY, RAW_IMG_KEY

logger = logging.getLogger(__name__)

Item = TypeVar("Item")
Block = TypeVar("Block", bound="DataBlock")


class DataBlock:
    """One image or one table of sources, with the keys that say where it comes from.

    A subclass maps header keys to values and holds ``BASENAME`` (its own name) and ``RAWPATH``
    (the raw files behind it, joined by commas).

    Raises
    ------
    KeyError
        If one of the two keys is missing; the message names it.
    """

    def __init__(self) -> None:
        for key in (RAW_IMG_KEY, BASE_NAME_KEY):
            try:
                self[key]
            except KeyError:
                raise KeyError(
                    f"the header of this {type(self).__name__} has no {key!r}: every block needs "
                    f"{RAW_IMG_KEY!r} and {BASE_NAME_KEY!r}"
                ) from None

    def __getitem__(self, item: Any) -> Any:
        raise NotImplementedError

    def __setitem__(self, key: Any, value: Any) -> None:
        raise NotImplementedError

    def __str__(self) -> str:
        return f"<An {self.__class__.__name__} object, built from {self.get_name()}>"

    @property
    def base_name(self) -> str:
        """Name of the block as its header gives it now."""
        return str(self[BASE_NAME_KEY])

    @property
    def raw_img_list(self) -> list[Path]:
        """Raw files behind the block as its header gives them now."""
        return [Path(x) for x in str(self[RAW_IMG_KEY]).split(",")]

    def get_name(self) -> str:
        """Return the block's ``BASENAME``: the value of now, renaming by header included."""
        return self.base_name

    def get_raw_img_list(self) -> list[Path]:
        """Return the paths of all raw files behind the block: several, if it is a stack."""
        return self.raw_img_list


class PseudoList(MutableSequence[Item], Generic[Item]):
    """A list that holds objects of one type only.

    It does what a Python list does: slices are of the list's own class, ``==`` compares the
    items in order (blocks are equal if they are the same object: comparing pixels would read
    them), an empty list is falsy. Every way in checks the type, and a refused call changes
    nothing. A subclass names its type in ``data_type``; the first item fixes the concrete class.

    Parameters
    ----------
    data_list : item or iterable of items, optional
        What the list holds at first.

    Raises
    ------
    ValueError
        If an item, on its way in by whatever method, is not of the list's type.
    """

    data_type: ClassVar[Any]

    # Lists with `==` by content and items that come and go cannot have a stable hash.
    __hash__ = None  # type: ignore[assignment]

    def __init__(self, data_list: Iterable[Item] | Item | None = None) -> None:
        self._datalist: list[Item] = []
        if data_list is None:
            return
        for item in self._as_items(data_list):
            self.append(item)

    def get_data_list(self) -> list[Item]:
        """Return the items as the plain list that backs this object."""
        return self._datalist

    def append(self, item: Item) -> None:
        """Add one item at the end."""
        self._append(item)

    def _append(self, item: Item) -> None:
        # The name by which subclasses written for mirar reach the checked append.
        self._check([item], self._datalist)
        self._datalist.append(item)

    def extend(self, values: Iterable[Item]) -> None:
        """Add all items of an iterable; none is added if one of them is refused."""
        items = self._as_items(values)
        self._check(items, self._datalist)
        for item in items:
            self.append(item)

    def insert(self, index: SupportsIndex, value: Item) -> None:
        """Put an item before position ``index``."""
        self._check([value], self._datalist)
        self._datalist.insert(index, value)

    def copy(self) -> Self:
        """Return a new list of the same class with the same items in it."""
        return self._like(self._datalist)

    __copy__ = copy

    def reverse(self) -> None:
        """Turn the order of the items round."""
        self._datalist.reverse()

    def sort(self, *, key: Callable[[Item], Any], reverse: bool = False) -> None:
        """Sort the items in place by what ``key`` makes of them."""
        self._datalist.sort(key=key, reverse=reverse)

    @overload
    def __getitem__(self, item: SupportsIndex) -> Item: ...
    @overload
    def __getitem__(self, item: slice) -> Self: ...
    def __getitem__(self, item: SupportsIndex | slice) -> Item | Self:
        if isinstance(item, slice):
            return self._like(self._datalist[item])
        return self._datalist[item]

    def __setitem__(self, key: SupportsIndex | slice, value: Any) -> None:
        if isinstance(key, slice):
            items = self._as_items(value)
            kept = list(self._datalist)
            del kept[key]
            self._check(items, kept)
            self._datalist[key] = items
        else:
            place = range(len(self._datalist))[key]  # raises IndexError as a list does
            others = self._datalist[:1] if place else self._datalist[1:2]
            self._check([value], others)
            self._datalist[place] = value

    def __delitem__(self, key: SupportsIndex | slice) -> None:
        del self._datalist[key]

    def __add__(self, other: Iterable[Item]) -> Self:
        if not isinstance(other, (PseudoList, list)):
            return NotImplemented
        new = self.copy()
        new.extend(other)
        return new

    def __radd__(self, other: list[Item]) -> Self:
        if not isinstance(other, list):
            return NotImplemented
        new = self._like([])
        new.extend(other)
        new.extend(self)
        return new

    def __iadd__(self, other: Iterable[Item]) -> Self:
        self.extend(other)
        return self

    def __eq__(self, other: object) -> bool:
        if isinstance(other, PseudoList):
            return _type_of(self) is _type_of(other) and self._datalist == other._datalist
        if isinstance(other, list):
            return self._datalist == other
        return NotImplemented

    def __len__(self) -> int:
        return len(self._datalist)

    def __iter__(self) -> Iterator[Item]:
        return iter(self._datalist)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._datalist!r})"

    def __sizeof__(self) -> int:
        # Dask asks for the size of what it holds: the items count, not only the list.
        return object.__sizeof__(self) + sum(map(sys.getsizeof, [self._datalist, *self._datalist]))

    def _like(self, items: Iterable[Item]) -> Self:
        # Not type(self)(): a subclass may take other arguments and hold other attributes.
        new = object.__new__(type(self))
        new.__dict__.update(self.__dict__)
        new._datalist = list(items)
        return new

    def _as_items(self, values: Any) -> list[Item]:
        if isinstance(values, self._expected()):
            return [values]
        if isinstance(values, (str, bytes, DataBlock)) or not isinstance(values, Iterable):
            raise _refused(
                f"Found {values!s:.200} of type {type(values)}. Expected an iterable of "
                f"{self._expected().__name__} items, or one of them."
            )
        return list(values)

    def _check(self, items: list[Item], present: list[Item]) -> None:
        expected = self._expected()
        first = present[0] if present else items[0] if items else None
        for item in items:
            if not isinstance(item, expected):
                raise _refused(
                    f"Error appending item {item!s:.200} of type {type(item)}. "
                    f"Expected a {expected.__name__} item."
                )
            if not isinstance(item, type(first)):
                raise _refused(
                    f"Error appending item {item!s:.200} of type {type(item)}. "
                    f"This {type(self).__name__} object already contains data of type "
                    f"{type(first)}. Please ensure all data is of the same type."
                )

    def _expected(self) -> type[Any]:
        try:
            return cast("type[Any]", self.data_type)
        except AttributeError:
            raise NotImplementedError(
                f"{type(self).__name__} must say in `data_type` what it holds"
            ) from None


def _type_of(items: PseudoList[Any]) -> object:
    return getattr(items, "data_type", None)


def _refused(message: str) -> ValueError:
    logger.error(message)
    return ValueError(message)


class DataBatch(PseudoList[Block]):
    """The blocks that a processor sees together."""

    def __init__(self, batch: Iterable[Block] | Block | None = None) -> None:
        super().__init__(data_list=batch)

    def get_batch(self) -> list[Block]:
        """Return the blocks as a plain list."""
        return self.get_data_list()

    def get_raw_image_names(self) -> list[str]:
        """Return the base names of all raw files behind the blocks, in order."""
        return [path.name for block in self for path in block.get_raw_img_list()]

    def __str__(self) -> str:
        names = [block.get_name() for block in self]
        return f"<An {type(self).__name__} object, containing {names}>"


class Dataset(PseudoList[DataBatch[Any]]):
    """The batches of a night, all of one kind."""

    data_type = DataBatch

    def __init__(self, batches: Iterable[DataBatch[Any]] | DataBatch[Any] | None = None) -> None:
        super().__init__(data_list=batches)

    def get_batches(self) -> list[DataBatch[Any]]:
        """Return the batches as a plain list."""
        return self.get_data_list()
