"""`mirar-dask plan PIPELINE`: what a run would do, before any pixel is read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mirar_dask.cli.app import verbosity_option
from mirar_dask.cli.options import night_options, settings_from
from mirar_dask.errors import UsageError

if TYPE_CHECKING:
    from rich.console import Console

    from mirar_dask.engine.plan import Plan
    from mirar_dask.request import Request


@click.command(short_help="Show what 'run' would do, before any pixel is read.")
@night_options
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option("--mermaid", "as_mermaid", is_flag=True, help="Print a Mermaid diagram.")
@click.option(
    "--svg",
    "svg_path",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Draw the plan into a file.",
)
@click.option(
    "--png",
    "png_path",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Draw the steps as a flowchart into a file.",
)
@verbosity_option
def plan(
    *,
    as_json: bool,
    as_mermaid: bool,
    svg_path: Path | None,
    png_path: Path | None,
    verbosity: int,
    **options: Any,
) -> None:
    """Show what 'mirar-dask run' would do with the same options: steps, masters, what is missing.

    Only headers are read, and nothing is written but the files of --svg and --png.
    """
    from mirar_dask.planning import plan_request
    from mirar_dask.request import prepare

    if as_json and as_mermaid:
        raise UsageError("--json and --mermaid both print; choose one of them")
    request = prepare(settings_from(options))
    found = plan_request(request)
    if svg_path is not None:
        write_file(svg_path, found.to_svg(), option="--svg")
    if png_path is not None:
        from mirar_dask.monitoring.flowchart import flow_steps, flowchart_png

        drawn = flowchart_png(request.title, found.frames, flow_steps(found.to_json()))
        write_file(png_path, drawn, option="--png")
    if as_json:
        click.echo(json.dumps(found.to_json(), indent=1))
    elif as_mermaid:
        click.echo(found.to_mermaid(), nl=False)
    else:
        _show(request, found)


def show_plan(request: Request, *, json_path: Path | None = None) -> None:
    """Print the plan of a request as a table; write it as JSON if a path is given."""
    from mirar_dask.planning import plan_request

    found = plan_request(request)
    if json_path is not None:
        write_file(json_path, json.dumps(found.to_json(), indent=1) + "\n", option="--json")
    _show(request, found)


def write_file(path: Path, content: str | bytes, *, option: str) -> None:
    """Write a file that an option named, whole or not at all."""
    from mirar_dask.atomic import replacing
    from mirar_dask.errors import WriteError

    try:
        with replacing(path) as temporary:
            raw = content.encode("utf-8") if isinstance(content, str) else content
            temporary.write_bytes(raw)
    except (OSError, WriteError) as error:
        raise UsageError(f"{option}: {error}") from error


def _show(request: Request, found: Plan) -> None:
    from mirar_dask.cluster import layout_text
    from mirar_dask.monitoring.console import make_console
    from mirar_dask.planning import cluster_for

    console = make_console()
    print_plan(found, console, title=request.title)
    layout = layout_text(cluster_for(request, found))
    if layout:
        console.print(f"layout: {layout}", markup=False, highlight=False)
    rest = request.settings.configurations[1:]
    if rest:
        console.print(f"Then {', '.join(rest)}, with what this leaves.", markup=False)


def print_plan(found: Plan, console: Console, *, title: str) -> None:
    """Print a plan: its steps, its masters, what is missing, and what it needs."""
    from rich.table import Table
    from rich.text import Text

    from mirar_dask.engine.plan_views import alike
    from mirar_dask.monitoring.console import failure_line, plural

    console.print(Text(f"{title}: {plural(found.frames, 'frame')}", style="bold"))
    steps = Table(box=None, pad_edge=False, header_style="dim")
    for heading in ("seg", "step", "processor", "works on"):
        steps.add_column(heading, no_wrap=True, overflow="ellipsis")
    for heading in ("batches", "images", "aside"):
        steps.add_column(heading, justify="right", no_wrap=True)
    for row in found.rows():
        steps.add_row(*(Text(cell) for cell in row))
    console.print(steps)
    if found.masters:
        console.print(_masters_table(found))
    for record in alike(found.missing):
        console.print(Text(f"missing: {failure_line(record)}", style="red"))
    for sentence in found.caveats:
        console.print(Text(f"caveat: {sentence}", style="yellow"))
    for sentence in found.late:
        console.print(Text(f"known at run time only: {sentence}", style="dim"))
    for sentence in found.not_resumable:
        console.print(Text(f"not resumable: {sentence}", style="dim"))
    if found.memory:
        size = f"{found.memory / 1e6:.0f} MB"
        console.print(Text(f"largest task: {found.largest}, about {size} of memory"))


def _masters_table(found: Plan) -> Any:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("master for", no_wrap=True)
    table.add_column("made of", justify="right", no_wrap=True)
    table.add_column("used by", justify="right", no_wrap=True)
    table.add_column("file", no_wrap=True, overflow="ellipsis")
    for master in found.masters:
        made = f"{len(master.frames)} frames" if master.made else "there already"
        table.add_row(*map(Text, (master.step, made, f"{master.used_by} images", master.name)))
    return table
