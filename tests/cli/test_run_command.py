"""`mirar-dask run`: exit codes, what is printed, what is written."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from astropy.io import fits


def run_of(out: Path, night: str = "n1") -> Path:
    """Return the folder of the only run of a night."""
    (folder,) = (out / "imager" / night / "runs").iterdir()
    return folder


def test_a_night_is_reduced_and_the_summary_says_so(command, night: Path, tmp_path: Path):
    """Exit code 0, products on disk, a table with what to look at."""
    said = command("run", "imager", "--raw", night, "--out", tmp_path, "--cluster", "serial")
    assert said.code == 0, said.err
    assert "11 (2 succeeded, 9 set aside)" in said.out
    assert str(tmp_path / "imager/n1") in said.out
    products = sorted((tmp_path / "imager/n1/reduced").glob("FIELD1_r_*.fits"))
    assert len(products) == 2
    assert "/calibration/bias_" in fits.getval(products[0], "BIASNAME")


def test_a_run_keeps_plan_journal_log_and_summary_and_no_cache(command, night, tmp_path: Path):
    """The run's own folder is for its owner; the error summary of mirar stands beside it."""
    assert (
        command("run", "imager", "--raw", night, "--out", tmp_path, "--cluster", "serial").code == 0
    )
    folder = run_of(tmp_path)
    names = {path.name for path in folder.iterdir()}
    kept = {"request.json", "plan.json", "journal.jsonl", "memo.jsonl", "log.txt", "summary.json"}
    kept |= {"report.html", *(f"measurements.{kind}" for kind in ("json", "tsv", "parquet"))}
    assert names == kept
    assert folder.stat().st_mode & 0o077 == 0
    assert json.loads((folder / "plan.json").read_text())["frames"] == 11
    assert (tmp_path / "imager/n1/n1_error_stack.txt").is_file()
    assert (tmp_path / "imager/n1/n1_error_stack.tsv").is_file()
    assert (tmp_path / "imager/n1/n1_processing_flowchart.png").is_file()


def test_the_json_summary_has_every_field_of_its_description(command, night, tmp_path: Path):
    """docs/summary.md and the file name the same fields."""
    path = tmp_path / "summary.json"
    command(
        "run",
        "imager",
        "--raw",
        night,
        "--out",
        tmp_path / "o",
        "--cluster",
        "serial",
        "--json",
        path,
    )
    summary = json.loads(path.read_text())
    described = (Path(__file__).parents[2] / "docs" / "summary.md").read_text()
    assert [name for name in summary if f"`{name}`" not in described] == []
    counts = dict(summary["counts"])
    assert counts.pop("frames") == sum(counts.values()) == len(summary["frames"]) == 11
    assert summary["exit_code"] == 0
    assert summary["failures"] == []
    assert [path for path in summary["products"] if not Path(path).is_file()] == []
    assert len([path for path in summary["products"] if "/reduced/" in path]) == 2
    assert summary == json.loads((run_of(tmp_path / "o") / "summary.json").read_text())


@pytest.mark.parametrize("cluster", ["serial", "threads"])
def test_broken_files_are_named_with_their_reasons_and_the_rest_is_reduced(
    command, bad_night: Path, tmp_path: Path, cluster: str
):
    """Exit code 1; each broken file stands in the summary, on the screen and in mirar's table."""
    path = tmp_path / "summary.json"
    said = command(
        "run", "imager", "--raw", bad_night, "--out", tmp_path, "--cluster", cluster, "--json", path
    )
    assert said.code == 1, said.err
    summary = json.loads(path.read_text())
    broken = {file.name for file in bad_night.glob("broken_*")}
    named = {name for failure in summary["failures"] for name in failure["frames"]}
    told = {name for caveat in summary["caveats"] for name in caveat["frames"]}
    assert broken <= named | told
    assert named <= broken
    assert all(failure["reason"] and failure["step"] for failure in summary["failures"])
    assert len([p for p in summary["products"] if "/reduced/FIELD1" in p]) == 2
    assert all(name in said.out for name in named)
    table = (tmp_path / "imager/bad/bad_error_stack.tsv").read_text()
    assert all(name in table for name in named)


