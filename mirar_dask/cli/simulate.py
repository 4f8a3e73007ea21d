"""`mirar-dask simulate DIR`: raw frames of a night whose truth is known."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import click

from mirar_dask.cli.app import verbosity_option
from mirar_dask.errors import UsageError

_COUNT = click.IntRange(min=0)


def _names(ctx: click.Context, option: click.Parameter, value: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in value.split(",") if name.strip())


@click.command(
    short_help="Write raw frames of a simulated night.", context_settings={"show_default": True}
)
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path, file_okay=False))
@click.option(
    "--size", type=click.IntRange(min=16), default=512, metavar="N", help="Pixels a side."
)
@click.option("--nbias", "n_bias", type=_COUNT, default=10, metavar="N", help="Bias frames.")
@click.option("--ndark", "n_dark", type=_COUNT, default=6, metavar="N", help="Dark frames.")
@click.option("--nflat", "n_flat", type=_COUNT, default=6, metavar="N", help="Flats a filter.")
@click.option(
    "--nsci",
    "n_science",
    type=_COUNT,
    default=6,
    metavar="N",
    help="Science frames of each target in each filter.",
)
@click.option("--filters", default="g,r", callback=_names, metavar="A,B", help="Their names.")
@click.option("--targets", default="FIELD1", callback=_names, metavar="A,B", help="Their names.")
@click.option("--exptime", type=float, default=30.0, metavar="S", help="Seconds, science.")
@click.option("--dark-exptime", type=float, default=60.0, metavar="S", help="Seconds, darks.")
@click.option("--dither", type=float, default=8.0, metavar="PIXELS", help="Largest shift.")
@click.option("--wcs/--no-wcs", default=True, help="Whether science frames have a WCS.")
@click.option(
    "--dialect", default="mirar", help="Habits of the headers: mirar, iraf, maxim or lco."
)
@click.option("--date", default="2026-03-14", metavar="DATE", help="The evening's date.")
@click.option("--bad-files", is_flag=True, help="Plant broken files among the good ones.")
@click.option(
    "--speed",
    type=click.FloatRange(min=0, min_open=True),
    default=None,
    metavar="X",
    help="Write each frame when it is taken, in a night that passes X times as fast (pauses of "
    "hours are cut short): something to watch.",
)
@click.option("--seed", type=_COUNT, default=1, help="The same seed gives the same night.")
@verbosity_option
def simulate(folder: Path, speed: float | None, verbosity: int, **night: Any) -> None:
    """Write a simulated night of raw CCD frames into DIR.

    What the frames should show after the reduction is kept in a folder beside DIR.
    """
    from mirar_dask.testing.night import simulate_night, truth_folder

    present = sorted(folder.iterdir()) if folder.is_dir() else []
    if present:
        raise UsageError(
            f"{folder} is not empty ({present[0].name}); name a new folder, so that two nights do "
            "not mix"
        )
    try:
        if speed is None:
            truth = simulate_night(folder, **night)
        else:
            with tempfile.TemporaryDirectory() as scratch:
                truth = simulate_night(scratch, **night, truth=truth_folder(folder))
                click.echo(f"{len(truth.frames) + len(truth.broken)} frames come into {folder}")
                _play(Path(scratch), folder, speed)
    except ValueError as error:
        raise UsageError(str(error)) from error
    except OSError as error:
        raise UsageError(
            f"{folder} cannot be written ({error.strerror or error}); name another folder"
        ) from error
    click.echo(f"{len(truth.frames) + len(truth.broken)} frames in {folder}")
    click.echo(f"their truth in {truth_folder(folder)}")
    click.echo(f"reduce them:  mirar-dask run imager --raw {folder} --out OUTPUT_FOLDER")


LONGEST_GAP = 5.0
"""Seconds that a pause takes at most in a night that is played."""


def _play(frames: Path, folder: Path, speed: float) -> None:
    """Let the frames come as a camera takes them."""
    from mirar_dask.processors.utils.simulate_realtime import play_night

    play_night(sorted(frames.iterdir()), folder, speed=speed, longest_gap=LONGEST_GAP, pieces=4)
