"""`mirar-dask run PIPELINE`: reduce a night."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mirar_dask.cli.app import say, verbosity_option
from mirar_dask.cli.display import Display, display_options, logging_to
from mirar_dask.cli.options import (
    alarm_options,
    may_be_local,
    night_options,
    run_id_option,
    settings_from,
)
from mirar_dask.errors import UsageError

if TYPE_CHECKING:
    from rich.console import Console

    from mirar_dask.alarms.telling import End
    from mirar_dask.config import NightSettings
    from mirar_dask.monitoring.report import RunSummary
    from mirar_dask.request import Request


@click.command(short_help="Reduce a night.")
@night_options
@click.option("--fail-fast", is_flag=True, help="Begin nothing new after the first failure.")
@click.option(
    "--skip-existing", is_flag=True, help="Do not do again what earlier runs of the night did."
)
@click.option("--clobber", is_flag=True, help="Make masters again that earlier runs left.")
@click.option("--dry-run", is_flag=True, help="Show the plan and stop.")
@click.option(
    "--json",
    "json_path",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Write the summary (with --dry-run: the plan) for machines.",
)
@alarm_options
@run_id_option
@display_options
@verbosity_option
def run(
    *,
    dry_run: bool,
    json_path: Path | None,
    run_id: str | None,
    quiet: bool,
    log_file: Path | None,
    verbosity: int,
    **options: Any,
) -> int:
    """Reduce a night by PIPELINE.

    PIPELINE is a name that 'mirar-dask pipelines' lists, file.py:Name or package.module:Name.

    Exit codes: 0 all well, caveats included; 1 something failed; 2 wrong usage; 3 nothing could
    be done.
    """
    if may_be_local(options) and not dry_run:
        from mirar_dask.forkserver import start_early

        start_early()
    check_json_path(json_path)
    settings = settings_from(options)
    if dry_run:
        from mirar_dask.cli.plan import show_plan
        from mirar_dask.request import prepare

        show_plan(prepare(settings), json_path=json_path)
        return 0
    display = Display(verbosity, quiet, log_file)
    return reduce(settings, display, json_path=json_path, run_id=run_id)


def reduce(
    settings: NightSettings,
    display: Display,
    *,
    json_path: Path | None = None,
    run_id: str | None = None,
) -> int:
    """Carry out what settings ask for, and tell whoever wants to know of the end.

    A night that cannot even be begun (no frames, say) is told of too. Returns the exit code.
    """
    from mirar_dask.alarms import telling_end
    from mirar_dask.monitoring.report import utc_now
    from mirar_dask.monitoring.run_folder import new_run_id
    from mirar_dask.request import prepare

    with telling_end(settings, complain=say) as end:
        request = prepare(settings)
        run_id = run_id or new_run_id(utc_now())
        end.concerns(request, run_id)
        return _carry_out(request, end, display, json_path=json_path, run_id=run_id)


def check_json_path(path: Path | None) -> None:
    """Make sure, before the work, that the summary can be written where it is wanted."""
    if path is not None and not path.absolute().parent.is_dir():
        raise UsageError(f"--json {path}: there is no folder {path.absolute().parent}; make it")


def _carry_out(
    request: Request, end: End, display: Display, *, json_path: Path | None, run_id: str
) -> int:
    """Run a request with a display, print what came out, and return the exit code.

    In a job whose time is over too early another one goes on with the run.
    """
    from mirar_dask.cluster.time_limit import TimeLimit
    from mirar_dask.execution import run_request
    from mirar_dask.monitoring.console import make_console, make_monitor, plural
    from mirar_dask.monitoring.run_folder import folder_of

    monitor = make_monitor(request.title, quiet=display.quiet)
    limit = TimeLimit.here()
    try:
        with monitor, logging_to(monitor, display.verbosity, display.log_file) as log:
            summary = run_request(
                request,
                listeners=[monitor, log],
                say=monitor.phase,
                expect=monitor.expect,
                since=click.get_current_context().obj,
                run_id=run_id,
                limit=limit,
            )
    except KeyboardInterrupt as error:
        if limit is not None and limit.stopped:
            from mirar_dask.submit import go_on

            error.add_note(go_on(request, folder_of(request.folders.output, run_id)))
        raise
    end.summary = summary
    if json_path is not None:
        summary.save(json_path)
    if not display.quiet:
        show_summary(summary, make_console())
    elif summary.failures:
        n = plural(len(summary.failures), "failure")
        say(f"{n}: 'mirar-dask report {summary.run_folder}' lists them")
    if limit is not None and limit.cut_short(summary.failures):
        from mirar_dask.submit import go_on

        end.why = go_on(request, summary.run_folder)
        say(end.why)
    return summary.exit_code


def show_summary(
    summary: RunSummary, console: Console, extra: Iterable[tuple[str, str]] = ()
) -> None:
    """Print what came out of a run."""
    from mirar_dask.monitoring.report import summary_report

    console.print()
    for part in summary_report(summary, extra):
        console.print(part)
