"""Small parts of the engine: files, orders, packing, statuses."""

from __future__ import annotations

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from mirar_dask.data import Dataset
from mirar_dask.engine.order import Order
from mirar_dask.engine.packing import Packing
from mirar_dask.engine.release import FileLedger
from mirar_dask.engine.tally import frame_statuses
from mirar_dask.engine.travel import files_of, pack, unpack
from mirar_dask.processors.base.outcome import Record, Status

A, B = Path("a.npy"), Path("b.npy")


def test_a_file_goes_when_the_last_one_lets_go_of_it() -> None:
    """And not before."""
    ledger = FileLedger()
    ledger.made([A])
    ledger.hold([A, A])
    ledger.drop([A])
    assert ledger.garbage() == []
    ledger.drop([A])
    assert ledger.garbage() == [A]
    assert ledger.garbage() == []


def test_a_file_of_the_caller_is_never_garbage() -> None:
    """Only files that outcomes brought into being are removed."""
    ledger = FileLedger()
    ledger.hold([B])
    ledger.drop([B])
    assert ledger.garbage() == []


def test_a_file_that_nobody_asked_for_is_garbage() -> None:
    """An outcome may mention a file that no state took over."""
    ledger = FileLedger()
    ledger.made([A])
    assert ledger.garbage() == [A]


@given(st.lists(st.sampled_from(["hold", "drop"]), max_size=30))
def test_the_ledger_never_lets_go_of_a_file_that_is_held(moves: list[str]) -> None:
    """Whatever the order of holds and drops."""
    ledger = FileLedger()
    ledger.made([A])
    ledger.hold([A])
    held = 1
    for move in moves:
        if move == "hold":
            ledger.hold([A])
            held += 1
        elif held > 1:
            ledger.drop([A])
            held -= 1
        assert ledger.garbage() == []
    for _ in range(held):
        ledger.drop([A])
    assert ledger.garbage() == [A]


def test_orders_compare_as_the_path_on_which_batches_came() -> None:
    """A rank that is not decided yet is asked again later."""
    known: dict[str, int] = {}
    late = Order().then(0).then(lambda: known.get("x"))
    assert not late.decided()
    known["x"] = 3
    assert late.decided()
    assert Order().then(0, 2).key() < late.key() < Order().then(1).key()


def test_packs_follow_what_images_take_and_shrink_towards_the_end() -> None:
    """About a second a task, and never so much that a worker is left without work."""
    packing = Packing(slots=4, seconds=1.0)
    packing.learn((1,), 10, 1.0)
    assert packing.size((1,), waiting=1000, nbytes=1) == 10
    assert packing.size((1,), waiting=16, nbytes=1) == 2
    assert packing.size((1,), waiting=1, nbytes=1) == 1


def test_many_workers_get_longer_tasks() -> None:
    """One scheduler hears of the end of every task: not more than some tens a second."""
    packing = Packing(slots=200, seconds=1.0)
    packing.learn((1,), 1, 1.0)
    assert packing.size((1,), waiting=10_000, nbytes=1) == 4
    assert packing.size((1,), waiting=400, nbytes=1) == 2
    packing.free = 100
    assert packing.size((1,), waiting=300, nbytes=1) == 3
    assert packing.size((1,), waiting=300, nbytes=1, awaited=True) == 1


def test_little_is_risked_on_images_of_which_nothing_is_known() -> None:
    """Where many workers would otherwise get large packs at once."""
    assert Packing(slots=200).size((1,), waiting=10_000, nbytes=1) == 5


@given(st.integers(1, 5000), st.integers(0, 10**10), st.integers(1, 64))
def test_bands_cover_all_rows_once(rows: int, nbytes: int, slots: int) -> None:
    """From the first row to the last, in order."""
    edges = Packing(slots).bands(rows, nbytes)
    assert edges[0] == 0
    assert edges[-1] == rows
    assert edges == sorted(set(edges))


def test_the_worst_status_of_a_frame_counts() -> None:
    """A frame that was set aside in one place and failed in another has failed."""
    records = [
        Record(("a", "b"), Status.SET_ASIDE, "select", ""),
        Record(("a",), Status.FAILED, "bias", ""),
        Record(("c",), Status.LOST, "dark", ""),
    ]
    found = frame_statuses(["a", "b", "d"], records, Dataset())
    assert found == {
        "a": Status.FAILED,
        "b": Status.SET_ASIDE,
        "d": Status.SET_ASIDE,
        "c": Status.LOST,
    }


def test_frames_that_a_stop_kept_back_are_blocked() -> None:
    """Those that are known to be set aside stay so."""
    records = [
        Record(("a",), Status.FAILED, "bias", ""),
        Record(("b",), Status.SET_ASIDE, "select", ""),
        Record(("c",), Status.CAVEATS, "bias", ""),
    ]
    found = frame_statuses(["a", "b", "c", "d"], records, Dataset(), stopped=True)
    assert found == {
        "a": Status.FAILED,
        "b": Status.SET_ASIDE,
        "c": Status.BLOCKED,
        "d": Status.BLOCKED,
    }


def test_contexts_travel_as_paths() -> None:
    """Arrays in lists, tuples and dicts become files, and come back read-only."""
    import numpy as np

    value = {"a": [np.arange(2000.0), 3], "b": ("text", np.ones((40, 40)))}
    files: list[Path] = []
    packed = pack(value, files)
    assert len(files) == 2
    assert files_of(packed) == files
    back = unpack(packed)
    np.testing.assert_array_equal(back["a"][0], value["a"][0])
    assert back["b"][0] == "text"
    assert not back["b"][1].flags.writeable


def test_small_masters_are_divided_where_workers_would_be_idle_large_ones_always() -> None:
    """Others wait for a large one, whatever else there is to do."""
    packing = Packing(slots=4)
    small, large = 256 << 20, 8 << 30
    assert [len(packing.bands(2048, small, busy)) - 1 for busy in (0, 2, 3, 9)] == [4, 2, 1, 1]
    assert [len(packing.bands(2048, large, busy)) - 1 for busy in (0, 9)] == [4, 4]
    assert packing.bands(2048, 1 << 20) == [0, 2048]
