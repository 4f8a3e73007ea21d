"""A night as it happens: it is watched until it is over, then reduced as a whole.

The command line and notebooks call it. Watching is one run, the final reduction another, which goes
on with what the first has done.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from mirar_dask.config import NightSettings
from mirar_dask.engine.plan import Plan
from mirar_dask.errors import UsageError
from mirar_dask.execution import run_request
from mirar_dask.io import list_frames
from mirar_dask.planning import steps_of
from mirar_dask.processors.base_processor import BaseImageLoader
from mirar_dask.request import Request, prepare
from mirar_dask.watching.follower import Follower
from mirar_dask.watching.ledger import Ledger, earlier_ledger
from mirar_dask.watching.observer import choose_means
from mirar_dask.watching.options import WatchOptions, read_moment
from mirar_dask.watching.superseded import read_summary, remove_superseded

if TYPE_CHECKING:
    from mirar_dask.engine.events import Listener
    from mirar_dask.monitoring.report import RunSummary

NOTHING = Plan([], [], [], 0, [], [], [], 0, "")
"""Plan of a night of which nothing is there yet."""


@dataclass(frozen=True)
class Watched:
    """What came of a night that was watched."""

    watch: RunSummary
    """Of the run that watched."""
    final: RunSummary
    """Of the final reduction."""
    removed: tuple[Path, ...]
    """Provisional products that the night as a whole does not have."""


def request_watch(settings: NightSettings, options: WatchOptions) -> Request:
    """Make a request of settings whose frames are still to come.

    Raises
    ------
    UsageError
        If something that was named is not there, or the night cannot be watched so.
    """
    request = prepare(replace(settings, skip_existing=True), to_come=True)
    earlier = earlier_ledger(request.folders.output, "")
    if earlier is not None:
        resumed = replace(request.settings, resumes=earlier.parent)
        request = replace(request, settings=resumed)
    _check(request, options)
    return request


def _check(request: Request, options: WatchOptions) -> None:
    """Make sure, before the work, that a night can be watched as is wished.

    Raises
    ------
    UsageError
        If not.
    """
    if options.until is not None:
        read_moment(options.until, datetime.now(UTC))
    choose_means(request.folders.raw, options.observe)
    names = [options.realtime] if options.realtime else []
    for name in (*names, request.settings.configurations[0]):
        steps = steps_of(request, name)
        if not steps or not isinstance(steps[0], BaseImageLoader):
            raise UsageError(
                f"configuration '{name}' of pipeline '{request.pipeline.name}' does not begin with "
                "a loader, so that no folder can be watched; reduce it with 'mirar-dask run'"
            )


def follow_night(
    request: Request,
    options: WatchOptions,
    *,
    listeners: Iterable[Listener] = (),
    say: Callable[[str], None] = lambda text: None,
    phase: Callable[[str], None] | None = None,
    midway: Callable[[Ledger], None] | None = None,
    since: float | None = None,
    run_id: str | None = None,
) -> RunSummary:
    """Watch a night until it is over, and return what came of it.

    Parameters
    ----------
    request : Request
        From `request_watch`.
    options : WatchOptions
        How.
    listeners : list of callables
        Each is called with every event.
    say : callable
        Told, in a sentence, what has happened.
    phase : callable, optional
        Told what is done before the first frame.
    midway : callable, optional
        Given the ledger once, some hours after the beginning.
    since, run_id
        As for `mirar_dask.execution.run_request`.
    """
    follower = Follower(options, say, midway)
    return run_request(
        request,
        plan=NOTHING,
        listeners=listeners,
        say=phase,
        since=since,
        run_id=run_id,
        work=follower,
    )


def final_settings(settings: NightSettings, watch: Path) -> NightSettings:
    """Return the settings of the final reduction, which goes on with what was done.

    Parameters
    ----------
    settings : NightSettings
        Of the night.
    watch : Path
        Folder of the run that watched it.
    """
    return replace(settings, skip_existing=True, resumes=watch)


def came_meanwhile(request: Request, final: Path) -> list[str]:
    """Names of frames that have come since the final reduction, by its folder, listed them."""
    known = read_summary(final).get("frames", {})
    return [path.name for path in list_frames(request.folders.raw) if path.name not in known]


def watch_night(
    settings: NightSettings,
    options: WatchOptions | None = None,
    *,
    say: Callable[[str], None] = lambda text: None,
    listeners: Iterable[Listener] = (),
) -> Watched:
    """Watch a night, and reduce it as a whole when it is over, as ``mirar-dask watch`` does.

    Parameters
    ----------
    settings : NightSettings
        The night, its pipeline, its folders, the cluster.
    options : WatchOptions, optional
        How it is watched.
    say : callable
        Told, in a sentence, what has happened.
    listeners : list of callables
        Each is called with every event of both runs.

    Raises
    ------
    UsageError
        If the request cannot be carried out as it stands.
    NothingToDoError
        If no frame came.
    """
    options = options or WatchOptions()
    removed: list[Path] = []
    while True:
        request = request_watch(settings, options)
        watch = follow_night(request, options, listeners=listeners, say=say)
        final = run_request(
            prepare(final_settings(settings, watch.run_folder)), listeners=listeners
        )
        removed += remove_superseded(request.folders.output, final.run_folder)
        if options.until is not None or not came_meanwhile(request, final.run_folder):
            return Watched(watch, final, tuple(removed))
