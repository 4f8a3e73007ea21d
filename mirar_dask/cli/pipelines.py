"""`mirar-dask pipelines`: what can be given as PIPELINE, with its configurations."""

from __future__ import annotations

import click

from mirar_dask.cli.app import verbosity_option


@click.command(short_help="List the pipelines and their configurations.")
@verbosity_option
def pipelines(verbosity: int) -> None:
    """List the pipelines that can be loaded by name, and their configurations.

    A pipeline of your own is given as file.py:Name or package.module:Name.
    """
    from rich.table import Table

    from mirar_dask.errors import MirarDaskError
    from mirar_dask.monitoring.console import make_console
    from mirar_dask.registry import available_pipelines, load_pipeline

    table = Table("pipeline", "configurations", "what it does", box=None, header_style="bold")
    broken = []
    for name, place in available_pipelines().items():
        try:
            pipeline = load_pipeline(name)
            configurations = ", ".join(pipeline.all_pipeline_configurations)
            description = (pipeline.__doc__ or "").strip().partition("\n\n")[0]
        except MirarDaskError as error:  # one broken package must not hide the others
            broken.append(str(error))
            configurations, description = "", f"cannot be loaded ({place})"
        table.add_row(name, configurations, " ".join(description.split()))
    make_console().print(table)
    for reason in broken:
        click.echo(reason, err=True)
