"""Keys tell everything that results depend on, and are the same in every process."""

from __future__ import annotations

import functools
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io.fits import Header

from mirar_dask.data import Dataset, Image, ImageBatch
from mirar_dask.errors import UsageError
from mirar_dask.paths import PRODKEY_KEY, Roots, use_roots
from mirar_dask.processors.base.history import key_of
from mirar_dask.processors.base.identity import UNSURE, describe, file_key
from mirar_dask.processors.base_processor import BaseImageProcessor, BaseProcessor
from mirar_dask.processors.bias import BiasCalibrator
from mirar_dask.processors.csvlog import CSVLog

TEXT = '''
from mirar_dask.processors.base_processor import BaseImageProcessor

LEVEL = 3
NAMES = {"a", "b", "c", "d"}


def outer(data):
    return inner(data) - LEVEL


def inner(data):
    return data + (1 if "x" in NAMES else 2)


class Base(BaseImageProcessor):
    """A step."""

    base_key = "base"

    def weigh(self, data):
        return data * 2


class Mine(Base):
    """A step."""

    base_key = "mine"

    @staticmethod
    def other(data):
        return data

    def apply_to_image(self, image, context=None):
        """Do it."""
        image.set_data(self.weigh(outer(self.other(image.get_data()))))
        return image
'''


def fingerprint_of(text: str) -> str:
    """Fingerprint of the step that a script defines."""
    space: dict[str, Any] = {"__name__": "a_script"}
    exec(compile(text, "a_script.py", "exec"), space)
    return space["Mine"]().fingerprint  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("LEVEL = 3", "LEVEL = 4"),
        ('"x" in NAMES', '"y" in NAMES'),
        ('{"a", "b", "c", "d"}', '{"a", "b", "c"}'),
        ("data + (1", "data - (1"),
        ("data * 2", "data * 3"),
        ("        return data\n", "        return data + 1\n"),
        ("context=None", "context=1"),
        ('base_key = "base"', 'base_key = "base"\n    width = 5'),
    ],
)
def test_a_step_of_a_script_counts_with_all_of_the_script_that_it_uses(old: str, new: str) -> None:
    """Methods, inherited ones, defaults, attributes, functions and constants."""
    assert old in TEXT
    assert fingerprint_of(TEXT.replace(old, new)) != fingerprint_of(TEXT)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("LEVEL = 3", "LEVEL = 3  # a remark"),
        ('"""Do it."""', '"""Do it well."""'),
        ('"""A step."""', '"""One step."""'),
        ("def outer", "UNUSED = 1\n\n\ndef unused():\n    return 1\n\n\ndef outer"),
    ],
)
def test_what_a_step_does_not_use_changes_nothing(old: str, new: str) -> None:
    """Comments, docstrings, and other parts of the script."""
    assert fingerprint_of(TEXT.replace(old, new)) == fingerprint_of(TEXT)


def test_a_fingerprint_is_the_same_in_every_process(tmp_path: Path) -> None:
    """The order in which a process keeps sets has no part in it."""
    code = f"""
import sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
from test_identity import TEXT, fingerprint_of
print(fingerprint_of(TEXT))
"""
    found = set()
    for seed in ("1", "2", "3"):
        done = subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        )
        found.add(done.stdout.strip())
    assert found == {fingerprint_of(TEXT)}


def adder(n: int, *, m: int = 0) -> Callable[[int], int]:
    def add(x: int, k: int = m) -> int:
        return x + n + k

    return add


class Holder:
    """An object without a text of its own."""

    def __init__(self, value: Any) -> None:
        self.value = value

    def method(self) -> Any:
        return self.value


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (adder(1), adder(2)),
        (adder(1), adder(1, m=3)),
        (functools.partial(adder, 1), functools.partial(adder, 2)),
        (Holder(1), Holder(2)),
        (Holder([1, 2]), Holder((1, 3))),
        (Holder(1).method, Holder(2).method),
        (np.arange(3), np.arange(1, 4)),
        ({"a": adder(1)}, {"a": adder(2)}),
        (1, 1.0),
        ("1", 1),
    ],
)
def test_parameters_are_told_apart_by_what_is_in_them(one: Any, other: Any) -> None:
    """Closures, defaults, bound objects, attributes, values."""
    assert describe(one) != describe(other)
    assert describe(one) == describe(one)
    assert UNSURE not in describe(one)


def test_the_same_content_has_the_same_text() -> None:
    """It does not matter which object holds it."""
    assert describe(adder(1)) == describe(adder(1))
    assert describe(Holder({"a": 1})) == describe(Holder({"a": 1}))


@pytest.mark.parametrize("value", [object(), Holder(object()), [object()], lambda: 0])
def test_what_has_no_text_is_said_to_be_unsure(value: Any) -> None:
    """Also deep inside of something else, and in the closure of a function."""
    given = value if not callable(value) else (lambda thing: lambda: thing)(object())
    assert UNSURE in describe(given)

    class Step(BaseImageProcessor):
        """Has a parameter."""

        base_key = "step_with_a_thing"

        def __init__(self, thing: Any) -> None:
            super().__init__()
            self.thing = thing

    why = Step(given).why_unsure
    assert why is not None
    assert "'thing'" in why
    assert Step(3).why_unsure is None


def test_an_object_that_holds_itself_has_a_text() -> None:
    """A cycle ends."""
    holder = Holder(None)
    holder.value = {"again": holder}
    assert describe(holder) == describe(holder)