@pytest.mark.parametrize(
    ("words", "code", "answer"),
    [
        (["--raw", "{tmp}/gone"], 2, "there is no folder {tmp}/gone; check --raw"),
        (["--raw", "{tmp}/file"], 2, "{tmp}/file is a file"),
        (["--raw", "{tmp}/empty"], 3, "{tmp}/empty is empty"),
        (["--raw", "{tmp}/texts"], 3, "no images found in '{tmp}/texts'"),
        ([], 2, "--raw DIR"),
        (["--night", "n1"], 2, "RAW_DATA_DIR"),
        (["--raw", "{night}", "-c", "redcue"], 2, "did you mean 'reduce'?"),
        (
            ["--raw", "{night}", "--set", "flta.missing=skip"],
            2,
            "no step 'flta', did you mean 'flat'",
        ),
        (["--raw", "{night}", "--set", "flat.mising=skip"], 2, "did you mean 'missing'"),
        (["--raw", "{night}", "--set", "flat.missing=maybe"], 2, "'fail' or 'skip'"),
        (["--raw", "{night}", "--set", "flat"], 2, "step.parameter=value"),
        (["--raw", "{night}", "--out", "{tmp}/file"], 2, "cannot be written"),
        (["--raw", "{night}", "--cluster", "slrum"], 2, "expected serial, threads, local"),
        (["--raw", "{night}", "--json", "{tmp}/gone/x.json"], 2, "there is no folder {tmp}/gone"),
        (["--raw", "{night}", "--workers", "0"], 2, "Invalid value for '--workers'"),
        (["--raw", "{night}", "--memory", "much"], 2, "--memory much"),
        (["--raw", "{night}", "--instrument", "{tmp}/gone.toml"], 2, "does not exist"),
        (["--raw", "{night}", "--frobnicate"], 2, "--frobnicate"),
    ],
)
def test_a_wrong_request_is_answered_by_one_sentence_with_the_remedy(
    command, night: Path, tmp_path: Path, words: list[str], code: int, answer: str
):
    """No traceback, nothing on the output stream, nothing written."""
    (tmp_path / "empty").mkdir()
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts" / "note.txt").write_text("no frame")
    (tmp_path / "file").write_text("")
    places = {"tmp": tmp_path, "night": night}
    words = [word.format(**places) for word in words]
    if "--out" not in words:
        words += ["--out", str(tmp_path / "out")]
    said = command("run", "imager", *words)
    assert said.code == code, said.err
    assert answer.format(**places) in said.err
    assert said.err.count("\n") == 1
    assert said.out == ""
    assert not list(tmp_path.glob("out/imager/*/runs"))


def test_an_unknown_pipeline_is_answered_with_what_there_is(command, night: Path, tmp_path: Path):
    """A misspelt name is recognised."""
    said = command("run", "imger", "--raw", night, "--out", tmp_path)
    assert (said.code, "Did you mean 'imager'?" in said.err) == (2, True)


def test_verbose_shows_the_traceback_too(command, tmp_path: Path):
    """For whoever wants to know where it was found."""
    said = command("run", "imager", "--raw", tmp_path / "gone", "--out", tmp_path, "-v")
    assert said.code == 2
    assert "Traceback" in said.err
    assert said.err.splitlines()[-1].startswith("mirar-dask: there is no folder")


