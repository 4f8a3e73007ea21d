"""What is done and unchanged is not done again; what failed or changed is, with what follows."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits

from mirar_dask.engine.journal import read_journal
from mirar_dask.engine.memo import MEMO
from mirar_dask.monitoring.heartbeat import SILENT_SECONDS
from mirar_dask.monitoring.report import RunSummary
from mirar_dask.registry import pipelines
from mirar_dask.run import plan_night, reduce_night
from mirar_dask.testing import simulate_night
from mirar_dask.testing.products import contents, differences

Marks = dict[str, tuple[int, int]]

ALL = {"twice", "centred", "levelled"}
"""Folders of the products of the steps of `LOGGED`."""

LOGGED = '''
from mirar_dask.pipelines.imager import ImagerPipeline
from mirar_dask.processors.base_processor import BaseImageProcessor
from mirar_dask.processors.csvlog import CSVLog
from mirar_dask.processors.utils import ImageBatcher, ImageSaver

FACTOR = 2.0


def helper(data):
    return data * FACTOR


class Twice(BaseImageProcessor):
    """Doubles each image."""

    base_key = "twice"

    def apply_to_image(self, image):
        image.set_data(helper(image.get_data()))
        self.add_caveat(image, "it was doubled")
        return image


class Centred(BaseImageProcessor):
    """Subtracts the mean of all images of the batch."""

    base_key = "centred"

    def prepare(self, batch):
        return sum(image.get_data() for image in batch) / len(batch)

    def apply_to_image(self, image, context):
        image.set_data(image.get_data() - context)
        return image


class Levelled(BaseImageProcessor):
    """Brings the images of a batch to one level, in mirar's way."""

    base_key = "levelled"

    def _apply_to_images(self, batch):
        levels = [float(image.get_data().mean()) for image in batch]
        for image, level in zip(batch, levels):
            image.set_data(image.get_data() - level + levels[0])
        return batch


class Logged(ImagerPipeline):
    """Reduces as imager does, doubles, centres, saves and logs."""

    name = "logged"

    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **options)
        steps = self.load_pipeline_configuration("reduce")
        more = [Twice(), ImageSaver("twice"), Centred(), ImageSaver("centred"),
                Levelled(), ImageSaver("levelled"),
                ImageBatcher("BASENAME"), CSVLog(["BASENAME", "FILTER", "EXPTIME"])]
        self.add_configuration("default", [*steps, *more])