def test_a_file_that_a_parameter_names_counts_by_its_content(tmp_path: Path) -> None:
    """By size and time of change, as a path and as text."""
    path = tmp_path / "mask.fits"
    path.write_text("one")
    before = describe(path), describe(str(path))
    path.write_text("another")
    assert describe(path) != before[0]
    assert describe(str(path)) != before[1]


def test_a_raw_frame_counts_by_its_path_within_the_night(tmp_path: Path) -> None:
    """Two frames of one name in two folders differ; the folder of the night does not count."""
    for folder in ("n1/a", "n1/b", "n2/a"):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "x.fits").write_text("x")
        os.utime(tmp_path / folder / "x.fits", ns=(1, 1))
    keys = {}
    for night in ("n1", "n2"):
        with use_roots(Roots(tmp_path, tmp_path, night_raw=tmp_path / night)):
            keys[night] = file_key(tmp_path / night / "a" / "x.fits")
            other = file_key(tmp_path / "n1" / "b" / "x.fits")
    assert keys["n1"] == keys["n2"]
    assert other not in keys.values()


# -- what images are made of ------------------------------------------------------------------


class Centre(BaseImageProcessor):
    """Subtract the mean of the batch, in mirar's way."""

    base_key = "centre_by_batch"

    def _apply_to_images(self, batch: ImageBatch) -> ImageBatch:
        mean = np.mean([image.get_data() for image in batch], axis=0)
        for image in batch:
            image.set_data(image.get_data() - mean)
        return batch


class Gather(BaseImageProcessor):
    """Subtract a mean that `prepare` makes."""

    base_key = "centre_by_context"

    def prepare(self, batch: ImageBatch) -> Any:
        return np.mean([image.get_data() for image in batch], axis=0)

    def apply_to_image(self, image: Image, context: Any = None) -> Image:
        image.set_data(image.get_data() - context)
        return image


class Shuffle(BaseImageProcessor):
    """Change every second image once all batches are done, and turn their order round."""

    base_key = "shuffle"

    def apply_to_image(self, image: Image, context: Any = None) -> Image:
        return image

    def update_dataset(self, dataset: Dataset) -> Dataset:
        images = [image for batch in dataset for image in batch]
        for image in images[::2]:
            image["TOUCHED"] = True
        return Dataset([ImageBatch(images[::-1])])


def batch_of(*keys: str) -> ImageBatch:
    """Return images with these keys."""
    images = []
    for number, key in enumerate(keys):
        header = Header({"RAWPATH": f"/raw/{number}.fits", "BASENAME": f"{number}.fits"})
        header["CALSTEPS"], header["PROCFAIL"], header[PRODKEY_KEY] = "", "", key
        images.append(Image(np.full((4, 4), number, "f4"), header))
    return ImageBatch(images)


def keys_after(step: BaseProcessor, *keys: str) -> dict[str, str]:
    """Keys of images after a step, by name."""
    step.set_night("n")
    stepped = step.step(Dataset([batch_of(*keys)]))
    assert not stepped.records
    return {image.get_name(): key_of(image) for batch in stepped.dataset for image in batch}


@pytest.mark.parametrize("kind", [Centre, Gather])
def test_an_image_counts_with_the_others_that_were_looked_at(kind: type[BaseProcessor]) -> None:
    """Its key is another one if any of them is."""
    one, other = keys_after(kind(), "a", "b"), keys_after(kind(), "a", "c")
    assert one["0.fits"] != other["0.fits"]
    assert one == keys_after(kind(), "a", "b")


def test_a_step_that_reads_headers_only_mixes_nothing(tmp_path: Path) -> None:
    """A log of the night makes no frame depend on the others."""
    with use_roots(Roots(tmp_path, tmp_path)):
        one, other = (
            keys_after(CSVLog(["BASENAME"]), "a", "b"),
            keys_after(CSVLog(["BASENAME"]), "a", "c"),
        )
    assert one["0.fits"] == other["0.fits"]


def test_a_free_regroup_gives_keys_to_the_images_that_it_changed() -> None:
    """Those that it only moved keep theirs, but for the history of every step."""
    plain, changed = keys_after(Shuffle(), "a", "b"), keys_after(Shuffle(), "a", "c")
    assert plain["0.fits"] != changed["0.fits"]

    class Still(Shuffle):
        """Moves all, changes none."""

        base_key = "still"

        def update_dataset(self, dataset: Dataset) -> Dataset:
            return Dataset([ImageBatch([image]) for batch in dataset for image in batch])

    assert keys_after(Still(), "a", "b")["0.fits"] == keys_after(Still(), "a", "c")["0.fits"]


def test_a_master_is_named_by_what_its_frames_were_corrected_by() -> None:
    """The same frames, corrected otherwise, make another master."""
    step = BiasCalibrator(select_bias_images=lambda images: images)
    step.set_night("n")
    names = {step.get_cache_file_name(batch_of(*keys)) for keys in (("a", "b"), ("a", "c"))}
    assert len(names) == 2
    again = BiasCalibrator(select_bias_images=lambda images: images, try_load_cache=False)
    again.set_night("n")
    assert again.fingerprint == step.fingerprint


def test_a_value_that_hides_a_method_is_refused_by_name():
    """`self.step = 8` would end the run with 'int object is not callable' and no more."""

    class Thin(BaseImageProcessor):
        base_key = "thin"

        def __init__(self, step: int = 8) -> None:
            super().__init__()
            self.step = step

    with pytest.raises(UsageError, match=r"Thin keeps 8 as 'self\.step'"):
        Thin().set_night("n")