def test_a_plan_that_fits_no_worker_is_refused_with_the_numbers(
    command, night: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Before any worker is started, and by `plan` as well."""
    monkeypatch.setattr("mirar_dask.engine.memory.SMALL", 10**12)
    planned = command("plan", "imager", "--raw", night, "--memory", "1GB")
    assert planned.code == 3
    assert "needs about 1000." in planned.err
    assert "can use 0.67 GB" in planned.err
    words = ["run", "imager", "--raw", night, "--out", tmp_path, "--workers", "1"]
    said = command(*words)
    assert said.code == 3
    assert "1000." in said.err
    assert "--no-memory-check" in said.err
    assert command(*words, "--no-memory-check").code == 0


def test_a_dry_run_shows_the_plan_and_writes_nothing(command, night: Path, tmp_path: Path):
    """Not even the output folder is made."""
    said = command("run", "imager", "--raw", night, "--out", tmp_path / "out", "--dry-run")
    assert said.code == 0
    assert "FlatCalibrator" in said.out
    assert not (tmp_path / "out").exists()


def test_the_environment_and_dotenv_name_the_folders(night: Path, tmp_path: Path):
    """The variables of mirar, from `.env` of the working folder; what is set already wins."""
    raw = tmp_path / "data" / "imager" / "n1"
    raw.mkdir(parents=True)
    (raw / "raw").symlink_to(night)
    (tmp_path / ".env").write_text(
        f"RAW_DATA_DIR={tmp_path / 'data'}\nOUTPUT_DATA_DIR={tmp_path / 'not_here'}\n"
    )
    environment = {**os.environ, "OUTPUT_DATA_DIR": str(tmp_path / "out")}
    environment.pop("RAW_DATA_DIR", None)
    words = ["run", "imager", "--night", "n1", "--cluster", "serial"]
    done = subprocess.run(
        [sys.executable, "-m", "mirar_dask", *words],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert len(list((tmp_path / "out/imager/n1/reduced").glob("*.fits"))) == 2
    assert not (tmp_path / "not_here").exists()


PIPELINE = '''
from mirar_dask.pipelines.base_pipeline import Pipeline
from mirar_dask.processors.base_processor import BaseImageProcessor
from mirar_dask.processors.utils.image_loader import ImageLoader
from mirar_dask.processors.utils.image_saver import ImageSaver


class Half(BaseImageProcessor):
    """Halves every pixel."""

    base_key = "half"

    def _apply_to_images(self, batch):
        for image in batch:
            image.set_data(image.get_data() / 2)
        return batch


class Mine(Pipeline):
    """Loads, halves, saves."""

    name = "halves_for_tests"
    all_pipeline_configurations = {"default": [ImageLoader(), Half(), ImageSaver("halved")]}
'''


@pytest.fixture(scope="module")
def mine(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return a pipeline in a script: one file for all tests, since its name is registered."""
    path = tmp_path_factory.mktemp("pipeline") / "mine.py"
    path.write_text(PIPELINE)
    return f"{path}:Mine"


@pytest.mark.parametrize("cluster", ["serial", "local"])
def test_a_pipeline_in_a_file_runs_on_workers_that_cannot_import_it(
    command, night: Path, mine: str, tmp_path: Path, cluster: str
):
    """A processor in mirar's style, from a script, unchanged."""
    words = ["--raw", night, "--out", tmp_path / "out", "--cluster", cluster]
    workers = ["--workers", "1"] if cluster == "local" else []
    said = command("run", mine, *words, *workers)
    assert said.code == 0, said.err
    made = fits.getdata(tmp_path / "out/halves_for_tests/n1/halved/bias_0001.fits")
    raw = fits.getdata(night / "bias_0001.fits")
    assert (made == raw / 2).all()


def test_a_pipeline_that_knows_no_parameters_says_so(command, night, mine: str, tmp_path: Path):
    """`--set` is not ignored in silence."""
    words = ["--raw", night, "--out", tmp_path, "--set", "half.x=1"]
    said = command("run", mine, *words)
    assert said.code == 2
    assert "does not know --set" in said.err


def test_fail_fast_begins_nothing_after_the_first_failure(command, bad_night, tmp_path: Path):
    """Nothing is saved of a night whose loading failed."""
    words = ["--raw", bad_night, "--out", tmp_path, "--cluster", "serial", "--fail-fast"]
    said = command("run", "imager", *words)
    assert said.code in (1, 3)
    assert not list(tmp_path.glob("imager/bad/reduced/*"))


def test_a_night_without_one_readable_frame_is_nothing_to_do(command, tmp_path: Path):
    """Exit code 3."""
    (tmp_path / "night").mkdir()
    (tmp_path / "night" / "a.fits").write_bytes(b"not a FITS file" * 1000)
    said = command(
        "run", "imager", "--raw", tmp_path / "night", "--out", tmp_path, "--cluster", "serial"
    )
    assert said.code == 3
    assert "a.fits" in said.out + said.err
