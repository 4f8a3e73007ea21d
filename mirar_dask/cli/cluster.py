"""`mirar-dask cluster`: show where the work would be done, try it, prepare one by hand."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mirar_dask.cli.app import verbosity_option
from mirar_dask.cli.options import cluster_options, cluster_settings

if TYPE_CHECKING:
    from mirar_dask.cluster import ClusterSpec, Resolved

_FOLDER = click.Path(path_type=Path, file_okay=False)


@click.group(short_help="Show or try where the work is done.")
def cluster() -> None:
    """Show where 'mirar-dask run' would do its work with the same options, or try it."""


@cluster.command(short_help="Print what was understood, and the job's script.")
@cluster_options
@verbosity_option
def show(verbosity: int, **options: Any) -> None:
    """Print the cluster that the options, the environment and files describe.

    Each value is shown with where it was found, then the layout with its reason and, for queue
    systems, the script of a job. Nothing is started or submitted.
    """
    resolved = _resolved(options)
    click.echo("\n".join(described(resolved)))


@cluster.command(short_help="Start the cluster, look at its workers, and stop it.")
@cluster_options
@click.option("--raw", type=_FOLDER, metavar="DIR", help="Raw frames that workers must see.")
@click.option("--out", type=_FOLDER, metavar="DIR", help="Output folder that workers must see.")
@click.option("--cache", type=_FOLDER, metavar="DIR", help="Cache folder that workers must see.")
@verbosity_option
def check(
    raw: Path | None, out: Path | None, cache: Path | None, verbosity: int, **options: Any
) -> int:
    """Start the cluster, have its workers prove that they can do a run's tasks, and stop it.

    Exit codes: 0 all workers are fit; 3 the cluster cannot be had, or a worker is not fit.
    """
    from mirar_dask.cli.display import logging_to
    from mirar_dask.cluster.check import check_cluster
    from mirar_dask.cluster.places import Places

    resolved = _resolved(options)
    places = Places(raw, out, cache)
    with logging_to(_Lines(), max(verbosity, 1) - 1):
        for line in check_cluster(resolved.spec, places):
            click.echo(line)
    return 0


class _Lines:
    """Prints log messages as they come."""

    def note(self, text: str) -> None:
        click.echo(text, err=True)


@cluster.command(short_help="Make certificates for a cluster that is started by hand.")
@click.argument("folder", metavar="DIR", type=_FOLDER)
@verbosity_option
def certificates(folder: Path, verbosity: int) -> None:
    """Make ca.pem, cert.pem and key.pem in DIR, and say how they are used.

    Who can read DIR can connect to the cluster.
    """
    from mirar_dask.cluster.certificates import NAMES, make_certificates

    made = make_certificates(folder.absolute())
    ca, certificate, key = (made / name for name in NAMES)
    tls = f"--tls-ca-file {ca} --tls-cert {certificate} --tls-key {key}"
    click.echo(f"dask scheduler --protocol tls --host HOST {tls}")
    click.echo(f"dask worker tls://HOST:8786 {tls}")
    click.echo(f"mirar-dask run ... --cluster tls://HOST:8786 --certificates {made}")


@cluster.command(short_help="Print Dask's settings for a cluster that is started by hand.")
@verbosity_option
def settings(verbosity: int) -> None:
    """Print, as YAML, what Dask is to be told where a scheduler and workers are started by hand.

    Save it where they start and let DASK_CONFIG name the file, or put it into a folder that Dask
    reads by itself, such as /etc/dask.
    """
    import yaml

    from mirar_dask.cluster.environment import settings_by_hand

    click.echo(yaml.safe_dump(settings_by_hand(), sort_keys=False), nl=False)


def _resolved(options: dict[str, Any]) -> Resolved:
    from mirar_dask.config import NightSettings
    from mirar_dask.paths import load_env

    load_env()
    said = cluster_settings(options)
    return NightSettings(cluster_settings=said, **options).resolve_cluster()


def described(resolved: Resolved) -> Iterator[str]:
    """Yield the lines that say what a cluster is, and why."""
    from mirar_dask.cluster import layout_text

    spec, origins = resolved.spec, dict(resolved.origins)
    if spec.traits.queue:
        from mirar_dask.cluster.job_script import with_dask_defaults

        spec, more = with_dask_defaults(spec)
        origins |= more
    yield spec.describe()
    shown = spec.shown()
    width = max(map(len, shown))
    for name, value in shown.items():
        yield f"  {name.replace('_', '-'):{width}}  {value}  ({origins.get(name, 'default')})"
    for name, origin in resolved.unused.items():
        yield f"  not used with this kind: {name.replace('_', '-')} ({origin})"
    layout = layout_text(spec)
    if layout:
        yield f"layout: {layout}"
    if spec.kind != "serial":
        yield f"connections: {_connections(spec)}"
    if not spec.traits.tried:
        yield f"note: {spec.kind} is not run by our tests; only its script is looked at"
    if spec.traits.queue:
        from mirar_dask.cluster.job_script import job_script

        yield "script of each job:"
        yield job_script(spec).rstrip()


def _connections(spec: ClusterSpec) -> str:
    if spec.encrypted:
        made = spec.certificates or "made for each run"
        return f"encrypted, certificates {made}"
    return "not encrypted: whoever reaches the scheduler's port can run code as you"
