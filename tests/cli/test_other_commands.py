"""The commands beside `run`, and the program itself."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest


def test_help_names_every_command(command):
    """What can be done stands in one place."""
    said = command("--help")
    assert said.code == 0
    names = ["demo", "pipelines", "plan", "processors", "run", "simulate"]
    assert [name for name in names if f"  {name} " not in said.out] == []


@pytest.mark.parametrize("name", ["demo", "pipelines", "plan", "processors", "run", "simulate"])
def test_every_command_explains_itself(command, name: str):
    """`--help` and `-h` after each."""
    assert "Usage: mirar-dask" in command(name, "-h").out


def test_without_words_the_help_is_shown_and_the_code_says_wrong_usage(command):
    """Nothing was asked for."""
    said = command()
    assert said.code == 2
    assert "Commands:" in said.err


def test_a_misspelt_command_is_wrong_usage(command):
    """One sentence, and where to find more."""
    said = command("frobnicate")
    assert said.code == 2
    assert "'mirar-dask --help' shows what can be given" in said.err


def test_the_version_is_the_installed_one(command):
    """As the package's metadata has it."""
    from mirar_dask import __version__

    assert __version__ in command("--version").out


def test_a_plan_is_a_table_of_steps_and_masters(command, night: Path, tmp_path: Path):
    """Nothing is written, not even a folder."""
    said = command("plan", "imager", "--raw", night, "--out", tmp_path / "out")
    assert said.code == 0, said.err
    assert "11 frames" in said.out
    for word in ("BiasCalibrator", "FlatCalibrator", "3 frames", "largest task"):
        assert word in said.out
    assert not (tmp_path / "out").exists()


def test_a_plan_is_json_for_machines(command, night: Path, tmp_path: Path):
    """Steps, masters with their frames, memory."""
    plan = json.loads(command("plan", "imager", "--raw", night, "--out", tmp_path, "--json").out)
    assert plan["frames"] == 11
    masters = {master["step"]: len(master["frames"]) for master in plan["masters"]}
    assert masters == {"bias": 3, "dark": 3, "flat": 3}


def test_a_plan_is_a_picture_and_a_diagram(command, night: Path, tmp_path: Path):
    """SVG without any other program, Mermaid for documents."""
    words = ["plan", "imager", "--raw", night, "--out", tmp_path / "out"]
    said = command(*words, "--mermaid", "--svg", tmp_path / "plan.svg")
    assert said.out.startswith("flowchart")
    assert ElementTree.parse(tmp_path / "plan.svg").getroot().tag.endswith("svg")
    assert not (tmp_path / "out").exists()


def test_a_picture_that_cannot_be_written_is_one_sentence(command, night: Path, tmp_path: Path):
    """Exit code 2 and the option's name."""
    words = ["plan", "imager", "--raw", night, "--out", tmp_path, "--svg", tmp_path / "no/p.svg"]
    said = command(*words)
    assert said.code == 2
    assert "--svg" in said.err
    assert "Traceback" not in said.err


def test_the_plan_of_a_night_without_flats_says_so(command, night: Path, tmp_path: Path):
    """A kind of calibration that is missing altogether is a caveat."""
    raw = tmp_path / "noflats"
    raw.mkdir()
    for path in night.iterdir():
        if not path.name.startswith("flat"):
            (raw / path.name).symlink_to(path)
    said = command("plan", "imager", "--raw", raw, "--out", tmp_path)
    assert said.code == 0
    assert "no flat frames in this night" in said.out


def test_pipelines_lists_imager_with_its_configurations(command):
    """What can be given as PIPELINE and after -c."""
    said = command("pipelines")
    assert said.code == 0
    assert "imager" in said.out
    assert "reduce" in said.out


def test_processors_lists_those_that_ship(command):
    """Under the names that mirar has for them."""
    out = command("processors").out
    assert [n for n in ("FlatCalibrator", "ImageSaver", "ImageBatcher") if n not in out] == []
    assert "BaseProcessor" not in out


@pytest.mark.parametrize("name", ["FlatCalibrator", "flatcalibrator", "flat"])
def test_a_processor_is_described_with_its_parameters(command, name: str):
    """By class or by short name, in any case."""
    out = command("processors", name).out
    assert "from mirar_dask.processors.flat import FlatCalibrator" in out
    assert "flat_mode" in out


def test_every_processor_can_be_described(command):
    """With the parameters that it hands on to its parents, each under its name."""
    from mirar_dask.processors.catalogue import processor_classes

    out = command("processors", "FlatCalibrator").out
    assert "flat_mode='median'" in out
    assert "missing='fail'" in out
    assert "Parameters of ProcessorWithCache" in out
    for cls in processor_classes():
        said = command("processors", cls.__name__)
        assert said.code == 0
        assert " at 0x" not in said.out


