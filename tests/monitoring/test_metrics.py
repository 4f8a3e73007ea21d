"""A run as figures for Prometheus: what each event adds."""

from __future__ import annotations

from mirar_dask.data.metering import Meter
from mirar_dask.engine.events import (
    RecordAdded,
    RunEnded,
    RunStarted,
    Sampled,
    TaskFinished,
    TaskLost,
    TaskSubmitted,
)
from mirar_dask.errors import ErrorReport
from mirar_dask.monitoring.metrics import FAMILIES, MOST_KINDS, OTHER, RunMetrics
from mirar_dask.processors.base.outcome import Record, Status

STARTED = RunStarted("r1", 0.0, ("bias", "flat"), ("a.fits", "b.fits"))


def figures(*events: object) -> dict[tuple[str, ...], float]:
    metrics = RunMetrics({"bias": "BiasCalibrator", "flat": "FlatCalibrator"})
    for event in (STARTED, *events):
        metrics(event)  # type: ignore[arg-type]
    return {(name, *labels): n for name, labels, n in metrics.values()}


def submitted(number: int, label: str = "bias+flat") -> TaskSubmitted:
    return TaskSubmitted(label, number, 1, ("a.fits",), 1.0)


def finished(number: int, label: str = "bias+flat") -> TaskFinished:
    times = (("bias", 0.25, 1), ("flat", 0.5, 1))
    meter = Meter(read={"raw": 100}, written={"products": 50})
    return TaskFinished(label, number, 1, ("a.fits",), "w", 1.0, times, 2.0, meter)


def test_a_task_counts_for_each_processor_in_it():
    """Tasks and images by processor and status, seconds and bytes."""
    found = figures(submitted(1), finished(1), submitted(2))
    assert found["tasks_total", "finished"] == 1
    assert found["step_tasks_total", "bias", "BiasCalibrator", "finished"] == 1
    assert found["step_images_total", "flat", "FlatCalibrator", "passed"] == 1
    assert found["step_seconds_total", "flat", "FlatCalibrator"] == 0.5
    assert found["read_bytes_total", "raw"] == 100
    assert found["written_bytes_total", "products"] == 50
    assert found["active_tasks",] == 1
    assert found["active_frames",] == 2


def test_the_making_of_a_master_belongs_to_its_step():
    """A label such as "bias master" is no processor of its own."""
    found = figures(submitted(1, "bias master"), finished(1, "bias master"))
    assert found["step_tasks_total", "bias", "BiasCalibrator", "finished"] == 1


def test_a_lost_task_is_retried_or_lost():
    """Both are told apart, and neither is under way any more."""
    lost = [TaskLost("bias", n, 1, ("a.fits",), "killed", n == 1, 2.0) for n in (1, 2)]
    found = figures(submitted(1), submitted(2), *lost)
    assert (found["tasks_total", "retried"], found["tasks_total", "lost"]) == (1, 1)
    assert found["active_tasks",] == 0


def test_failures_are_counted_by_the_class_of_their_error():
    """What has no error of its own is of the kind that its status names."""
    report = ErrorReport(ValueError("x"), "flat", ["a.fits"])
    records = [
        Record(("a.fits",), Status.FAILED, "flat", "ValueError: x", report),
        Record(("b.fits",), Status.BLOCKED, "flat", "no master"),
        Record(("c.fits", "d.fits"), Status.SET_ASIDE, "bias", "not wanted"),
    ]
    found = figures(*(RecordAdded(record, 1.0) for record in records))
    assert found["failures_total", "flat", "ValueError"] == 1
    assert found["failures_total", "flat", "blocked"] == 1
    assert found["step_images_total", "bias", "BiasCalibrator", "set aside"] == 2


def test_kinds_of_failures_do_not_grow_without_end():
    """Code that makes a class for each error does not make a series for each."""
    records = []
    for number in range(3 * MOST_KINDS):
        error = type(f"Error{number}", (ValueError,), {})("x")
        report = ErrorReport(error, "flat", ["a.fits"])
        records.append(Record(("a.fits",), Status.FAILED, "flat", "x", report))
    found = figures(*(RecordAdded(record, 1.0) for record in records))
    kinds = {labels[2]: n for labels, n in found.items() if labels[0] == "failures_total"}
    assert len(kinds) == MOST_KINDS + 1
    assert kinds[OTHER] == 2 * MOST_KINDS


def test_what_a_run_takes_up_is_its_last_sample():
    """Cache and disk are gauges."""
    samples = [Sampled(n, cache_files=n, cache_bytes=10 * n, disk_free=100) for n in (5, 3)]
    found = figures(*samples, RunEnded({}, 1.0, 2.0))
    assert (found["cache_files",], found["cache_bytes",]) == (3, 30)
    assert found["disk_free_bytes",] == 100


def test_frames_are_counted_when_the_run_is_over():
    """By status; every status is there from the beginning, so that its first increase is seen."""
    metrics = RunMetrics()
    metrics(STARTED)
    before = {tuple(labels): n for name, labels, n in metrics.values() if name == "frames_total"}
    assert before == {(status.value,): 0 for status in Status}
    metrics.over([Status.SUCCEEDED, Status.FAILED, Status.SUCCEEDED])
    found = {tuple(labels): n for name, labels, n in metrics.values() if name == "frames_total"}
    assert (found["succeeded",], found["failed",]) == (2, 1)


def test_every_figure_is_of_a_family_with_its_labels():
    """What is told can be described to Prometheus."""
    labels = {name: len(parts) for name, _, parts, _ in FAMILIES}
    record = RecordAdded(Record(("a",), Status.FAILED, "flat", "x"), 1.0)
    found = figures(submitted(1), finished(1), Sampled(1.0), record)
    assert {key[0]: len(key) - 1 for key in found}.items() <= labels.items()
    assert all(name.endswith("_total") == (kind == "counter") for name, _, _, kind in FAMILIES)
