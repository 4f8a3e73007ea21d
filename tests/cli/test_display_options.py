"""`--quiet`, `--log-file` and `-v`: what a run prints, and where its messages go."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

TALKS = '''
import logging

from mirar_dask.pipelines.base_pipeline import Pipeline
from mirar_dask.processors.base_processor import BaseImageProcessor
from mirar_dask.processors.utils.image_loader import ImageLoader

logger = logging.getLogger(__name__)


class Talks(BaseImageProcessor):
    """Says something about every image."""

    base_key = "talks"

    def apply_to_image(self, image):
        logger.info("seen: %s", image.get_name())
        return image


class Talking(Pipeline):
    """Loads and talks."""

    name = "talking_for_tests"
    all_pipeline_configurations = {"default": [ImageLoader(), Talks()]}
'''


@pytest.fixture(scope="module")
def talking(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return a pipeline whose processor logs."""
    path = tmp_path_factory.mktemp("pipeline") / "talking.py"
    path.write_text(TALKS)
    return f"{path}:Talking"


def test_quiet_prints_nothing_where_nothing_failed(command, night: Path, tmp_path: Path):
    """For scripts: the exit code says it all."""
    words = ["run", "imager", "--raw", night, "--out", tmp_path, "--cluster", "serial"]
    said = command(*words, "--quiet")
    assert (said.code, said.out, said.err) == (0, "", "")


def test_quiet_says_in_one_line_that_something_failed(command, bad_night: Path, tmp_path: Path):
    """And how to see what."""
    words = ["run", "imager", "--raw", bad_night, "--out", tmp_path, "--cluster", "serial"]
    said = command(*words, "-q")
    assert (said.code, said.out) == (1, "")
    assert re.fullmatch(r"mirar-dask: \d+ failures: 'mirar-dask report \S+' lists them\n", said.err)


@pytest.mark.parametrize("cluster", ["serial", "threads"])
def test_a_log_file_holds_what_tasks_said(
    command, talking: str, night: Path, tmp_path: Path, cluster: str
):
    """As the log of the run's own folder does; each message once."""
    log = tmp_path / "night.log"
    words = ["run", talking, "--raw", night, "--out", tmp_path, "--cluster", cluster]
    assert command(*words, "--log-file", log).code == 0
    (own,) = tmp_path.rglob("runs/*/log.txt")
    for text in (log.read_text(), own.read_text()):
        seen = re.findall(r"^    \S+ \S+ INFO \S+: seen: (\S+)$", text, re.MULTILINE)
        assert sorted(seen) == sorted(path.name for path in night.iterdir())
        assert re.search(r"^task \d+ \(talks\) on \S+:$", text, re.MULTILINE)


def test_a_log_file_that_cannot_be_written_is_refused_before_the_work(
    command, night: Path, tmp_path: Path
):
    """One sentence, exit code 2, and nothing was done."""
    words = ["run", "imager", "--raw", night, "--out", tmp_path, "--cluster", "serial"]
    said = command(*words, "--log-file", tmp_path / "gone" / "night.log")
    assert said.code == 2
    assert "--log-file" in said.err
    assert not (tmp_path / "imager").exists()


def test_verbose_shows_messages_of_the_package_and_not_every_word_of_dask(
    command, night: Path, tmp_path: Path
):
    """Said twice it shows those too."""
    words = ["run", "imager", "--raw", night, "--out", tmp_path, "-c", "reduce"]
    said = command(*words, "--cluster", "threads", "-v")
    assert "INFO mirar_dask." in said.out
    assert "INFO distributed" not in said.out
    assert "INFO distributed" in command(*words, "--cluster", "threads", "-vv").out
