"""`mirar-dask clean`: remove what dead runs and killed processes left."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mirar_dask.cli.app import verbosity_option
from mirar_dask.cli.run_options import out_option, output_folder
from mirar_dask.errors import printable
from mirar_dask.exit_codes import ExitCode

if TYPE_CHECKING:
    from mirar_dask.debris import Debris, Left


@click.command(short_help="Remove what dead runs left.")
@out_option
@click.option(
    "--cache",
    "caches",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    multiple=True,
    metavar="DIR",
    help="Look also in this folder, which was given to 'run --cache'; may be repeated.",
)
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option(
    "--json", "as_json", is_flag=True, help="Print JSON; nothing is removed without --yes."
)
@verbosity_option
def clean(
    out: Path | None, caches: Sequence[Path], yes: bool, as_json: bool, verbosity: int
) -> int:
    """Show what runs and processes left that were killed, and remove it.

    That is their caches, certificates and half-written files: in all runs of an output folder, in
    the temporary space of this machine, and below the home folder. Products, journals and logs
    stay, so that 'resume' and 'report' work as before; what belongs to a run that is alive, or to
    another user, is not touched. A run on another host is dead when it has not been heard of for a
    minute.

    Exit codes: 0 all well; 1 something could not be removed.
    """
    from mirar_dask.debris import Debris, machine_debris, remove, run_debris

    folder = output_folder(out)
    everything = [*run_debris(folder), *machine_debris(folder, caches)]
    # One folder may be found as a run's and as this machine's.
    found = list({one.path: one for one in everything if isinstance(one, Debris)}.values())
    left = [one for one in everything if not isinstance(one, Debris)]
    if not as_json:
        _show(found, left, folder)
    wanted = yes or (
        bool(found) and not as_json and sys.stdin.isatty() and click.confirm("Remove it?")
    )
    kept = {one.path: why for one in found if (why := remove(one))} if wanted else {}
    if as_json:
        click.echo(json.dumps(_json(found, left, kept, removed=wanted), indent=1))
    elif wanted and found:
        size = sum(one.size for one in found if one.path not in kept)
        click.echo(f"removed {_size(size)} in {len(found) - len(kept)} of {len(found)} places")
        for path, why in kept.items():
            click.echo(f"left {_text(path)}: {why}", err=True)
    elif found:
        click.echo("nothing was removed; --yes removes it")
    return ExitCode.FAILURES if kept else ExitCode.WELL


def _show(found: Sequence[Debris], left: Sequence[Left], folder: Path) -> None:
    from mirar_dask.monitoring.console import plural

    if not found:
        click.echo(f"no dead run left anything in {_text(folder)} or on this machine")
    for of in dict.fromkeys(one.of for one in found):
        click.echo(_text(of))
        for one in found:
            if one.of == of:
                amount = f"{_size(one.size):>9}  {plural(one.files, 'file'):>10}"
                click.echo(f"{amount}  {one.kind:<17}  {_text(one.path)}")
    if len(found) > 1:
        size, files = sum(one.size for one in found), sum(one.files for one in found)
        click.echo(f"together {_size(size)} in {plural(files, 'file')}")
    for other in left:
        click.echo(f"not touched: {_text(other.path)}: {_text(other.why)}")


def _json(
    found: Sequence[Debris], left: Sequence[Left], kept: dict[Path, str], *, removed: bool
) -> dict[str, object]:
    return {
        "found": [
            {
                "path": _text(one.path),
                "kind": one.kind,
                "of": one.of,
                "files": one.files,
                "bytes": one.size,
                "removed": removed and one.path not in kept,
                **({"why": kept[one.path]} if one.path in kept else {}),
            }
            for one in found
        ],
        "not_touched": [{"path": _text(one.path), "why": one.why} for one in left],
    }


def _text(path: object) -> str:
    """Return a path, whatever bytes it is made of, as text that a terminal shows as it is."""
    return printable(str(path)).replace("\n", "\\n")


def _size(size: float) -> str:
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} TB"
