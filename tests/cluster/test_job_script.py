"""What queue systems are asked for, as text."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import dask
import pytest

from mirar_dask.cluster import ClusterSpec
from mirar_dask.cluster.job_script import job_script, lifetimes, with_dask_defaults
from mirar_dask.errors import UsageError

HEADERS = {
    "slurm": ("#SBATCH -p short", "#SBATCH -A survey", "--cpus-per-task=4", "-t 02:00:00"),
    "pbs": ("#PBS -q short", "#PBS -A survey", "ncpus=4", "walltime=02:00:00"),
    "sge": ("#$ -q short", "#$ -P survey", "#$ -l h_rt=02:00:00"),
    "lsf": ("#BSUB -q short", '#BSUB -P "survey"', "#BSUB -n 4", "#BSUB -W 02:00\n"),
    "oar": ("#OAR -q short", "#OAR --project survey", "core=4", "walltime=02:00:00"),
    "htcondor": ("MY.DaskWorkerCores = 4", "RequestCpus"),
}


def script(kind: str, **options: object) -> str:
    said = {"cores": 4, "memory": "2GB", "python": "python3.13", **options}
    if kind != "htcondor":
        said = {"queue": "short", "project": "survey", "walltime": "2h", **said}
    return job_script(with_dask_defaults(ClusterSpec.parse(kind, **said))[0])


@pytest.mark.parametrize("kind", HEADERS)
def test_options_mean_the_same_for_every_queue_system(kind: str) -> None:
    """Each says them in its own words; workers, memory and Python are the same for all."""
    text = script(kind, prologue=["module load astro"])
    for words in HEADERS[kind]:
        assert words in text
    for words in (
        "module load astro",
        "export OMP_NUM_THREADS=1",
        "export DASK_DISTRIBUTED__COMM__TIMEOUTS__TCP=15s",
        "python3.13 -m distributed.cli.dask_worker tls://SCHEDULER:PORT",
        "--nworkers 4",
        "--nthreads 1",
        "--memory-limit 2000000000B --resources MEMORY=2000000000",
        "--preload mirar_dask.preloaded",
        "--tls-key RUN_FOLDER/tls/key.pem",
    ):
        assert words in text
    assert ("--lifetime 6750s --lifetime-stagger 150s" in text) == (kind != "htcondor")


@pytest.mark.parametrize("kind", [kind for kind in HEADERS if kind != "htcondor"])
def test_a_script_is_one_that_the_shell_can_read(kind: str, tmp_path: Path) -> None:
    """With a prologue that needs quotes."""
    path = tmp_path / "job.sh"
    path.write_text(script(kind, prologue=["export NAME='a b'"]))
    subprocess.run(["bash", "-n", str(path)], check=True)


def test_showing_a_script_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No folder, no file, no job."""
    monkeypatch.chdir(tmp_path)
    script("slurm")
    assert list(tmp_path.iterdir()) == []


def test_without_tls_nothing_is_said_of_certificates() -> None:
    """And the scheduler is a plain address."""
    text = script("slurm", tls=False)
    assert "tcp://SCHEDULER:PORT" in text
    assert "--tls" not in text


def test_what_only_one_queue_system_knows_is_passed_on() -> None:
    """Directives beside ours, and more arguments for workers."""
    text = script(
        "slurm",
        options={"job-extra-directives": ["--exclusive"], "worker-extra-args": ["--nthreads", "2"]},
    )
    assert "#SBATCH --exclusive" in text
    assert text.index("--nthreads 2") > text.index("--nthreads 1")  # the last one counts


def test_an_option_that_nobody_knows_is_refused_with_those_that_there_are() -> None:
    """Those that stand for options of ours are not among them."""
    with pytest.raises(UsageError, match=r"cluster-option nosuch .*job_extra_directives") as caught:
        script("slurm", options={"nosuch": 1})
    assert "walltime" not in str(caught.value)


def test_dasks_own_configuration_says_what_was_not_said() -> None:
    """What was said wins; the origin is remembered."""
    with dask.config.set(
        {
            "jobqueue.slurm.queue": "night",
            "jobqueue.slurm.account": "survey",
            "jobqueue.slurm.cores": 8,
            "jobqueue.slurm.memory": "32GB",
            "jobqueue.slurm.job-script-prologue": ["module load a"],
            "jobqueue.slurm.worker-extra-args": ["--nthreads", "2"],
        }
    ):
        assert "--nthreads 2" in job_script(ClusterSpec.parse("slurm"))
        spec, origins = with_dask_defaults(
            ClusterSpec.parse("slurm", queue="short", prologue=["module load b"])
        )
    assert (spec.queue, spec.project, spec.cores) == ("short", "survey", 8)
    assert spec.memory == 4 * 10**9
    assert spec.prologue == ("module load a", "module load b")
    assert "queue" not in origins
    assert origins["cores"] == "Dask's jobqueue.slurm"


def test_ctrl_c_stays_as_it_was() -> None:
    """dask-jobqueue's import takes it over, to end the process as if all were well."""
    code = (
        "import signal; from mirar_dask.cluster.job_script import cluster_class\n"
        "cluster_class('slurm'); import mirar_dask.cluster.queues\n"
        "assert signal.getsignal(signal.SIGINT) is signal.default_int_handler"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("walltime", [60, 120, 600, 1800, 86400])
def test_workers_end_before_their_job_does(walltime: int) -> None:
    """The latest of them leaves time for the job's start and the last task."""
    lifetime, stagger = lifetimes(walltime)
    assert lifetime - stagger >= 20
    assert walltime - (lifetime + stagger) >= min(max(walltime // 10, 20), 300)
