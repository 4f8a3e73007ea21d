"""`mirar-dask resume RUN`: go on with a run that crashed, was interrupted, or had failures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from mirar_dask.cli.app import verbosity_option
from mirar_dask.cli.display import Display, display_options
from mirar_dask.cli.options import (
    alarm_options,
    cluster_options,
    cluster_settings,
    run_id_option,
)
from mirar_dask.cli.run import check_json_path, reduce
from mirar_dask.cli.run_options import output_folder


@click.command(short_help="Go on with a run that crashed, was interrupted or had failures.")
@click.argument("run")
@click.option(
    "--out", type=click.Path(path_type=Path), metavar="DIR", help="Output folder of the run."
)
@click.option("--pipeline", metavar="NAME", help="Its pipeline, if the output folder has several.")
@click.option("-n", "--night", metavar="NIGHT", help="Its night, if there are several.")
@click.option(
    "--set",
    "parameters",
    multiple=True,
    metavar="STEP.PARAM=VALUE",
    help="Change a parameter of a step; what depends on it is redone.",
)
@cluster_options
@click.option("--cache", metavar="on|off|DIR", help="Where pixels are kept between tasks.")
@click.option("--fail-fast", is_flag=True, default=None, help="Stop at the first failure.")
@click.option(
    "--json",
    "json_path",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Write the summary for machines.",
)
@alarm_options
@run_id_option
@display_options
@verbosity_option
def resume(
    *,
    run: str,
    out: Path | None,
    pipeline: str | None,
    night: str | None,
    json_path: Path | None,
    run_id: str | None,
    quiet: bool,
    log_file: Path | None,
    verbosity: int,
    **options: Any,
) -> int:
    """Go on with RUN: its name, the beginning of that, the path of its folder, or 'last'.

    The request of that run is repeated; what is given here changes it. What is done and
    unchanged is not done again, what failed is tried again, and what changed is redone with all
    that depends on it.
    """
    from mirar_dask.config import parse_parameters
    from mirar_dask.monitoring.runs import REQUEST, find_run
    from mirar_dask.resuming import override, read_request

    check_json_path(json_path)
    # One that was killed before it wrote down its request had done nothing.
    folder = find_run(run, output_folder(out), pipeline=pipeline, night=night, holding=REQUEST)
    settings = read_request(folder)
    said = cluster_settings(options)
    given = {**options, "parameters": parse_parameters(options["parameters"])}
    settings = override(settings, {**given, "cluster_settings": said})
    if settings.cluster in (None, "local"):
        from mirar_dask.forkserver import start_early

        start_early()
    display = Display(verbosity, quiet, log_file)
    return reduce(settings, display, json_path=json_path, run_id=run_id)
