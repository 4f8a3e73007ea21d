"""The composition root, as notebooks and scripts call it: reduce a night, or plan it.

The command line does the same with words and exit codes; nothing below knows of either.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Unpack

from mirar_dask.execution import run_request
from mirar_dask.planning import plan_request
from mirar_dask.request import NightOptions, night_settings, prepare, request_night

if TYPE_CHECKING:
    from mirar_dask.engine.events import Listener
    from mirar_dask.engine.plan import Plan
    from mirar_dask.monitoring.report import RunSummary
    from mirar_dask.pipelines.base_pipeline import Pipeline


def reduce_night(
    pipeline: str | type[Pipeline] = "imager",
    *,
    listeners: Iterable[Listener] = (),
    progress: bool | None = None,
    **options: Unpack[NightOptions],
) -> RunSummary:
    """Reduce a night, as ``mirar-dask run`` does.

    Parameters
    ----------
    pipeline : str or subclass of Pipeline
        A registered name, ``file.py:Name``, ``package.module:Name``, or the class itself.
    listeners : list of callables
        Each is called with every event of the run.
    progress : bool, optional
        Show how far it is: by a bar in a notebook, where that is the default, else as the command
        does.
    **options
        ``raw``, ``night``, ``out``, ``configuration``, ``instrument``, ``parameters``,
        ``calibrations``, ``cluster``, ``workers``, ``memory``, ``cluster_settings``,
        ``cluster_config``, ``cache``, ``memory_check``, ``fail_fast``, ``skip_existing``,
        ``clobber``, ``on_end``, ``email``: see
        `mirar_dask.request.NightOptions`.

    Returns
    -------
    RunSummary
        What became of each frame, the products, the failures, the times.

    Raises
    ------
    UsageError
        If the request cannot be carried out as it stands.
    NothingToDoError
        If there is no frame to reduce.
    """
    from mirar_dask.alarms import telling_end
    from mirar_dask.monitoring.console import make_monitor
    from mirar_dask.monitoring.notebook_bar import in_notebook
    from mirar_dask.monitoring.run_folder import new_run_id

    settings = night_settings(pipeline, **options)
    show = in_notebook() if progress is None else progress
    with telling_end(settings) as end:
        request, run_id = prepare(settings), new_run_id(datetime.now(UTC))
        end.concerns(request, run_id)
        with make_monitor(request.title, quiet=not show) as monitor:
            end.summary = run_request(
                request,
                listeners=[monitor, *listeners],
                say=monitor.phase,
                expect=monitor.expect,
                run_id=run_id,
            )
        return end.summary


def plan_night(pipeline: str | type[Pipeline] = "imager", **options: Unpack[NightOptions]) -> Plan:
    """Find out what `reduce_night` would do with the same options, reading headers only.

    Raises
    ------
    UsageError
        If the request cannot be carried out as it stands.
    NothingToDoError
        If there is no frame to reduce.
    """
    return plan_request(request_night(pipeline, **options))
