"""One run from its first heartbeat to its summary: a request is carried out on its cluster.

`run` and the command line call `run_request`; `watching` gives it work of its own.
"""

from __future__ import annotations

import json
import logging
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mirar_dask.config import cache_folder, check_output_folder
from mirar_dask.planning import cluster_for, plan_request, steps_of
from mirar_dask.request import Request

if TYPE_CHECKING:
    from mirar_dask.cluster.time_limit import TimeLimit
    from mirar_dask.engine.events import Event, Listener
    from mirar_dask.engine.memo import Memo
    from mirar_dask.engine.plan import Plan
    from mirar_dask.engine.types import Engine, RunResult, RunSettings
    from mirar_dask.errors import ErrorStack
    from mirar_dask.monitoring.account import Account
    from mirar_dask.monitoring.cancellation import Ending
    from mirar_dask.monitoring.report import RunSummary
    from mirar_dask.processors.base.outcome import Record

logger = logging.getLogger(__name__)


@dataclass
class Progress:
    """What came out so far of the configurations of a run."""

    errors: ErrorStack
    frames: dict[str, Any] = field(default_factory=dict)
    records: list[Any] = field(default_factory=list)
    reducing: float = 0.0
    """Seconds in which tasks were done."""

    def add(self, result: RunResult) -> None:
        """Take in the result of one more configuration."""
        from mirar_dask.monitoring.state import FAILURES
        from mirar_dask.processors.base.outcome import Status

        for name, status in result.frames.items():
            before = self.frames.get(name)
            # Failed once is failed, and who was worked on was not skipped.
            if before not in FAILURES and not (before and status is Status.SKIPPED):
                self.frames[name] = status
        self.records += result.records
        self.errors += result.errors
        self.reducing += result.phases["reduce"]


Work = Callable[["Engine", Request, "RunSettings", Progress, "Plan"], None]
"""What a run does on its cluster, told to its progress."""