def test_an_unknown_processor_is_answered_with_a_close_one(command):
    """A misspelt name is recognised."""
    said = command("processors", "FlatCalibratr")
    assert said.code == 2
    assert "did you mean FlatCalibrator" in said.err


def test_simulate_writes_the_frames_it_is_asked_for(command, tmp_path: Path):
    """And says where they and their truth are."""
    words = ["--size", "32", "--nbias", "2", "--ndark", "0", "--nflat", "1", "--nsci", "3"]
    said = command("simulate", tmp_path / "n", *words, "--filters", "g, r", "--seed", "7")
    assert said.code == 0, said.err
    assert len(list((tmp_path / "n").glob("*.fits"))) == 2 + 2 + 6
    assert "10 frames" in said.out
    assert (tmp_path / "n_truth").is_dir()


def test_simulate_does_not_mix_two_nights(command, tmp_path: Path):
    """A folder that holds something is refused."""
    (tmp_path / "n").mkdir()
    (tmp_path / "n" / "old.fits").write_text("")
    said = command("simulate", tmp_path / "n")
    assert said.code == 2
    assert "is not empty" in said.err


@pytest.mark.parametrize("words", [["--dialect", "klingon"], ["--filters", "r,r"], ["--size", "3"]])
def test_simulate_refuses_what_makes_no_sense(command, tmp_path: Path, words: list[str]):
    """One sentence."""
    said = command("simulate", tmp_path / "n", *words)
    assert (said.code, said.err.count("\n")) == (2, 1)


def test_the_demo_recovers_the_truth_and_can_be_run_again(command, tmp_path: Path):
    """Its table gives the deviation; the second run replaces the first one's frames."""
    words = ["demo", "--out", tmp_path / "d", "--size", "128", "--cluster", "serial"]
    first = command(*words)
    assert first.code == 0, first.err
    assert "frames a second" in first.out
    line = next(line for line in first.out.splitlines() if line.startswith("deviation"))
    assert 0.9 < float(line.split()[1]) < 1.1
    again = command(*words, "--seed", "2", "--json", tmp_path / "s.json")
    assert again.code == 0, again.err
    summary = json.loads((tmp_path / "s.json").read_text())
    assert summary["counts"]["frames"] == 40


def test_the_demo_leaves_other_peoples_files_alone(command, tmp_path: Path):
    """A folder of frames that no demo made is refused."""
    folder = tmp_path / "raw" / "20260314"
    folder.mkdir(parents=True)
    (folder / "mine.fits").write_text("precious")
    said = command("demo", "--out", tmp_path, "--size", "64")
    assert said.code == 2
    assert (folder / "mine.fits").read_text() == "precious"


def test_a_reader_that_leaves_early_is_no_error_to_complain_about():
    """`mirar-dask processors | head -1` prints no traceback."""
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "wb") as stream:
        done = subprocess.run(
            [sys.executable, "-m", "mirar_dask", "processors"],
            stdout=stream,
            stderr=subprocess.PIPE,
            text=True,
            timeout=120,
        )
    assert "Traceback" not in done.stderr
    assert "BrokenPipe" not in done.stderr


def test_report_writes_one_html_file(command, night, tmp_path: Path):
    """Into the run's folder, or where --html says; --json leaves it alone."""
    out = tmp_path / "out"
    command("run", "imager", "--raw", night, "--out", out, "--cluster", "serial", "-c", "reduce")
    (folder,) = (out / "imager" / "n1" / "runs").iterdir()
    report = folder / "report.html"
    report.unlink()
    assert command("report", "--out", out, "--json").code == 0
    assert not report.exists()
    said = command("report", "--out", out)
    assert said.code == 0 and str(report) in said.out
    assert "<title>imager n1, run " in report.read_text()
    elsewhere = tmp_path / "mine.html"
    assert str(elsewhere) in command("report", folder, "--html", elsewhere).out
    assert (
        "../out/" not in elsewhere.read_text() and 'href="out/imager/n1/' in elsewhere.read_text()
    )
    said = command("report", folder, "--html", tmp_path / "nowhere" / "r.html")
    assert said.code == 2 and "--html" in said.err


def test_plan_draws_a_flowchart(command, night, tmp_path: Path):
    """As PNG, whole or not at all."""
    path = tmp_path / "flow.png"
    assert command("plan", "imager", "--raw", night, "--out", tmp_path, "--png", path).code == 0
    assert path.read_bytes().startswith(b"\x89PNG")
    said = command("plan", "imager", "--raw", night, "--out", tmp_path, "--png", "/no/x.png")
    assert said.code == 2 and "--png" in said.err
