"""The cache: its folder, its switches, and who empties it."""

from __future__ import annotations

import importlib
import os
import pickle
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mirar_dask.data import Cache, CacheError, Image, cache, use_cache
from mirar_dask.data.cache import (
    CACHE_DIR_VARIABLE,
    CACHE_KEY_VARIABLE,
    CachePlace,
    empty_folder,
    new_key,
    new_name,
    use_place,
)
from mirar_dask.errors import MirarDaskError

# `import mirar_dask.data.cache as ...` gives the object of that name, as in mirar.
cache_module = importlib.import_module("mirar_dask.data.cache")


@pytest.mark.parametrize("name", ["USE_MIRAR_CACHE", "USE_WINTER_CACHE"])
@pytest.mark.parametrize(
    ("word", "expected"),
    [
        *((word, True) for word in ("1", "true", "TRUE", "True", "yes", "Yes", "on", "ON", " on ")),
        *((word, False) for word in ("0", "false", "FALSE", "no", "NO", "off", "Off")),
    ],
)
def test_either_variable_switches_the_cache(
    monkeypatch: pytest.MonkeyPatch, name: str, word: str, expected: bool
):
    """The words are accepted in any case, by either name, whenever they are looked up."""
    assert use_cache() is True
    monkeypatch.setenv(name, word)
    assert use_cache() is expected
    assert cache_module.USE_CACHE is expected


@pytest.mark.parametrize("word", ["maybe", "", "2", "t"])
@pytest.mark.parametrize("name", ["USE_MIRAR_CACHE", "USE_WINTER_CACHE"])
def test_another_word_is_an_error_that_names_the_variable(
    monkeypatch: pytest.MonkeyPatch, name: str, word: str
):
    """No word is silently taken for no."""
    monkeypatch.setenv(name, word)
    with pytest.raises(CacheError, match=f"{name} is '{word}'"):
        use_cache()


def test_two_variables_that_differ_are_an_error_that_names_both(monkeypatch: pytest.MonkeyPatch):
    """Neither wins in silence."""
    monkeypatch.setenv("USE_MIRAR_CACHE", "false")
    monkeypatch.setenv("USE_WINTER_CACHE", "true")
    with pytest.raises(CacheError, match="USE_MIRAR_CACHE=false and USE_WINTER_CACHE=true"):
        use_cache()
    monkeypatch.setenv("USE_WINTER_CACHE", "no")
    assert use_cache() is False


def test_the_module_has_no_other_names_made_up():
    """Only USE_CACHE is looked up when it is asked for."""
    with pytest.raises(AttributeError, match="NOTHING"):
        _ = cache_module.NOTHING


def test_a_cache_without_a_folder_says_so():
    """A new cache has none."""
    with pytest.raises(CacheError, match="no folder yet"):
        Cache().get_cache_dir()
    with pytest.raises(CacheError, match="no folder yet"):
        cache.get_cache_dir()
    assert issubclass(CacheError, MirarDaskError)


def test_a_cache_that_is_off_has_no_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """Also when one was set before."""
    cache.set_cache_dir(tmp_path)
    monkeypatch.setenv("USE_WINTER_CACHE", "false")
    for ask in (cache.get_cache_dir, cache.ensure_cache_dir):
        with pytest.raises(CacheError, match="switched off"):
            ask()


def test_the_folder_is_made_for_us_alone(tmp_path: Path):
    """Pixels are nobody else's to read or to alter."""
    folder = tmp_path / "new" / "cache"
    cache.set_cache_dir(str(folder))
    assert cache.get_cache_dir() == folder
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert str(cache) == f"A cache, with path {folder}"


def test_a_folder_that_cannot_be_made_is_a_clear_error(tmp_path: Path):
    """The path is in the message."""
    (tmp_path / "file").write_text("")
    with pytest.raises(CacheError, match=str(tmp_path / "file")):
        cache.set_cache_dir(tmp_path / "file")


