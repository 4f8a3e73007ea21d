"""What the job of a driver asks for, and its script."""

from __future__ import annotations

import subprocess
from dataclasses import replace

import pytest

from mirar_dask.cluster import ClusterSpec
from mirar_dask.cluster.driver_job import (
    SUBMITTED_BY,
    DriverJob,
    driver_for,
    driver_script,
    environment_of_driver,
)
from mirar_dask.errors import UsageError

FULL = DriverJob(
    cores=4, memory=8 * 2**30, walltime=5400, queue="short", project="astro", options=("--qos=low",)
)


def spec(kind: str, **values: object) -> ClusterSpec:
    """Return where the tasks are done."""
    return ClusterSpec.parse(kind, **values)


@pytest.mark.parametrize("system", SUBMITTED_BY)
def test_a_script_asks_for_all_that_was_said(system: str) -> None:
    """In the words of each queue system; it is a script that bash can read."""
    text = driver_script(
        replace(FULL, system=system), ["python", "-m", "a b"], output="/out/job.out"
    )
    assert subprocess.run(["bash", "-n"], input=text, text=True, check=False).returncode == 0
    head = [line for line in text.splitlines() if line.startswith("#")]
    for words in ("short", "astro", "/out/job.out", "--qos=low", "30"):
        assert any(words in line for line in head), words
    assert text.splitlines()[-1] == "exec python -m 'a b'"
    assert ("Not run by us" in text) == (system != "slurm")


def test_slurms_script_is_what_we_mean() -> None:
    """Nothing but what was said, and no second start by SLURM itself."""
    text = driver_script(DriverJob(), ["run"], output="/a b/%j", environment={"A": "x y"})
    assert text.splitlines() == [
        "#!/bin/bash",
        "#SBATCH --job-name=mirar-dask",
        '#SBATCH --output="/a b/%%j"',
        "#SBATCH --ntasks=1",
        "#SBATCH --cpus-per-task=1",
        "#SBATCH --mem=1908M",
        "#SBATCH --nodes=1",
        "#SBATCH --no-requeue",
        "",
        "export A='x y'",
        "export MIRAR_DASK_JOB_ENDS=ask",
        "exec run",
    ]


@pytest.mark.parametrize(
    ("where", "said", "wanted"),
    [
        (spec("local"), {}, {"cores": 4, "memory": 9 * 10**9}),
        (spec("local", workers=2, memory="1GB"), {}, {"cores": 2, "memory": 3 * 10**9}),
        (spec("local"), {"memory": 5 * 10**9}, {"cores": 2, "memory": 5 * 10**9}),
        (spec("serial"), {}, {"cores": 1, "memory": 3 * 10**9}),
        (
            spec("slurm", workers=40, queue="short", project="p", walltime="2h"),
            {},
            {"cores": 1, "queue": "short", "project": "p", "walltime": 7200, "memory": 2 * 10**9},
        ),
        (
            spec("slurm", queue="short", walltime="2h"),
            {"queue": "long", "walltime": 86400},
            {"queue": "long", "walltime": 86400},
        ),
        (spec("pbs"), {}, {"system": "pbs"}),
        (spec("slurm-runner", memory="1GB"), {"workers": 3}, {"tasks": 4, "cores": 1}),
    ],
)
def test_a_job_fits_what_its_driver_will_do(
    where: ClusterSpec, said: dict[str, object], wanted: dict[str, object]
) -> None:
    """Workers in the same job need their cores and memory there; others have jobs of their own."""
    found = driver_for(where, **said)  # type: ignore[arg-type]
    assert {name: getattr(found, name) for name in wanted} == wanted


def test_what_cannot_be_a_job_is_refused() -> None:
    """By a sentence that says what can."""
    with pytest.raises(UsageError, match="give --workers N"):
        driver_for(spec("slurm-runner"))
    with pytest.raises(UsageError, match="there are slurm, pbs"):
        DriverJob(system="htcondor")


def test_variables_that_change_a_run_go_with_it() -> None:
    """Other variables do not, nor the end of the job that submits another."""
    here = {"MIRAR_DASK_CLUSTER": "slurm", "RAW_DATA_DIR": "/raw", "HOME": "/h"}
    found = environment_of_driver({**here, "MIRAR_DASK_JOB_ENDS": "1"})
    assert found == {"MIRAR_DASK_CLUSTER": "slurm", "RAW_DATA_DIR": "/raw"}
