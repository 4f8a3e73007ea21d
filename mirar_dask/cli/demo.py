"""`mirar-dask demo`: a simulated night, planned, reduced in parallel, compared with its truth."""

from __future__ import annotations

from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

import click

from mirar_dask.cli.app import verbosity_option
from mirar_dask.cli.display import logging_to
from mirar_dask.cli.options import may_be_local
from mirar_dask.cli.plan import print_plan
from mirar_dask.cli.run import check_json_path, show_summary

if TYPE_CHECKING:
    from mirar_dask.monitoring.report import RunSummary
    from mirar_dask.testing.truth import NightTruth

NIGHT = "20260314"


@click.command(
    short_help="Simulate a night, reduce it, compare it with its truth.",
    context_settings={"show_default": True},
)
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    default="mirar-dask-demo",
    metavar="DIR",
    help="Folder for the raw frames and the products.",
)
@click.option("--size", type=click.IntRange(min=64), default=1024, help="Pixels a side.")
@click.option("--seed", type=click.IntRange(min=0), default=1, help="Another seed, another night.")
@click.option("--cluster", metavar="KIND", help="As for 'mirar-dask run'.")
@click.option("--workers", type=click.IntRange(min=1), metavar="N", help="Number of workers.")
@click.option(
    "--json",
    "json_path",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Write the summary for machines.",
)
@verbosity_option
def demo(
    out: Path,
    size: int,
    seed: int,
    cluster: str | None,
    workers: int | None,
    json_path: Path | None,
    verbosity: int,
) -> int:
    """Simulate a night of about 40 frames, reduce it in parallel, and compare it with its truth."""
    if may_be_local({"cluster": cluster}):
        from mirar_dask.forkserver import start_early

        start_early()
    from mirar_dask.config import NightSettings
    from mirar_dask.execution import run_request
    from mirar_dask.monitoring.console import make_console, make_monitor
    from mirar_dask.paths import load_env
    from mirar_dask.planning import plan_request
    from mirar_dask.request import prepare

    load_env()
    check_json_path(json_path)
    out = out.absolute()
    console = make_console()
    console.print(
        f"Simulating a night of {size} x {size} pixels in {out / 'raw'} ...", markup=False
    )
    truth = _simulate(out / "raw" / NIGHT, size, seed)
    request = prepare(
        NightSettings(raw=out / "raw" / NIGHT, out=out, cluster=cluster, workers=workers)
    )
    plan = plan_request(request)
    print_plan(plan, console, title=request.title)
    monitor = make_monitor(request.title)
    with monitor, logging_to(monitor, verbosity):
        summary = run_request(
            request, plan=plan, listeners=[monitor], say=monitor.phase, expect=monitor.expect
        )
    if json_path is not None:
        summary.save(json_path)
    show_summary(summary, console, extra=[("deviation", _deviation(summary, truth))])
    return summary.exit_code


def _simulate(folder: Path, size: int, seed: int) -> NightTruth:
    """Simulate the demo's night; one that an earlier demo left there is replaced."""
    from mirar_dask.errors import UsageError
    from mirar_dask.testing.night import simulate_night, truth_folder
    from mirar_dask.testing.truth import TRUTH_FILE, NightTruth

    if (truth_folder(folder) / TRUTH_FILE).is_file():
        for name in NightTruth.load(truth_folder(folder)).frames:
            (folder / name).unlink(missing_ok=True)
    try:
        if folder.is_dir() and any(folder.iterdir()):
            raise UsageError(f"{folder} holds files that are not of a demo; choose another --out")
        return simulate_night(folder, size=size, seed=seed)
    except OSError as error:
        raise UsageError(
            f"{folder} cannot be written ({error.strerror or error}); choose another --out"
        ) from error


def _deviation(summary: RunSummary, truth: NightTruth) -> str:
    """Say how far the calibrated frames are from the truth, in units of their noise."""
    science = set(truth.names("science"))
    found = [truth.deviation(path) for path in summary.products if path.name in science]
    if not found:
        return "no calibrated frame to compare"
    return (
        f"{median(found):.2f} times the expected noise (median of {len(found)} frames, worst "
        f"{max(found):.2f}; 1.00 is perfect)"
    )
