"""Batches and datasets behave like Python lists and hold items of one type only."""

from __future__ import annotations

import copy
import operator
import pickle
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mirar_dask.data import (
    DataBatch,
    DataBlock,
    Dataset,
    Image,
    ImageBatch,
    PseudoList,
    SourceBatch,
    SourceTable,
)


class Number(DataBlock):
    """A block that is cheap to make."""

    def __init__(self, value: int) -> None:
        self.value = value
        super().__init__()

    def __getitem__(self, item: str) -> str:
        return f"{self.value}.fits"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Number) and self.value == other.value

    __hash__ = None


class SpecialNumber(Number):
    """A block of a class of its own."""


class Other(Number):
    """Not a special number."""


class Numbers(DataBatch[Number]):
    """A batch as a user of mirar writes one."""

    data_type = Number


numbers = st.lists(st.integers(0, 5).map(Number), max_size=6)
places = st.integers(-7, 7)
slices = st.builds(slice, *[st.none() | places] * 2, st.sampled_from([None, 1, 2, -1, -2]))


def outcome(function: Callable[[Any], Any], items: Any) -> tuple[Any, Any]:
    """Return what a function did to a list, and what it returned or raised."""
    try:
        result = function(items)
    except (IndexError, ValueError) as error:
        result = type(error)
    if isinstance(result, PseudoList):
        result = list(result)
    return list(items), result


OPERATIONS: dict[str, Callable[..., Any]] = {
    "item": lambda items, place, part, other, item: items[place],
    "slice": lambda items, place, part, other, item: items[part],
    "set item": lambda items, place, part, other, item: items.__setitem__(place, item),
    "set slice": lambda items, place, part, other, item: items.__setitem__(part, other),
    "delete item": lambda items, place, part, other, item: items.__delitem__(place),
    "delete slice": lambda items, place, part, other, item: items.__delitem__(part),
    "append": lambda items, place, part, other, item: items.append(item),
    "extend": lambda items, place, part, other, item: items.extend(iter(other)),
    "add a list": lambda items, place, part, other, item: items + other,
    "add to a list": lambda items, place, part, other, item: other + items,
    "iadd": lambda items, place, part, other, item: items.__iadd__(other),
    "insert": lambda items, place, part, other, item: items.insert(place, item),
    "pop": lambda items, place, part, other, item: items.pop(place),
    "pop last": lambda items, place, part, other, item: items.pop(),
    "remove": lambda items, place, part, other, item: items.remove(item),
    "index": lambda items, place, part, other, item: items.index(item),
    "count": lambda items, place, part, other, item: items.count(item),
    "in": lambda items, place, part, other, item: item in items,
    "reverse": lambda items, place, part, other, item: items.reverse(),
    "reversed": lambda items, place, part, other, item: list(reversed(items)),
    "sort": lambda items, place, part, other, item: items.sort(key=lambda n: n.value),
    "clear": lambda items, place, part, other, item: items.clear(),
    "copy": lambda items, place, part, other, item: items.copy(),
    "equal": lambda items, place, part, other, item: items == other,
    "bool": lambda items, place, part, other, item: bool(items),
    "len": lambda items, place, part, other, item: len(items),
}


@pytest.mark.parametrize("name", OPERATIONS)
def test_a_batch_does_what_a_list_does(name: str):
    """Every operation of a list gives the same result, error and content on a batch."""

    @settings(max_examples=60)
    @given(numbers, places, slices, numbers, st.integers(0, 5).map(Number))
    def check(items: list[Number], place: int, part: slice, other: list[Number], item: Number):
        operation = OPERATIONS[name]
        expected = outcome(lambda x: operation(x, place, part, other, item), list(items))
        found = outcome(lambda x: operation(x, place, part, other, item), Numbers(items))
        assert found == expected

    check()


WAYS_IN: dict[str, Callable[[Any, Any], Any]] = {
    "append": lambda batch, item: batch.append(item),
    "extend": lambda batch, item: batch.extend([batch[0], item]),
    "insert": lambda batch, item: batch.insert(0, item),
    "item": lambda batch, item: batch.__setitem__(0, item),
    "slice": lambda batch, item: batch.__setitem__(slice(0, 1), [item]),
    "iadd": lambda batch, item: batch.__iadd__([item]),
    "add": lambda batch, item: operator.add(batch, [item]),
    "radd": lambda batch, item: operator.add([item], batch),
    "constructor": lambda batch, item: type(batch)([*batch, item]),
    "tuple": lambda batch, item: type(batch)((*batch, item)),
}


@pytest.mark.parametrize("way", WAYS_IN)
@pytest.mark.parametrize("intruder", ["junk", 5, None, Number(1)])
def test_no_way_in_lets_a_wrong_type_pass(way: str, intruder: Any, image: Callable[..., Image]):
    """Whatever the method, an item of another type is refused and nothing is changed."""
    images = [image("a.fits"), image("b.fits")]
    batch = ImageBatch(images)
    with pytest.raises(ValueError, match="Expected a"):
        WAYS_IN[way](batch, intruder)
    assert batch.get_batch() == images


