"""`mirar-dask plan PIPELINE`: what a run would do, before any pixel is read."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mirar_dask.cli.app import verbosity_option
from mirar_dask.cli.options import night_options, settings_from

if TYPE_CHECKING:
    from mirar_dask.run import Request


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
@verbosity_option
def plan(
    *, as_json: bool, as_mermaid: bool, svg_path: Path | None, verbosity: int, **options: Any
) -> None:
    """Show what 'mirar-dask run' would do with the same options: steps, masters, what is missing.

    Only headers are read, and nothing is written but the file of --svg.
    """


def show_plan(request: Request, *, json_path: Path | None = None) -> None:
    """Print a plan as a table."""
