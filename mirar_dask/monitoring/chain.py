"""The chain of runs that go on with one another, by hand or by jobs: read from their folders."""

from __future__ import annotations

from pathlib import Path

from mirar_dask.json_files import read_object
from mirar_dask.monitoring.job_file import read_job
from mirar_dask.monitoring.runs import REQUEST, begun


def continued_run(folder: Path) -> str:
    """Return the name of the run that a run goes on with; empty if it began by itself."""
    job = read_job(folder)
    if job is not None and job.continues:
        return job.continues
    try:
        request = read_object(folder / REQUEST) or {}
    except OSError:
        return ""
    return str(request.get("continues") or "")


def chain_of(folder: Path) -> list[Path]:
    """Return the folders of the runs that go on with one another, in their order.

    Where several runs went on with one, the newest of them counts.

    Parameters
    ----------
    folder : Path
        Of one of them.
    """
    siblings = sorted((path for path in folder.parent.glob("*") if path.is_dir()), key=begun)
    before = {path.name: continued_run(path) for path in siblings}
    after = {name: run for run, name in before.items() if name}
    chain = [folder.name]
    while (name := before.get(chain[0], "")) in before and name not in chain:
        chain.insert(0, name)
    while (name := after.get(chain[-1], "")) and name not in chain:
        chain.append(name)
    return [folder.parent / name for name in chain]