@pytest.mark.parametrize("way", [way for way in WAYS_IN if way not in ("radd",)])
def test_the_first_item_fixes_the_class(way: str):
    """A batch of one class of blocks takes no sister class."""
    batch = Numbers([SpecialNumber(1), SpecialNumber(2)])
    with pytest.raises(ValueError, match="already contains data of type"):
        WAYS_IN[way](batch, Other(3))
    assert batch == [SpecialNumber(1), SpecialNumber(2)]


def test_a_source_table_does_not_enter_an_image_batch(
    image: Callable[..., Image], table: Callable[..., SourceTable]
):
    """Adding batches of two kinds is refused, by `+` and by `+=`."""
    images, tables = ImageBatch(image()), SourceBatch(table())
    with pytest.raises(ValueError, match="Expected a Image item"):
        images += tables
    with pytest.raises(ValueError, match="Expected a SourceTable item"):
        _ = tables + images
    assert len(images) == len(tables) == 1


def test_a_dataset_holds_batches_of_one_kind(
    image: Callable[..., Image], table: Callable[..., SourceTable]
):
    """Image batches and source batches do not mix."""
    dataset = Dataset([ImageBatch(image())])
    with pytest.raises(ValueError, match="same type"):
        dataset.append(SourceBatch(table()))
    with pytest.raises(ValueError, match="Expected"):
        Dataset(image())
    assert dataset.get_batches() == [dataset[0]]


def test_the_only_item_may_be_replaced_by_one_of_another_class():
    """Where nothing else is in the list, there is no class to keep to."""
    batch = Numbers([SpecialNumber(1)])
    batch[0] = Other(2)
    batch[:] = [SpecialNumber(3)]
    assert batch == [SpecialNumber(3)]


@pytest.mark.parametrize("wrong", ["abc", b"abc", 5, 1.5, object()])
def test_what_is_no_iterable_of_items_is_refused(wrong: Any):
    """A text is not taken for an iterable, a number not for an item."""
    with pytest.raises(ValueError, match="Expected an iterable of Image items"):
        ImageBatch(wrong)


def test_a_block_of_another_kind_is_refused_as_a_whole(table: Callable[..., SourceTable]):
    """A table given to an image batch is not iterated over."""
    with pytest.raises(ValueError, match="Expected an iterable of Image items"):
        ImageBatch(table())


def test_any_iterable_of_items_is_accepted(image: Callable[..., Image]):
    """Lists, tuples, generators, other batches, one item, nothing."""
    one, two = image("a.fits"), image("b.fits")
    for given_items in ([one, two], (one, two), (x for x in (one, two)), ImageBatch([one, two])):
        assert ImageBatch(given_items).get_batch() == [one, two]
    assert ImageBatch(one).get_batch() == [one]
    assert ImageBatch().get_batch() == ImageBatch(None).get_batch() == []
    batches = [ImageBatch(one), ImageBatch(two)]
    assert Dataset(tuple(batches)).get_batches() == batches
    assert Dataset(batches[0]).get_batches() == batches[:1]


def test_slices_and_sums_are_of_the_same_class_and_keep_its_attributes():
    """A subclass with other arguments and attributes can be sliced, added and copied."""

    class Labelled(Numbers):
        def __init__(self, label: str, items: list[Number]) -> None:
            super().__init__(items)
            self.label = label

    batch = Labelled("r", [Number(1), Number(2), Number(3)])
    for made in (
        batch[1:],
        batch + batch,
        batch.copy(),
        copy.copy(batch),
        operator.add([Number(0)], batch),
    ):
        assert type(made) is Labelled
        assert made.label == "r"
        made.append(Number(9))
    assert batch == [Number(1), Number(2), Number(3)]


def test_equality_compares_blocks(image: Callable[..., Image]):
    """Two batches of the same images are equal; images are equal if they are the same object."""
    one, two = image("a.fits"), image("b.fits")
    assert ImageBatch([one, two]) == ImageBatch((one, two)) == [one, two]
    assert ImageBatch([one, two]) != ImageBatch([two, one])
    assert ImageBatch(one) != ImageBatch(copy.copy(one))
    assert Dataset(ImageBatch(one)) == Dataset(ImageBatch(one))
    assert one in ImageBatch([one, two])
    assert copy.copy(one) not in ImageBatch([one, two])
    assert ImageBatch(one) in Dataset([ImageBatch(two), ImageBatch(one)])
    assert ImageBatch() != SourceBatch()
    assert ImageBatch() != 5


def test_a_batch_has_no_hash():
    """What can change and compares by content is no key of a dictionary, as a list is none."""
    with pytest.raises(TypeError, match="unhashable"):
        hash(ImageBatch())


