"""What a process leaves in the cache folder when it ends: nothing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

HEAD = """
import os, pickle, sys, tempfile, traceback, warnings
from pathlib import Path
import numpy as np
from mirar_dask.data import Image, cache
from mirar_dask.data.cache import CachePlace, new_key, use_place

def make(name="a.fits"):
    return Image(np.ones((50, 50)), {"RAWPATH": name, "BASENAME": name})
"""

ENDINGS = {
    "images in use": "images = [make() for _ in range(3)]",
    "pickled images": "images = [pickle.loads(pickle.dumps(make()))]",
    "an exit": "images = [make()]; sys.exit(0)",
    "an image that refers to itself": "image = make(); image.me = image; del image",
    "a fork that ends before": """
images = [make()]
child = os.fork()
if child == 0:
    images.append(make())
    sys.exit(0)
assert os.waitpid(child, 0)[1] == 0
assert images[0].get_data().sum() == 2500
assert len(Image.cache_files) == 1
""",
    "a folder that was made": """
cache.set_cache_dir(folder / "made" / "here")
images = [make(), pickle.loads(pickle.dumps(make()))]
assert len(list((folder / "made" / "here").iterdir())) == 2
""",
    "a folder that was there": """
(folder / "there").mkdir()
(folder / "there" / "notes.txt").touch()
cache.set_cache_dir(folder / "there")
images = [make(), pickle.loads(pickle.dumps(make()))]
""",
    "a folder shared with another program": """
(folder / "shared").mkdir()
cache.set_cache_dir(folder / "shared")
theirs = "0123456789ab-0123456789abcdef0123456789abcdef.npy"
(folder / "shared" / theirs).touch()
make().disown()
""",
    "results that a caller adopted": """
place = folder / "run"
place.mkdir()
with use_place(CachePlace(place, new_key())):
    images = [make(), make(), make()]
    for image in images:
        image.disown()
kept = [Image(image.pixels.adopt(), image.header) for image in images]
del images, image
assert len(list(place.iterdir())) == 3
del kept[0]
assert len(list(place.iterdir())) == 2
pickle.dumps(kept[0])
kept = kept[1:]
assert len(list(place.iterdir())) == 2
""",
    "a cache that was closed": """
images = [make()]
cache.close()
assert list(folder.iterdir()) == []
images.append(make())
""",
}
STAY = {
    "a folder that was made": {"made"},
    "a folder that was there": {"there", "there/notes.txt"},
    "a folder shared with another program": {
        "shared",
        "shared/0123456789ab-0123456789abcdef0123456789abcdef.npy",
    },
    "results that a caller adopted": {"run"},
}

# Each ending is a fork, so that one interpreter has to start.
DRIVER = """
endings = {endings!r}
warnings.simplefilter("ignore")
for number, (name, code) in enumerate(endings.items()):
    folder = Path(sys.argv[1]) / str(number)
    folder.mkdir()
    child = os.fork()
    if child == 0:
        tempfile.tempdir = str(folder)
        exec(code)
        sys.exit(0)
    assert os.waitpid(child, 0)[1] == 0, name
assert cache.cache_dir is None
"""


@pytest.fixture(scope="module")
def left(tmp_path_factory: pytest.TempPathFactory, run_once: Callable[..., str]) -> Path:
    """Let all endings happen, and return the folder in which each has a numbered one."""
    folder = tmp_path_factory.mktemp("endings")
    run_once(HEAD + DRIVER.format(endings=ENDINGS), str(folder))
    return folder


@pytest.mark.parametrize("ending", ENDINGS)
def test_an_orderly_end_leaves_neither_file_nor_folder(ending: str, left: Path):
    """Whatever the images were used for; what is not ours stays."""
    folder = left / str(list(ENDINGS).index(ending))
    found = {str(path.relative_to(folder)) for path in folder.rglob("*")}
    assert found == STAY.get(ending, set())


def test_an_error_leaves_nothing_either(run_python: Callable[..., str], tmp_path: Path):
    """A program that dies of an exception has an orderly end for us."""
    code = """
images = [make()]
raise ValueError(images[0].cache_path)
"""
    with pytest.raises(AssertionError, match=r"ValueError: .*\.npy"):
        run_python(HEAD + code)
    assert list((tmp_path / "temporary").iterdir()) == []


def test_processes_that_work_to_the_end_leave_nothing(
    run_python: Callable[..., str], tmp_path: Path
):
    """A pool started after the first image uses the folder of its parent, and empties nothing."""
    code = """
if __name__ == "__main__":
    import multiprocessing
    images = [make()]
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        images += pool.map(make, ["b.fits", "c.fits"])
        assert all(image.get_data().sum() == 2500 for image in images)
        pool.close()
        pool.join()
    assert all(image.get_data().sum() == 2500 for image in images)
    assert {image.cache_path.parent for image in images} == {cache.get_cache_dir()}
"""
    run_python(HEAD + code)
    assert list((tmp_path / "temporary").iterdir()) == []


def test_importing_makes_no_folder_and_sets_nothing(run_python: Callable[..., str], tmp_path: Path):
    """The first image does."""
    code = """
import os
before = dict(os.environ)
import mirar_dask.data
from mirar_dask.data import cache
assert dict(os.environ) == before
assert cache.cache_dir is None
"""
    run_python(code)
    assert list((tmp_path / "temporary").iterdir()) == []


def test_what_a_killed_process_left_is_removed_by_the_next(
    run_python: Callable[..., str], tmp_path: Path
):
    """Nothing runs in a process that is killed; the folders of those that live stay."""
    code = """
pipe = os.pipe()
child = os.fork()
if child == 0:
    images = [make()]
    os.write(pipe[1], bytes(cache.get_cache_dir()))
    os.kill(os.getpid(), 9)
place = Path(os.fsdecode(os.read(pipe[0], 1000)))
os.waitpid(child, 0)
assert list(place.glob("*.npy"))
living = os.pipe()
other = os.fork()
if other == 0:
    images = [make()]
    os.write(pipe[1], bytes(cache.get_cache_dir()))
    os.read(living[0], 1)
    sys.exit(0)
alive = Path(os.fsdecode(os.read(pipe[0], 1000)))
images = [make()]
assert not place.parent.exists()
assert list(alive.glob("*.npy"))
os.write(living[1], b"x")
os.waitpid(other, 0)
"""
    run_python(HEAD + code)
    assert list((tmp_path / "temporary").iterdir()) == []
