"""`mirar-dask watch PIPELINE`: reduce a night as it happens."""

from __future__ import annotations

import time
from collections.abc import Callable
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

if TYPE_CHECKING:
    from mirar_dask.config import NightSettings
    from mirar_dask.request import Request
    from mirar_dask.watching import WatchOptions

_TIMES = (
    ("--interval", "2s", "Between two looks at the folder, where nothing tells of changes."),
    ("--stable", "1s", "Without a change, until a file is examined."),
    (
        "--incomplete-after",
        "60s",
        "Without a change, until a file that is not complete has failed.",
    ),
    ("--endless-after", "10min", "Until a file that is still being written has failed."),
    (
        "--calibrations-after",
        "60s",
        "Without a further calibration frame, until they are taken up.",
    ),
    ("--dithers-after", "1h", "Without a further frame, until an incomplete set is stacked."),
    ("--quiet-after", "2h", "Without a new frame, until the night is reduced as a whole."),
    ("--midway-after", "16h", "From the beginning to the midway report."),
    ("--final-after", "48h", "From the beginning, until the night is over at the latest."),
)


def watch_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that say how a night is watched."""
    options = [
        click.option(
            "--observe",
            type=click.Choice(["auto", "events", "polling"]),
            default="auto",
            show_default=True,
            help="How new files are noticed: by events of the file system, or by looking again.",
        ),
        *(
            click.option(name, default=default, show_default=True, metavar="TIME", help=text)
            for name, default, text in _TIMES
        ),
        click.option(
            "--until",
            metavar="TIME",
            help="When the night is over at the latest: 06:30 (local), 13:30Z, or a date and time.",
        ),
        click.option(
            "--realtime",
            metavar="NAME",
            help="Configuration for frames as they come (default: realtime, if the pipeline has "
            "one, else the beginning of the night's own).",
        ),
    ]
    for option in reversed(options):
        command = option(command)
    return command


@click.command(short_help="Reduce a night as it happens.")
@night_options
@watch_options
@click.option(
    "--json",
    "json_path",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Write the summary of the final reduction for machines.",
)
@alarm_options
@run_id_option
@display_options
@verbosity_option
def watch(
    *,
    json_path: Path | None,
    run_id: str | None,
    quiet: bool,
    log_file: Path | None,
    verbosity: int,
    **options: Any,
) -> int:
    """Reduce a night by PIPELINE while its frames come into a folder.

    Each frame is calibrated as soon as it is complete, and each set of dithers stacked; when the
    night is over it is reduced as a whole, as 'run' would. The same command goes on with a night
    whose watch was interrupted. Ctrl-C ends it; nothing that was finished is lost.

    Exit codes are those of 'run', of the final reduction.
    """
    if may_be_local(options):
        from mirar_dask.forkserver import start_early

        start_early()
    from mirar_dask.cli.run import check_json_path, reduce
    from mirar_dask.monitoring.console import plural
    from mirar_dask.monitoring.report import utc_now
    from mirar_dask.monitoring.run_folder import folder_of, new_run_id
    from mirar_dask.watching.night import came_meanwhile, final_settings
    from mirar_dask.watching.superseded import remove_superseded

    check_json_path(json_path)
    how = _watch_options(options)
    settings = settings_from(options)
    display = Display(verbosity, quiet, log_file)
    while True:
        request, watched = _follow(settings, how, display, run_id)
        # The time of the final reduction begins here, and not hours ago with the process.
        click.get_current_context().obj = time.perf_counter()
        final = new_run_id(utc_now())
        code = reduce(final_settings(settings, watched), display, json_path=json_path, run_id=final)
        folder = folder_of(request.folders.output, final)
        removed = remove_superseded(request.folders.output, folder)
        if removed:
            say(f"{plural(len(removed), 'provisional product')} removed")
        came = came_meanwhile(request, folder)
        if how.until is not None or not came:
            return code
        say(f"{plural(len(came), 'frame')} came meanwhile; the night is watched on")
        run_id = None


def _watch_options(options: dict[str, Any]) -> WatchOptions:
    """Take the options of watching out of a command's."""
    from mirar_dask.watching.options import WatchOptions, read_seconds

    names = [(name, name.strip("-").replace("-", "_")) for name, _, _ in _TIMES]
    times: dict[str, Any] = {key: read_seconds(options.pop(key), name=name) for name, key in names}
    rest = {key: options.pop(key) for key in ("observe", "until", "realtime")}
    return WatchOptions(**times, **rest)


def _follow(
    settings: NightSettings, how: WatchOptions, display: Display, run_id: str | None
) -> tuple[Request, Path]:
    """Watch with a display: a panel on a terminal, else a line for each thing that happens.

    Returns the request, and the folder of the run. That the night is over is told of when it was
    reduced as a whole, and an interruption at once.
    """
    from mirar_dask.alarms import telling_end
    from mirar_dask.monitoring.console import PlainLines, make_monitor
    from mirar_dask.monitoring.report import utc_now
    from mirar_dask.monitoring.run_folder import new_run_id
    from mirar_dask.watching.display import Sparing
    from mirar_dask.watching.night import follow_night, request_watch
    from mirar_dask.watching.report import Midway

    with telling_end(settings, complain=say) as end:
        request = request_watch(settings, how)
        run_id = run_id or new_run_id(utc_now())
        end.concerns(request, run_id)
        monitor = make_monitor(f"watching {request.title}", quiet=display.quiet)
        shown = Sparing(monitor) if isinstance(monitor, PlainLines) else monitor
        try:
            with monitor, logging_to(monitor, display.verbosity, display.log_file) as log:
                summary = follow_night(
                    request,
                    how,
                    listeners=[shown, log],
                    say=monitor.note,
                    phase=monitor.phase,
                    midway=Midway(request, monitor.note),
                    since=click.get_current_context().obj,
                    run_id=run_id,
                )
        except KeyboardInterrupt as error:
            error.add_note("The same command goes on with the night")
            raise
    return request, summary.run_folder