def test_adding_something_else_is_an_error():
    """Neither a text nor a number can be added to a batch."""
    with pytest.raises(TypeError):
        _ = Numbers([Number(1)]) + "ab"
    with pytest.raises(TypeError):
        _ = 5 + Numbers([Number(1)])


def test_numpy_integers_are_indices():
    """A place that numpy computed is a place."""
    batch = Numbers([Number(1), Number(2)])
    assert batch[np.int64(1)] == Number(2)
    batch[np.int64(0)] = Number(7)
    assert batch == [Number(7), Number(2)]


def test_an_empty_list_is_falsy():
    """`if batch:` asks whether something is in it."""
    assert not ImageBatch()
    assert not Dataset()
    assert Dataset(ImageBatch())


def test_texts_name_the_blocks(image: Callable[..., Image]):
    """`str` is mirar's; `repr` shows what is in the list."""
    batch = ImageBatch([image("a.fits"), image("b.fits")])
    assert str(batch) == "<An ImageBatch object, containing ['a.fits', 'b.fits']>"
    assert repr(Dataset(batch)) == (
        "Dataset([ImageBatch([<Image 'a.fits' (6, 5) float32>, <Image 'b.fits' (6, 5) float32>])])"
    )
    assert str(batch[0]) == "<An Image object, built from a.fits>"


def test_a_list_without_a_type_cannot_be_filled():
    """A subclass has to say what it holds."""
    assert len(PseudoList()) == len(DataBatch()) == 0
    with pytest.raises(NotImplementedError, match="data_type"):
        PseudoList().append(1)


def test_a_type_given_as_a_property_works():
    """Batches written for mirar may define `data_type` as a property."""

    class Old(DataBatch):
        @property
        def data_type(self) -> type[Number]:
            return Number

    assert Old([Number(1)])[:1] == Old([Number(1)])
    with pytest.raises(ValueError, match="Expected a Number item"):
        Old().append("junk")


def test_a_subclass_that_overrides_append_sees_every_item():
    """The constructor and `extend` go through `append`, as in mirar."""
    seen = []

    class Watching(Numbers):
        def append(self, item: Number) -> None:
            seen.append(item.value)
            super().append(item)

    Watching([Number(1)]).extend([Number(2), Number(3)])
    assert seen == [1, 2, 3]


def test_raw_image_names_are_those_of_all_blocks(header: Callable[..., Any]):
    """A stack counts with each of its raw files; the names are texts."""
    stack = Image(np.zeros((2, 2)), header("s.fits", RAWPATH="/raw/a.fits,/raw/b.fits"))
    single = Image(np.zeros((2, 2)), header("c.fits"))
    batch = ImageBatch([stack, single])
    assert batch.get_raw_image_names() == ["a.fits", "b.fits", "c.fits"]
    assert stack.get_raw_img_list() == [Path("/raw/a.fits"), Path("/raw/b.fits")]


def test_names_of_a_block_are_those_of_its_header_now(image: Callable[..., Image]):
    """A block that is renamed by header has the new name everywhere."""
    renamed = image("a.fits")
    renamed["BASENAME"] = "b.fits"
    renamed["RAWPATH"] = "/x/1.fits,/x/2.fits"
    assert renamed.get_name() == renamed.base_name == "b.fits"
    assert str(renamed) == "<An Image object, built from b.fits>"
    assert (
        renamed.raw_img_list == renamed.get_raw_img_list() == [Path("/x/1.fits"), Path("/x/2.fits")]
    )
    replaced = renamed.header.copy()
    replaced["BASENAME"] = "c.fits"
    renamed.set_header(replaced)
    assert renamed.get_name() == "c.fits"


def test_a_block_is_abstract():
    """The base class maps no keys."""

    class Empty(DataBlock):
        pass

    with pytest.raises(NotImplementedError):
        Empty()
    with pytest.raises(NotImplementedError):
        Number(1)["a"] = 2


def test_the_size_of_a_batch_counts_its_blocks(image: Callable[..., Image], monkeypatch: Any):
    """Dask asks for the size of what it holds: the pixels in memory count."""
    monkeypatch.setenv("USE_MIRAR_CACHE", "false")
    batch = ImageBatch([image(data=np.zeros((100, 100))) for _ in range(3)])
    assert 3 * 80_000 < sys.getsizeof(batch) < 3 * 90_000


def test_batches_can_be_pickled(image: Callable[..., Image]):
    """Class, order and names survive."""
    dataset = Dataset([ImageBatch([image("a.fits"), image("b.fits")]), ImageBatch()])
    found = pickle.loads(pickle.dumps(dataset))
    assert [type(batch) for batch in found] == [ImageBatch, ImageBatch]
    assert [[i.get_name() for i in batch] for batch in found] == [["a.fits", "b.fits"], []]
