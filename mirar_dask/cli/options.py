"""The options that `run` and `plan` share, and how they become one `NightSettings`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from mirar_dask.config import NightSettings, parse_parameters

_PATH = click.Path(path_type=Path)

_OPTIONS = (
    click.argument("pipeline"),
    click.option("--raw", type=_PATH, metavar="DIR", help="Folder that holds the night's frames."),
    click.option(
        "-n",
        "--night",
        metavar="NIGHT",
        help="Name of the night; without --raw its frames are in RAW_DATA_DIR/PIPELINE/NIGHT/raw.",
    ),
    click.option(
        "--out", type=_PATH, metavar="DIR", help="Output folder (default: OUTPUT_DATA_DIR)."
    ),
    click.option(
        "-c",
        "--configuration",
        default="default",
        show_default=True,
        metavar="NAME[,NAME]",
        help="Configurations of the pipeline, one after the other.",
    ),
    click.option(
        "--instrument",
        type=click.Path(exists=True, dir_okay=False, path_type=Path),
        metavar="FILE.toml",
        help="Description of the camera.",
    ),
    click.option(
        "--set",
        "parameters",
        multiple=True,
        metavar="STEP.PARAM=VALUE",
        help="Parameter of a step, such as flat.missing=skip; may be given again and again.",
    ),
    click.option(
        "--calibrations",
        type=click.Path(exists=True, file_okay=False, path_type=Path),
        multiple=True,
        metavar="DIR",
        help="Folder with calibration frames or masters of other nights.",
    ),
    click.option(
        "--cluster",
        default="local",
        show_default=True,
        metavar="KIND",
        help="serial, threads, local (processes) or the address of a Dask scheduler.",
    ),
    click.option(
        "--workers",
        type=click.IntRange(min=1),
        metavar="N",
        help="Number of workers (default: MAX_N_CPU, else what fits this machine).",
    ),
    click.option("--memory", metavar="SIZE", help="Memory of each worker, such as 4GB."),
    click.option(
        "--memory-check/--no-memory-check",
        default=True,
        help="Refuse a plan whose largest task does not fit (default) or try all the same.",
    ),
)


def night_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that say which night is reduced, how, where and by what."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def settings_from(options: dict[str, Any], *, fail_fast: bool = False) -> NightSettings:
    """Turn the values of `night_options` into settings.

    Parameters
    ----------
    options : dict
        Keyword arguments that click gave the command.
    fail_fast : bool
        Whether the first failure ends the run.
    """
    from mirar_dask.paths import load_env

    load_env()
    names = tuple(name.strip() for name in options.pop("configuration").split(",") if name.strip())
    return NightSettings(
        configurations=names or ("default",),
        parameters=parse_parameters(options.pop("parameters")),
        fail_fast=fail_fast,
        **options,
    )