def run_request(
    request: Request,
    *,
    plan: Plan | None = None,
    listeners: Iterable[Listener] = (),
    say: Callable[[str], None] | None = None,
    since: float | None = None,
    run_id: str | None = None,
    limit: TimeLimit | None = None,
    work: Work | None = None,
    expect: Callable[[Mapping[str, Any]], None] | None = None,
) -> RunSummary:
    """Carry a request out.

    Parameters
    ----------
    request : Request
        From `request_night`.
    plan : Plan, optional
        From `plan_request`, where that was called already.
    listeners : list of callables
        Each is called with every event of the run.
    say : callable, optional
        Told what is done before the first event and after the last.
    since : float, optional
        When the work for the request began, as `time.perf_counter` tells it; now by default.
    run_id : str, optional
        Name of the run, if it has one already.
    limit : TimeLimit, optional
        The end of the job in which this runs: some time before nothing new is begun.
    expect : callable, optional
        Told the plan, as `Plan.to_json` gives it.
    work : callable, optional
        What is done on the cluster, in place of running the configurations one after the other.

    Raises
    ------
    UsageError
        If the output folder cannot be written, another run is at work on the night, or the
        cluster cannot be had.
    NothingToDoError
        If no frame could be read.
    """
    from mirar_dask.cluster import connect
    from mirar_dask.cluster.places import Places
    from mirar_dask.data.cache import CachePlace, use_place
    from mirar_dask.engine.journal import Journal
    from mirar_dask.engine.memo import MEMO, Memo
    from mirar_dask.engine.types import RunSettings
    from mirar_dask.errors import ErrorStack
    from mirar_dask.monitoring import run_folder
    from mirar_dask.monitoring.account import Account
    from mirar_dask.monitoring.cancellation import Ending
    from mirar_dask.monitoring.heartbeat import beating
    from mirar_dask.monitoring.log_file import log_to
    from mirar_dask.monitoring.metrics import RunMetrics
    from mirar_dask.monitoring.page.offer import offer_page
    from mirar_dask.monitoring.report import RunSummary
    from mirar_dask.paths import use_roots
    from mirar_dask.resuming import clear_debris, earlier_memos, save_request

    settings, folders, pipeline = request.settings, request.folders, request.pipeline
    spec = request.cluster
    check_output_folder(folders)
    if spec.kind == "slurm-runner":
        from mirar_dask.cluster.runner import serve_unless_first

        serve_unless_first(spec, folders.output)
    started, began = datetime.now(UTC), time.perf_counter()
    since = began if since is None else since
    run_id = run_id or run_folder.new_run_id(started)
    ending = Ending(limit.ending if limit else None)
    before = run_folder.product_files(folders.output)
    progress, account = Progress(ErrorStack()), Account()
    say = say or (lambda text: None)
    with ExitStack() as stack:
        stack.enter_context(use_roots(folders.roots))
        pipeline.set_up_pipeline()
        if plan is None:
            say("reading headers")
            plan = plan_request(request)
        planning = time.perf_counter() - began
        folder = stack.enter_context(beating(folders.output, run_id, ending))
        log = stack.enter_context(log_to(folder / run_folder.LOG))
        stack.enter_context(_telling_where(folders.output, ending))
        journal = stack.enter_context(Journal(folder / run_folder.JOURNAL))
        planned = plan.to_json()
        (folder / run_folder.PLAN).write_text(json.dumps(planned, indent=1) + "\n")
        if expect is not None:
            expect(planned)
        save_request(request, folder)
        clear_debris(folders.output, run_id)
        run_folder.remove_half_written(folders.output)
        earlier = earlier_memos(folders.output, settings.resumes) if settings.skip_existing else []
        memo = stack.enter_context(Memo(folders.output, folder / MEMO, run_id, earlier))
        told = [*_remove_altered(memo), *_replaced(request, before)]
        progress.records += told
        stack.callback(_clear_after_losses, account, folders.output)
        say("starting workers" if spec.kind == "local" else "connecting")
        cache = cache_folder(settings.cache, run_id, folder / run_folder.CACHE)
        if cache is None:
            stack.enter_context(use_place(CachePlace(None, "")))
        places = Places(folders.raw, folder, cache)
        spec = cluster_for(request, plan)
        shown = partial(offer_page, out=str(folders.roots.output), run=str(folder))
        engine = stack.enter_context(connect(spec, folder=folder, places=places, offer=shown))
        # Not those of the plan alone: that of a night which is watched begins empty.
        steps = [step for name in settings.configurations for step in steps_of(request, name)]
        metrics = RunMetrics({step.step_name: type(step).__name__ for step in steps})
        if spec.kind != "serial":
            from mirar_dask.cluster.metrics import telling_metrics

            stack.enter_context(
                telling_metrics(engine, metrics, run=run_id, pipeline=pipeline.name)
            )
        (work or _run_configurations)(
            engine,
            request,
            RunSettings(
                run_id=run_id,
                roots=folders.roots,
                cache_dir=cache,
                fail_fast=settings.fail_fast,
                stopping=limit.stopping if limit else None,
                listeners=(journal, account, metrics, *map(_contained, (log, *listeners))),
                adapt=pipeline.adapt,
                check_memory=settings.memory_check,
                memo=memo,
            ),
            progress,
            plan,
        )
        metrics.over(progress.frames.values())
    products = run_folder.written_since(folders.output, before)
    _save_errors(request, progress.errors)
    seconds = time.perf_counter() - since
    summary = RunSummary(
        run_id=run_id,
        pipeline=pipeline.name,
        night=folders.night,
        configurations=settings.configurations,
        cluster=spec.name,
        workers=account.workers,
        started=started,
        seconds=seconds,
        raw=folders.raw,
        output=folders.output,
        run_folder=folder,
        frames=progress.frames,
        records=tuple(progress.records),
        continues=settings.resumes.name if settings.resumes else None,
        products=products,
        phases={
            # Also the end of the cluster, and whatever else belongs to no other phase.
            "start": seconds - planning - progress.reducing,
            "plan": planning,
            **account.phases(progress.reducing),
        },
        bytes_read=account.meter.read,
        bytes_written=account.meter.written,
    )
    summary.save(folder / run_folder.SUMMARY)
    _leave_report(request, summary)
    return summary