def test_setting_the_folder_tells_processes_that_are_started_afterwards(tmp_path: Path):
    """By the environment; only the cache of the images does so."""
    Cache().set_cache_dir(tmp_path / "other")
    assert CACHE_DIR_VARIABLE not in os.environ
    cache.set_cache_dir(tmp_path / "cache")
    assert os.environ[CACHE_DIR_VARIABLE] == str(tmp_path / "cache")
    assert os.environ[CACHE_KEY_VARIABLE] == cache.key


def test_the_folder_of_a_parent_process_is_used_and_never_emptied(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    """What the environment names with a mark is the parent's."""
    monkeypatch.setenv(CACHE_DIR_VARIABLE, str(tmp_path))
    monkeypatch.setenv(CACHE_KEY_VARIABLE, "0123456789ab")
    assert cache.ensure_cache_dir() == tmp_path
    file = tmp_path / new_name(cache.key)
    file.touch()
    cache.close()
    assert file.exists()


def test_a_folder_that_the_user_named_is_made_and_emptied(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    """Without a mark the variable is a wish of the user."""
    monkeypatch.setenv(CACHE_DIR_VARIABLE, str(tmp_path / "wish"))
    assert cache.ensure_cache_dir() == tmp_path / "wish"
    (tmp_path / "wish" / new_name(cache.key)).touch()
    cache.close()
    assert list(tmp_path.iterdir()) == []


def test_a_parent_that_is_gone_leaves_no_folder_to_use(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    """A private folder takes its place."""
    monkeypatch.setenv(CACHE_DIR_VARIABLE, str(tmp_path / "gone"))
    monkeypatch.setenv(CACHE_KEY_VARIABLE, "0123456789ab")
    folder = cache.ensure_cache_dir()
    assert folder != tmp_path / "gone"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert cache.ensure_cache_dir() == folder
    cache.close()
    assert not folder.exists()


def test_the_first_image_chooses_a_private_folder(image: Callable[..., Image]):
    """Nothing has to be set up before."""
    made = image()
    folder = cache.get_cache_dir()
    assert made.cache_path.parent == folder
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_emptying_takes_our_files_only(tmp_path: Path):
    """Another process may share the folder; the user may keep things in it."""
    ours, theirs = new_key(), new_key()
    for name in (new_name(ours), f".tmp-12ab-{new_name(ours)}", new_name(theirs), "notes.txt"):
        (tmp_path / name).touch()
    empty_folder(tmp_path, ours, made=False)
    assert len(list(tmp_path.iterdir())) == 2
    empty_folder(tmp_path, ours, made=True)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]
    (tmp_path / "notes.txt").unlink()
    empty_folder(tmp_path, ours, made=True)
    assert not tmp_path.exists()
    empty_folder(tmp_path, ours, made=True)


def test_a_folder_that_is_not_owned_is_left_alone(tmp_path: Path, image: Callable[..., Image]):
    """A worker that uses a run's folder removes nothing from it at its end."""
    cache.set_cache_dir(tmp_path / "run", owned=False)
    made = image()
    made.disown()
    cache.close()
    assert made.pixels.path.exists()


def test_a_run_has_a_folder_of_its_own(tmp_path: Path, image: Callable[..., Image]):
    """Inside a task images keep their pixels there, whatever the process has set."""
    cache.set_cache_dir(tmp_path / "process")
    place = CachePlace(tmp_path, new_key())
    with use_place(place):
        made = image()
        assert cache.get_cache_dir() == tmp_path
    assert made.cache_path.parent == tmp_path
    assert made.cache_path.name.startswith(place.key)
    assert cache.get_cache_dir() == tmp_path / "process"
    with use_place(CachePlace(None, "")):
        assert not use_cache()
        assert image().cache_path is None
        with pytest.raises(CacheError):
            cache.get_cache_dir()


def test_a_cache_path_is_new_each_time(image: Callable[..., Image]):
    """Asking for a path makes no file and never gives one twice."""
    made = image()
    paths = {made.get_cache_path() for _ in range(20)}
    assert len(paths) == 20
    assert made.cache_path not in paths
    assert not [path for path in paths if path.exists()]


def test_a_switched_off_cache_gives_no_path(
    image: Callable[..., Image], monkeypatch: pytest.MonkeyPatch
):
    """There is no file to speak of."""
    monkeypatch.setenv("USE_MIRAR_CACHE", "off")
    made = image()
    assert made.cache_path is None
    assert made.publish() is None
    for ask in (made.get_cache_path, made.get_cache_data, lambda: made.set_cache_data(np.ones(2))):
        with pytest.raises(CacheError):
            ask()


def limited(code: str) -> str:
    """Let the file system refuse files of more than 100 kB."""
    return f"""
import resource, signal
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
{code}
"""


def test_a_full_disk_is_a_clear_error_and_leaves_nothing(
    run_python: Callable[..., str], tmp_path: Path
):
    """Neither a stub nor a broken image: the old pixels stay."""
    code = """
import sys
import numpy as np
from astropy.io.fits import Header
from mirar_dask.data import CacheError, Image, cache
cache.set_cache_dir(sys.argv[1])
image = Image(np.ones((10, 10)), Header({"RAWPATH": "a", "BASENAME": "a"}))
try:
    image.set_data(np.ones((200, 200)))
except CacheError as error:
    print(error)
assert image.get_data().sum() == 100
assert list(cache.get_cache_dir().iterdir()) == [image.cache_path]
"""
    message = run_python(limited(code), str(tmp_path / "cache"))
    assert "cannot be kept in the cache" in message
    assert "larger than is allowed" in message


def test_a_short_file_is_noticed(
    image: Callable[..., Image], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    """A file system that loses bytes without an error is not believed."""
    cache.set_cache_dir(tmp_path / "cache")
    made = image()
    real_stat = Path.stat

    def stat_of_a_lossy_disk(path: Path, **options: Any) -> os.stat_result:
        found = real_stat(path, **options)
        if path.name.startswith(".tmp-"):
            found = os.stat_result((*found[:6], found.st_size - 1, *found[7:]))
        return found

    monkeypatch.setattr(Path, "stat", stat_of_a_lossy_disk)
    with pytest.raises(CacheError, match="has 199 bytes instead of 200"):
        made.set_data(np.ones((3, 3)))
    assert list(cache.get_cache_dir().iterdir()) == [made.pixels.path]


@pytest.mark.parametrize("mode", ["true", "false"])
def test_python_objects_are_refused(
    header: Callable[..., Any], mode: str, monkeypatch: pytest.MonkeyPatch
):
    """They could only be read back by running code."""
    monkeypatch.setenv("USE_MIRAR_CACHE", mode)
    for wrong in (np.array([object()]), None, {"a": 1}):
        with pytest.raises(ValueError, match="must be numbers"):
            Image(wrong, header())


def test_a_pickle_in_the_place_of_pixels_is_not_loaded(image: Callable[..., Image]):
    """A file that somebody exchanged is refused for its size, and never unpickled."""
    made = image()
    np.save(made.cache_path, np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(CacheError, match="bytes, not"):
        made.get_data()


def test_a_cache_can_be_pickled(tmp_path: Path):
    """The one of the images means that of the process where it arrives."""
    assert pickle.loads(pickle.dumps(cache)) is cache
    other = Cache()
    other.set_cache_dir(tmp_path)
    arrived = pickle.loads(pickle.dumps(other))
    assert arrived.get_cache_dir() == tmp_path
    arrived.close()
    assert tmp_path.exists()


def test_asking_for_the_folder_in_a_task_makes_no_other(tmp_path: Path):
    """The run has one."""
    with use_place(CachePlace(tmp_path, new_key())):
        assert cache.ensure_cache_dir() == tmp_path
    assert cache.cache_dir is None
