"""`mirar-dask report RUN`: what came out of a run, as text, as JSON, and as an HTML file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mirar_dask.cli.app import verbosity_option
from mirar_dask.cli.run_options import find, run_argument, standing_of
from mirar_dask.errors import UsageError

if TYPE_CHECKING:
    from mirar_dask.monitoring.standing import Standing


@click.command(short_help="Show what came out of a run.")
@run_argument
@click.option("--tracebacks", is_flag=True, help="Show the traceback of each failure.")
@click.option(
    "--task",
    metavar="NAME",
    help="Show one task, with what it logged: its number, a frame, a step, a batch; a list where "
    "several are meant.",
)
@click.option("--tasks", is_flag=True, help="List the tasks.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, tracebacks included.")
@click.option(
    "--html",
    "html_path",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Write the report as one HTML file, here in place of the run's folder.",
)
@click.option("--open", "open_it", is_flag=True, help="Show the HTML file in a browser.")
@verbosity_option
def report(
    run: str,
    out: Path | None,
    tracebacks: bool,
    task: str | None,
    tasks: bool,
    as_json: bool,
    html_path: Path | None,
    open_it: bool,
    verbosity: int,
) -> None:
    """Show what came out of RUN: frames, products, every failure by kind, caveats, the seconds.

    RUN is a run's name, the beginning of one, or the path of a run's folder; without it the newest
    run is shown. A run that goes on, or crashed, is reported as far as it came.

    The report with board, plots, pictures and measurements is one HTML file, report.html in the
    run's folder. It is made anew each time, where that folder can be written to.
    """
    from mirar_dask.monitoring.console import make_console
    from mirar_dask.monitoring.outcome_report import read_report, report_view

    if task is not None or tasks:
        _show_tasks(find(run, out), task, as_json=as_json)
        return
    standing = standing_of(run, out)
    found = read_report(standing)
    if as_json:
        if html_path is not None:
            _write(standing, html_path)
        click.echo(json.dumps(found.to_json(), indent=1))
        return
    console = make_console()
    for part in report_view(found, tracebacks=tracebacks):
        console.print(part)
    path = _write(standing, html_path, needed=html_path is not None or open_it)
    if path is not None:
        click.echo(f"report     {path}")
        if open_it:
            _show(path)


def _show_tasks(folder: Path, name: str | None, *, as_json: bool) -> None:
    """Show the tasks of a run that are meant by a name; all of them without one."""
    from mirar_dask.monitoring.console import make_console
    from mirar_dask.monitoring.heartbeat import read_sign
    from mirar_dask.monitoring.run_folder import JOURNAL
    from mirar_dask.monitoring.task_view import task_view, tasks_view
    from mirar_dask.monitoring.tasks import find_tasks, read_tasks

    sign = read_sign(folder)
    known = read_tasks(folder / JOURNAL, over=sign is None or not sign.alive())
    found = known if name is None else find_tasks(known, name)
    if name is not None and not found:
        have = f"it has {len(known)}; --tasks lists them" if known else "it has none"
        raise UsageError(f"run {folder.name} has no task that '{name}' would mean: {have}")
    if as_json:
        click.echo(json.dumps([each.to_json() for each in found], indent=1))
        return
    console = make_console()
    one = name is not None and len(found) == 1
    for part in task_view(found[0]) if one else tasks_view(found):
        console.print(part)


def _write(standing: Standing, path: Path | None, *, needed: bool = True) -> Path | None:
    """Write the HTML file; where nobody asked for it, a folder of somebody else is no error."""
    from mirar_dask.errors import WriteError
    from mirar_dask.monitoring.night_report import write_report

    try:
        return write_report(standing, path)
    except (OSError, WriteError) as error:
        if needed:
            raise UsageError(f"{error}; name another place with --html FILE") from error
        return None


def _show(path: Path) -> None:
    """Hand the file to the browser of this machine."""
    import webbrowser

    if not webbrowser.open(path.absolute().as_uri()):
        raise UsageError(f"no browser was found here; open {path} in one yourself")
