"""The options that `run` and `plan` share, and how they become one `NightSettings`."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from mirar_dask.config import NightSettings, parse_parameters

_PATH = click.Path(path_type=Path)

CLUSTER_OPTIONS = (
    click.option(
        "--cluster",
        metavar="KIND",
        help="local (processes, the default), threads, serial, the address of a Dask scheduler, a "
        "scheduler file, slurm, slurm-runner, ssh:HOST,HOST, pbs, sge, lsf, oar or htcondor.",
    ),
    click.option(
        "--cluster-config",
        type=_PATH,
        metavar="FILE.toml",
        help="File with a table [cluster] that holds any of the options below.",
    ),
    click.option(
        "--workers",
        type=click.IntRange(min=1),
        metavar="N",
        help="Number of workers (default: MAX_N_CPU, else what fits this machine).",
    ),
    click.option("--adapt", metavar="MIN:MAX", help="As many workers as there is work for."),
    click.option(
        "--cores",
        type=click.IntRange(min=1),
        metavar="N",
        help="Cores to use on each host or in each job; a worker takes one.",
    ),
    click.option("--memory", metavar="SIZE", help="Memory of each worker, such as 4GB."),
    click.option("--walltime", metavar="TIME", help="How long a job may run, such as 2h."),
    click.option("--queue", metavar="NAME", help="Queue (partition) for the jobs."),
    click.option("--project", metavar="NAME", help="Project (account) to book the jobs on."),
    click.option(
        "--interface", metavar="NAME", help="Network interface to listen on, such as ib0."
    ),
    click.option(
        "--local-directory", metavar="DIR", help="Folder on each worker's own disk, for Dask."
    ),
    click.option(
        "--dashboard-port",
        type=click.IntRange(1, 65535),
        metavar="N",
        help="Port of dashboard and metrics on this machine (default: a free one).",
    ),
    click.option(
        "--prologue",
        multiple=True,
        metavar="COMMAND",
        help="Shell command before a worker starts; may be given again and again.",
    ),
    click.option("--python", metavar="PATH", help="Python of the workers (default: this one)."),
    click.option(
        "--tls/--no-tls",
        default=None,
        help="Encrypt connections, and let in only who has the certificate (default where "
        "workers are on other hosts).",
    ),
    click.option(
        "--certificates",
        metavar="DIR",
        help="Folder with ca.pem, cert.pem and key.pem, in place of new ones.",
    ),
    click.option(
        "--cluster-option",
        "cluster_options",
        multiple=True,
        metavar="KEY=VALUE",
        help="Whatever else the kind understands; may be given again and again.",
    ),
)
"""Where the work is done."""

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
    *CLUSTER_OPTIONS,
    click.option(
        "--cache",
        default="on",
        show_default=True,
        metavar="on|off|DIR",
        help="Where pixels are kept between tasks: in the run's folder, nowhere (they travel with "
        "the tasks), or in a folder that all workers share.",
    ),
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


def _command(ctx: click.Context, parameter: click.Parameter, value: str | None) -> str | None:
    from mirar_dask.alarms.settings import absolute_command

    return value if value is None else absolute_command(value)


ALARM_OPTIONS = (
    click.option(
        "--on-end",
        metavar="COMMAND",
        callback=_command,
        help="Command that is called at the end, however that comes, with the summary.",
    ),
    click.option(
        "--email",
        multiple=True,
        metavar="ADDRESS",
        help="Send e-mail about the end; may be given again and again.",
    ),
)
"""Who is told of the end of a run."""


def alarm_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that say who is told of the end of a run."""
    for option in reversed(ALARM_OPTIONS):
        command = option(command)
    return command


run_id_option = click.option("--run-id", hidden=True)
"""Name of a run that was chosen when its job was submitted."""


def settings_from(options: dict[str, Any]) -> NightSettings:
    """Turn the values of `night_options` into settings.

    Parameters
    ----------
    options : dict
        Keyword arguments that click gave the command.
    """
    from mirar_dask.paths import load_env

    load_env()
    cluster = cluster_settings(options)
    names = tuple(name.strip() for name in options.pop("configuration").split(",") if name.strip())
    return NightSettings(
        configurations=names or ("default",),
        parameters=parse_parameters(options.pop("parameters")),
        cluster_settings=cluster,
        **options,
    )


def cluster_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that say where the work is done."""
    for option in reversed(CLUSTER_OPTIONS):
        command = option(command)
    return command


def cluster_settings(options: dict[str, Any]) -> dict[str, Any]:
    """Take the options of a cluster, but for those that settings have by name, out of a command's.

    Parameters
    ----------
    options : dict
        Keyword arguments that click gave the command; those that are returned are removed.
    """
    from mirar_dask.cluster.settings import parse_options

    found = {name: options.pop(name) for name in _CLUSTER_NAMES}
    pairs = options.pop("cluster_options")
    return {**found, "options": parse_options(pairs) if pairs else None}


def may_be_local(options: dict[str, Any]) -> bool:
    """Tell, before anything is read, whether workers are likely to be started on this machine."""
    named = options.get("cluster") or os.environ.get("MIRAR_DASK_CLUSTER")
    file = options.get("cluster_config") or os.environ.get("MIRAR_DASK_CLUSTER_CONFIG")
    return named == "local" or not (named or file)


_CLUSTER_NAMES = (
    *("adapt", "cores", "walltime", "queue", "project", "interface", "local_directory"),
    "dashboard_port",
    *("prologue", "python", "tls", "certificates"),
)
