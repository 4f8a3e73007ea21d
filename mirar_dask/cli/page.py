"""`mirar-dask page`: the page of nights in a browser, by a small server of its own."""

from __future__ import annotations

from pathlib import Path

import click

from mirar_dask.cli.app import say, verbosity_option
from mirar_dask.cli.run_options import out_option, output_folder

PORT = 8788


@click.command(short_help="Show runs in a browser.")
@click.argument("run", required=False)
@out_option
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=PORT,
    show_default=True,
    help="Port to listen on; 0 takes a free one.",
)
@click.option(
    "--host",
    default="127.0.0.1",
    show_default=True,
    metavar="ADDRESS",
    help="Address to listen on; this machine alone by default.",
)
@verbosity_option
def page(run: str | None, out: Path | None, port: int, host: str, verbosity: int) -> None:
    """Serve the page of RUN, or of all runs of an output folder, until Ctrl-C.

    It is the page that a running night shows at /mirar beside Dask's dashboard; this command shows
    running, finished and crashed runs from their folders, wherever these are seen.
    """
    from mirar_dask.errors import UsageError
    from mirar_dask.monitoring.page.server import is_loopback, serve
    from mirar_dask.monitoring.runs import find_run

    folder = output_folder(out)
    chosen = find_run(run, folder) if run else None
    if chosen is None and not folder.is_dir():
        raise UsageError(f"there is no folder {folder}; name the output folder with --out")
    if not is_loopback(host):
        say(
            f"who reaches {host} sees these runs: the page asks for no password and is not "
            "encrypted"
        )

    def ready(at: int) -> None:
        shown = f"[{host}]" if ":" in host else host
        run_wanted = f"#run={chosen.name}" if chosen else ""
        click.echo(f"http://{shown}:{at}/mirar/{run_wanted}   (Ctrl-C ends it)")

    try:
        serve(out=folder if chosen is None else None, run=chosen, host=host, port=port, ready=ready)
    except KeyboardInterrupt as error:
        if type(error) is not KeyboardInterrupt:  # a signal that is no Ctrl-C
            raise
