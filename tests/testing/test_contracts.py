"""The checks of processors find the processors that break their promises."""

import pytest

from mirar_dask.paths import get_output_dir
from mirar_dask.processors.base_processor import BaseImageProcessor
from mirar_dask.testing.contracts import check_processor, processor_classes, rebuild
from mirar_dask.testing.images import make_batch


class Honest(BaseImageProcessor):
    """Adds a number to the pixels."""

    base_key = "honest"
    writes_products = False

    def __init__(self, number: float = 1.0) -> None:
        super().__init__()
        self.number = number

    def changes_keys(self):
        return frozenset({"ADDED"})

    def apply_to_image(self, image, context=None):
        image.set_data(image.get_data() + self.number)
        image["ADDED"] = self.number
        return image


class Sticky(Honest):
    """Remembers what it saw."""

    base_key = "sticky"

    def apply_to_image(self, image, context=None):
        self.number = float(image["EXPTIME"])
        return super().apply_to_image(image)


class Forgetful(Honest):
    """Does not keep what it was made with."""

    base_key = "forgetful"

    def __init__(self, number: float = 1.0, width: int = 3) -> None:
        super().__init__(number)
        self.secret = width

    def parameters(self):
        return {**super().parameters(), "secret": self.secret}


class Sneaky(Honest):
    """Changes a key of which it says nothing."""

    base_key = "sneaky"

    def apply_to_image(self, image, context=None):
        image["TARGET"] = "other"
        return image


class Prying(Honest):
    """Reads pixels though it says that it does not."""

    base_key = "prying"
    headers_only = True


class Littering(Honest):
    """Writes a file though it says that it does not."""

    base_key = "littering"

    def apply_to_image(self, image, context=None):
        folder = get_output_dir("litter")
        folder.mkdir(parents=True, exist_ok=True)
        (folder / image["BASENAME"]).write_text("x")
        return image


class Moody(Honest):
    """Gives another result every time."""

    base_key = "moody"
    calls = 0

    def apply_to_image(self, image, context=None):
        type(self).calls += 1
        image.set_data(image.get_data() + type(self).calls)
        return image


class Silent(Honest):
    """Says nothing."""

    base_key = "silent"

    def description(self):
        return " "


class Failing(Honest):
    """Fails."""

    base_key = "failing"

    def apply_to_image(self, image, context=None):
        raise RuntimeError("planted")


def test_a_processor_that_keeps_its_promises_passes(tmp_path):
    """Nothing is said."""
    check_processor(Honest(2.0), make_batch(), folder=tmp_path)


@pytest.mark.parametrize(
    ("processor", "text"),
    [
        (Sticky(), "changed its own number"),
        (Forgetful(width=5), "made anew from its parameters"),
        (Sneaky(), "changed {'TARGET'} undeclared"),
        (Prying(), "pixels were read"),
        (Littering(), "says that it writes no products"),
        (Moody(), "gave other values the second time"),
        (Silent(), "has no description"),
        (Failing(), "failed with 2 errors(.|\n)*planted"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_broken_promise_is_named(tmp_path, processor, text):
    """The message says which processor breaks which promise."""
    with pytest.raises(AssertionError, match=text) as raised:
        check_processor(processor, make_batch(), folder=tmp_path)
    assert type(processor).__name__ in str(raised.value)


def test_a_processor_is_made_anew_from_its_parameters():
    """Night included."""
    processor = Honest(4.0)
    processor.set_night("cam/20240301")
    assert rebuild(processor) == processor
    assert rebuild(processor).number == 4.0


def test_classes_are_found_by_their_module():
    """Sorted by name; private ones and those without a key are left out."""
    found = processor_classes(lambda module: module == __name__)
    assert [cls.__name__ for cls in found] == sorted(cls.__name__ for cls in found)
    assert {Honest, Moody, Sticky} <= set(found)