'''


@pytest.fixture(scope="module")
def frames(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a night of 17 frames in two filters; tests work on copies of it."""
    folder = tmp_path_factory.mktemp("frames") / "n1"
    simulate_night(folder, size=64, n_bias=3, n_dark=2, n_flat=3, n_science=3, seed=5)
    return folder


@pytest.fixture(scope="module")
def done(frames: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder with the raw frames and products of a finished night, to be copied."""
    base = tmp_path_factory.mktemp("done")
    shutil.copytree(frames, base / "n1")
    assert go(base).exit_code == 0
    return base


@pytest.fixture
def night(done: Path, tmp_path: Path) -> Path:
    """Return a finished night of this test's own."""
    return renew(done, tmp_path / "night")


def renew(done: Path, base: Path) -> Path:
    """Move a finished night by copying it, with a run of its own as files that are new."""
    shutil.copytree(done / "n1", base / "n1")
    assert go(base).exit_code == 0
    return base


def go(base: Path, pipeline: str = "imager", out: str = "out", **options: Any) -> RunSummary:
    """Reduce the night of a folder on two threads."""
    options = {"cluster": "threads", "workers": 2, **options}
    return reduce_night(pipeline, raw=base / "n1", out=base / out, **options)


def again(base: Path, pipeline: str = "imager", **options: Any) -> RunSummary:
    """Reduce it once more, skipping what is done."""
    return go(base, pipeline, skip_existing=True, **options)


def output(base: Path, pipeline: str = "imager", out: str = "out") -> Path:
    return base / out / pipeline / "n1"


def marks(base: Path, pipeline: str = "imager") -> Marks:
    """What tells that a product was written anew, by relative path."""
    folder = output(base, pipeline)
    return {
        name: ((folder / name).stat().st_mtime_ns, (folder / name).stat().st_ino)
        for name in contents(folder)
    }


def rewritten(base: Path, before: Marks, pipeline: str = "imager") -> set[str]:
    """Products that are new, or were written anew."""
    return {name for name, mark in marks(base, pipeline).items() if before.get(name) != mark}


def tasks(summary: RunSummary) -> list[str]:
    """Labels of the tasks of a run."""
    events = read_journal(summary.run_folder / "journal.jsonl")
    return [event["label"] for event in events if event["event"] == "TaskFinished"]


def assert_as_if_undisturbed(base: Path, pipeline: str = "imager", **options: Any) -> None:
    """The products are those of a run that found nothing there."""
    fresh = go(base, pipeline, out="fresh", **options)
    assert fresh.counts["skipped"] == 0
    mine = contents(output(base, pipeline))
    for name, content in contents(output(base, pipeline, "fresh")).items():
        assert mine[name] == content, name


def brighten(frame: Path, factor: float = 1.1) -> None:
    """Make another frame of one."""
    with fits.open(frame, mode="update") as hdus:
        hdus[0].data = (hdus[0].data * factor).astype(hdus[0].data.dtype)


def test_a_finished_night_is_not_touched_and_no_raw_pixel_is_read(night: Path) -> None:
    """Every frame was done before; nothing is written, and the exit code is 0."""
    before = marks(night)
    summary = again(night)
    assert summary.exit_code == 0
    assert rewritten(night, before) == set()
    assert summary.products == ()
    assert summary.bytes_read.get("raw", 0) == 0
    assert summary.counts["skipped"] == 6
    assert summary.counts["set aside"] == len(summary.frames) - 6
    assert not [label for label in tasks(summary) if not label.endswith(" context")]


def test_what_was_done_before_names_the_run_that_did_it(night: Path) -> None:
    """The journal tells, for each frame, also after several resumptions."""
    first = next((output(night) / "runs").glob("2*")).name
    again(night)
    summary = again(night)
    told = [r for r in summary.records if r.status == "skipped"]
    assert {r.reason for r in told} == {f"done before by run {first}"}
    assert len({name for r in told for name in r.names}) == 6


def test_a_changed_flat_redoes_its_master_and_its_frames_and_nothing_else(night: Path) -> None:
    """Products of the other filter stay as they are."""
    before = marks(night)
    brighten(next((night / "n1").glob("*flat_r*")))
    summary = again(night)
    changed = rewritten(night, before)
    assert len([name for name in changed if name.startswith("calibration/flat_1x1_r")]) == 1
    assert len([name for name in changed if name.startswith("reduced/")]) == 3
    assert all("_r_" in name for name in changed), changed
    assert summary.counts["skipped"] == 3
    assert_as_if_undisturbed(night)


def test_a_changed_bias_redoes_everything_that_it_went_into(night: Path) -> None:
    """Masters that were corrected by it are made again under other names."""
    before = marks(night)
    brighten(next((night / "n1").glob("*bias*")), 1.02)
    summary = again(night)
    changed = rewritten(night, before)
    assert len([name for name in changed if name.startswith("calibration/")]) == 4
    assert len([name for name in changed if name.startswith("reduced/")]) == 6
    assert summary.counts["skipped"] == 0
    assert_as_if_undisturbed(night)


@pytest.mark.parametrize("folder", ["reduced", "stacks", "sources"])
@pytest.mark.parametrize("how", ["deleted", "altered"])
def test_a_product_that_is_gone_or_altered_is_made_again(
    night: Path, folder: str, how: str
) -> None:
    """It alone, and with it what is made in one step with it."""
    victim = sorted((output(night) / folder).glob("*_r_*"))[0]
    before = marks(night)
    if how == "deleted":
        victim.unlink()
    else:
        victim.write_bytes(victim.read_bytes().replace(b"1", b"2"))
    again(night)
    changed = rewritten(night, before)
    assert str(victim.relative_to(output(night))) in changed
    assert {name.partition("/")[0] for name in changed} <= {folder, "stacks", "sources"}
    assert all("_r_" in name for name in changed)
    assert_as_if_undisturbed(night)


def test_an_altered_master_is_made_again(night: Path) -> None:
    """The summary says so, and the frames that it goes into are redone with it."""
    master = next((output(night) / "calibration").glob("flat_1x1_r*"))
    before = marks(night)
    with fits.open(master, mode="update") as hdus:
        hdus[0].data *= 2
    summary = again(night)
    assert any(master.name in record.reason for record in summary.caveats)
    assert {n for n in rewritten(night, before) if n.startswith("calibration/")} == {
        f"calibration/{master.name}"
    }
    assert_as_if_undisturbed(night)


def test_another_parameter_redoes_what_comes_behind_it(night: Path) -> None:
    """A threshold of the detection leaves frames and stacks as they are."""
    before = marks(night)
    again(night, parameters={"detect.threshold": "20"})
    changed = rewritten(night, before)
    assert {name.partition("/")[0] for name in changed} == {"sources"}
    assert_as_if_undisturbed(night, parameters={"detect.threshold": "20"})


def test_another_parameter_of_a_master_redoes_what_it_goes_into(night: Path) -> None:
    """Also the masters that were corrected by it."""
    again(night, parameters={"bias.method": "mean"})
    assert_as_if_undisturbed(night, parameters={"bias.method": "mean"})
    shutil.rmtree(night / "fresh")
    assert again(night).counts["skipped"] == 0  # its products had been replaced
    assert_as_if_undisturbed(night)


def test_a_frame_that_failed_is_tried_again(frames: Path, tmp_path: Path) -> None:
    """A good frame in the place of the broken one is reduced, and its stack made anew."""
    shutil.copytree(frames, tmp_path / "n1")
    victim = sorted((tmp_path / "n1").glob("FIELD*_r_*"))[0]
    whole = victim.read_bytes()
    victim.write_bytes(whole[: len(whole) // 2])
    assert go(tmp_path).exit_code == 1
    summary = again(tmp_path)
    assert summary.exit_code == 1
    assert summary.frames[victim.name] == "failed"
    assert summary.counts["skipped"] == 5
    table = output(tmp_path) / "n1_error_stack.tsv"
    assert victim.name in table.read_text()
    victim.write_bytes(whole)
    summary = again(tmp_path)
    assert summary.exit_code == 0
    assert victim.name not in table.read_text()
    assert summary.frames[victim.name] == "succeeded"
    assert summary.counts["skipped"] == 3  # those of the other filter have the stack they had
    assert_as_if_undisturbed(tmp_path)


def test_a_frame_of_a_master_that_fails_costs_no_other_work(frames: Path, tmp_path: Path) -> None:
    """It is tried each time; frames that are corrected by the master of the others stay."""
    shutil.copytree(frames, tmp_path / "n1")
    go(tmp_path)
    flat = next((tmp_path / "n1").glob("flat_r*"))
    with fits.open(flat, mode="update") as hdus:
        hdus[0].data = np.zeros_like(hdus[0].data)
    first = again(tmp_path)
    before = marks(tmp_path)
    second = again(tmp_path)
    assert rewritten(tmp_path, before) == set()
    assert second.counts["skipped"] >= 6
    assert {r.reason for r in second.failures} == {r.reason for r in first.failures}


def script(folder: Path, **changes: str) -> str:
    """Write the user's pipeline, with some of its text changed, and return its name."""
    pipelines._classes.pop("logged", None)  # the script of another test
    text = LOGGED
    for old, new in changes.items():
        assert old in text
        text = text.replace(old, new)
    (folder / "mine.py").write_text(text)
    return f"{folder / 'mine.py'}:Logged"


def test_rows_and_caveats_of_what_was_done_before_are_there(frames: Path, tmp_path: Path) -> None:
    """The table of the night is whole, and the summary repeats what the user should know."""
    shutil.copytree(frames, tmp_path / "n1")
    pipeline = script(tmp_path)
    first = go(tmp_path, pipeline)
    table = output(tmp_path, "logged") / "n1_log.csv"
    assert table.is_file(), list(output(tmp_path, "logged").rglob("*.csv"))
    text = table.read_text()
    assert text.count("FIELD") == 6
    summary = again(tmp_path, pipeline)
    assert table.read_text() == text
    assert summary.counts["skipped"] == 6

    def doubled(run: RunSummary) -> set[tuple[str, ...]]:
        return {r.names for r in run.caveats if "doubled" in r.reason}

    assert [label for label in tasks(summary) if label in ("twice", "centred", "levelled")] == []
    assert doubled(summary) == doubled(first)
    assert len(doubled(first)) == 6


@pytest.mark.parametrize(
    ("old", "new", "redone"),
    [
        (
            "helper(image.get_data())",
            "helper(image.get_data()) + 1",
            ALL,
        ),
        ("return data * FACTOR", "return data * FACTOR + 1", ALL),
        ("FACTOR = 2.0", "FACTOR = 3.0", ALL),
        ("/ len(batch)", "/ len(batch) * 1.5", {"centred", "levelled"}),
        ("- level +", "- 2 * level +", {"levelled"}),
    ],
)
def test_code_of_a_user_that_changed_is_run_again(
    frames: Path, tmp_path: Path, old: str, new: str, redone: set[str]
) -> None:
    """A method, a function or a constant of his script; no version need be raised."""
    shutil.copytree(frames, tmp_path / "n1")
    go(tmp_path, script(tmp_path))
    before = marks(tmp_path, "logged")
    pipeline = script(tmp_path, **{old: new})
    again(tmp_path, pipeline)
    changed = rewritten(tmp_path, before, "logged")
    assert {n.partition("/")[0] for n in changed if "/" in n} == redone
    assert_as_if_undisturbed(tmp_path, pipeline)


@pytest.fixture(scope="module")
def logged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a night, in batches of six images, finished by a user's pipeline; to be copied."""
    base = tmp_path_factory.mktemp("logged")
    simulate_night(base / "n1", size=64, n_bias=2, n_dark=2, n_flat=2, n_science=6, seed=6)
    return base


def test_steps_between_products_are_not_run_again(logged: Path, tmp_path: Path) -> None:
    """In whatever form they are written: by image, with a context, by batch."""
    shutil.copytree(logged / "n1", tmp_path / "n1")
    pipeline = script(tmp_path)
    go(tmp_path, pipeline)
    before = marks(tmp_path, "logged")
    summary = again(tmp_path, pipeline)
    assert not [label for label in tasks(summary) if ALL & set(label.split(" ")[0].split("+"))]
    assert rewritten(tmp_path, before, "logged") == {"n1_log.csv"}
    assert summary.counts["skipped"] == 12


@pytest.mark.parametrize("folder", sorted(ALL))
def test_pixels_between_products_are_made_again_for_who_reads_them(
    logged: Path, tmp_path: Path, folder: str
) -> None:
    """A product that is gone comes back, and no other is touched."""
    shutil.copytree(logged / "n1", tmp_path / "n1")
    pipeline = script(tmp_path)
    go(tmp_path, pipeline)
    before = marks(tmp_path, "logged")
    victim = sorted((output(tmp_path, "logged") / folder).glob("*_g_*.fits"))[2]
    victim.unlink()
    again(tmp_path, pipeline)
    assert {n for n in rewritten(tmp_path, before, "logged") if "/" in n} == {
        f"{folder}/{victim.name}"
    }
    assert_as_if_undisturbed(tmp_path, pipeline)


def test_an_image_counts_with_the_others_that_it_was_centred_by(
    frames: Path, tmp_path: Path
) -> None:
    """One changed frame redoes, of those that share a context with it, that step only."""
    shutil.copytree(frames, tmp_path / "n1")
    pipeline = script(tmp_path)
    go(tmp_path, pipeline)
    before = marks(tmp_path, "logged")
    brighten(next((tmp_path / "n1").glob("FIELD*_g_*")))
    again(tmp_path, pipeline)
    changed = rewritten(tmp_path, before, "logged")
    assert len([n for n in changed if n.startswith("twice/")]) == 1
    assert len([n for n in changed if n.startswith("centred/")]) >= 3
    assert_as_if_undisturbed(tmp_path, pipeline)


def test_what_cannot_be_told_apart_is_done_again_and_the_plan_says_so(
    frames: Path, tmp_path: Path
) -> None:
    """A parameter that has an address for a text stands for no content."""
    shutil.copytree(frames, tmp_path / "n1")
    pipeline = script(
        tmp_path,
        **{
            'base_key = "twice"\n': (
                'base_key = "twice"\n\n    def __init__(self, thing=None):\n'
                "        super().__init__()\n        self.thing = thing or object()\n"
            )
        },
    )
    plan = plan_night(pipeline, raw=tmp_path / "n1", out=tmp_path / "out")
    assert any("twice" in text and "thing" in text for text in plan.not_resumable)
    go(tmp_path, pipeline)
    before = marks(tmp_path, "logged")
    again(tmp_path, pipeline)
    changed = rewritten(tmp_path, before, "logged")
    assert {n.partition("/")[0] for n in changed if "/" in n} == ALL


def test_clobber_starts_over_and_says_what_it_replaces(night: Path) -> None:
    """Masters are made again too, and come out the same."""
    before = marks(night)
    summary = go(night, clobber=True)
    assert rewritten(night, before) == set(before)
    assert any("starting over" in r.reason and "reduced" in r.reason for r in summary.caveats)
    assert_as_if_undisturbed(night)


def spoil(line: str) -> str:
    values = json.loads(line)
    if values.get("blocks"):
        values["blocks"][0]["members"][0].pop("header", None)
    return json.dumps(values) + "\n"


@pytest.mark.parametrize(
    "how",
    [lambda line: line[: len(line) // 2] + "\n", lambda line: "[]\n", spoil, lambda line: line * 2],
    ids=["torn", "other", "incomplete", "twice"],
)
def test_lines_that_tell_nothing_certain_are_passed_over(
    night: Path, how: Callable[[str], str]
) -> None:
    """What they stand for is done again."""
    (memo,) = (output(night) / "runs").glob(f"*/{MEMO}")
    lines = memo.read_text().splitlines(keepends=True)
    memo.write_text("".join(how(line) if '"key"' in line else line for line in lines))
    summary = again(night)
    assert summary.exit_code == 0
    assert summary.counts["skipped"] == 0
    assert_as_if_undisturbed(night)


@pytest.mark.parametrize("options", [{"cluster": "serial", "workers": None}, {"cache": "off"}])
def test_every_way_of_running_gives_the_same_products(night: Path, options: dict[str, Any]) -> None:
    """The serial engine does everything again; without a cache what is done is skipped."""
    summary = again(night, **options)
    assert summary.exit_code == 0
    assert summary.counts["skipped"] == (0 if options.get("cluster") == "serial" else 6)
    assert_as_if_undisturbed(night)


def test_products_may_lie_elsewhere_than_they_did(night: Path) -> None:
    """A night that was moved as a whole is known by its marks."""
    moved = night / "moved"
    output(night).parent.parent.rename(moved)
    summary = again(night, out="moved")
    assert summary.counts["skipped"] == 6


def test_a_run_that_was_killed_leaves_no_debris_behind_the_next(night: Path) -> None:
    """Its cache and half-written files go with the next run, whatever that is asked for."""
    (run,) = (output(night) / "runs").glob("2*")
    sign = run / "alive.json"
    sign.write_text("{}")  # torn: its age alone tells that the run is dead
    long_ago = time.time() - 2 * SILENT_SECONDS
    os.utime(sign, (long_ago, long_ago))
    (run / "cache").mkdir()
    (run / "cache" / "left.npy").write_text("")
    half = output(night) / "reduced" / ".tmp-0123456789ab-x.fits"
    half.write_text("")
    go(night)
    assert not (run / "cache").exists()
    assert not half.exists()


def test_a_file_that_a_processor_writes_by_itself_is_missed_when_it_is_gone(
    frames: Path, tmp_path: Path
) -> None:
    """If the processor has named it; then its step, and what is behind it, is done again."""
    shutil.copytree(frames, tmp_path / "n1")
    own = "from mirar_dask.atomic import note_written; from pathlib import Path; "
    own += f"path = Path({str(tmp_path)!r}) / (image.get_name() + '.txt'); path.write_text('x'); "
    pipeline = script(
        tmp_path,
        **{"        self.add_caveat": f"        {own}note_written(path)\n        self.add_caveat"},
    )
    go(tmp_path, pipeline)
    files = sorted(tmp_path.glob("FIELD*.txt"))
    assert len(files) == 6
    files[0].unlink()
    summary = again(tmp_path, pipeline)
    assert files[0].exists()
    assert summary.counts["skipped"] < 6
    assert again(tmp_path, pipeline).counts["skipped"] == 6


def test_differences_are_found(night: Path) -> None:
    """The comparison that these tests rely on sees one changed pixel."""
    shutil.copytree(output(night), night / "copy")
    assert differences(output(night), night / "copy") == []
    victim = sorted((night / "copy" / "reduced").iterdir())[0]
    with fits.open(victim, mode="update") as hdus:
        hdus[0].data[3, 4] += 1
    assert differences(output(night), night / "copy") == [f"reduced/{victim.name}"]