def _leave_report(request: Request, summary: RunSummary) -> None:
    """Leave what people look at: report, measurements and flowchart."""
    from mirar_dask.monitoring.log_file import log_to
    from mirar_dask.monitoring.night_report.ending import leave_report
    from mirar_dask.monitoring.run_folder import LOG
    from mirar_dask.paths import use_roots

    with use_roots(request.folders.roots), log_to(summary.run_folder / LOG):
        flowchart = request.pipeline.get_flowchart_output_path
        leave_report(summary.run_folder, flowchart, summary.seconds)


def _clear_after_losses(account: Account, output: Path) -> None:
    """Remove what workers that died had half written."""
    from mirar_dask.monitoring import run_folder

    if account.lost:
        run_folder.remove_half_written(output)


def _run_configurations(
    engine: Engine, request: Request, settings: RunSettings, progress: Progress, plan: Plan
) -> None:
    """Run the configurations one after the other, each on what the one before left.

    The first begins with the night as the plan found it.
    """
    from mirar_dask.data import Dataset, ImageBatch

    names = request.settings.configurations
    dataset = Dataset([ImageBatch()])
    for number, name in enumerate(names, start=1):
        steps = steps_of(request, name)
        # The files behind the last images belong to the run: they are gone with its cache.
        opened = plan.opened if number == 1 and plan.opened and not plan.opened.late else None
        settings = replace(settings, keep_results=number < len(names), opened=opened)
        result = engine.run(steps, dataset, settings)
        progress.add(result)
        dataset = result.dataset
        if not len(dataset) or (settings.fail_fast and progress.errors.reports):
            break
        if settings.stopping and settings.stopping():
            break


def _remove_altered(memo: Memo) -> list[Record]:
    """Remove masters that were changed since a run made them, so that they are made again."""
    altered = memo.altered_masters()
    for path in altered:
        path.unlink(missing_ok=True)
    reason = "was changed after it was made; it is made again"
    return [_told(f"master {path.name} {reason}") for path in altered]


def _replaced(request: Request, before: Mapping[Path, Any]) -> list[Record]:
    """Say what a run that starts over finds there."""
    if not request.settings.clobber or not before:
        return []
    folders = Counter(str(p.parent.relative_to(request.folders.output)) for p in before)
    where = ", ".join(f"{n} in {name}/" for name, n in sorted(folders.items()))
    return [_told(f"starting over: files of earlier runs are replaced ({where})")]


def _told(reason: str) -> Record:
    from mirar_dask.monitoring.state import PLAN_STEP
    from mirar_dask.processors.base.outcome import Record, Status

    logger.warning("%s", reason)
    return Record((), Status.CAVEATS, PLAN_STEP, reason)


def _save_errors(request: Request, errors: ErrorStack) -> None:
    """Write mirar's summaries of errors, as text and as a table."""
    from mirar_dask.paths import use_roots

    with use_roots(request.folders.roots):
        path = request.pipeline.get_error_output_path()
    errors.summarise_error_stack(path)
    errors.summarise_error_stack_tsv(path.with_suffix(".tsv"))


def _contained(listener: Listener) -> Listener:
    """Let a display that breaks (its terminal is gone) fall silent and not end the run."""
    broken = False

    def listen(event: Event) -> None:
        nonlocal broken
        if broken:
            return
        try:
            listener(event)
        except Exception as error:
            broken = True
            logger.warning("a display broke and is silent from now on: %r", error)

    return listen


@contextmanager
def _telling_where(output: Path, ending: Ending) -> Iterator[None]:
    """Let an interruption say why it came, what it leaves, and where."""
    try:
        yield
    except KeyboardInterrupt as error:
        if ending.reason:
            error.add_note(ending.reason)
        error.add_note(f"What was finished is in {output}, whole")
        raise
