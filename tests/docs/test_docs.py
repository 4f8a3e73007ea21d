"""What the documentation shows can be done, word for word; `make docs` builds its pages."""

from __future__ import annotations

import doctest
import importlib
import re
from pathlib import Path

import numpy as np
import pytest

import mirar_dask
from mirar_dask.data import Image, ImageBatch
from mirar_dask.pipelines.instrument import read_instrument
from mirar_dask.testing import simulate_night
from mirar_dask.testing.images import make_image

pytestmark = pytest.mark.usefixtures("forgotten")

PACKAGE = Path(mirar_dask.__file__).parent
DOCS = Path(__file__).parents[2] / "docs"
PAGES = sorted(path for path in DOCS.rglob("*.md") if "_build" not in path.parts)
WITH_EXAMPLES = [path for path in sorted(PACKAGE.rglob("*.py")) if ">>> " in path.read_text()]


def name_of(path: Path) -> str:
    return str(path.relative_to(DOCS))


def blocks(page: str, language: str = "python") -> list[str]:
    text = (DOCS / page).read_text(encoding="utf-8")
    return re.findall(rf"```{language}\n(.*?)```", text, flags=re.DOTALL)


@pytest.mark.parametrize("path", WITH_EXAMPLES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_examples_in_docstrings_are_true(path: Path):
    """Every example gives what it shows."""
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    result = doctest.testmod(importlib.import_module(".".join(parts)))
    assert result.attempted and not result.failed


def run(code: list[str]) -> dict[str, object]:
    """Carry out blocks of a page one after the other, as one module."""
    names: dict[str, object] = {"__name__": "page"}
    for block in code:
        exec(compile(block, "page", "exec"), names)
    return names


def test_the_processors_of_the_guide_do_what_they_say(tmp_path: Path):
    """Each is applied; the guide's own test passes."""
    names = run(blocks("processors.md"))
    names["test_a_plane_is_gone"](tmp_path)
    images = [make_image(f"{level}.fits", np.full((4, 4), level, "f4")) for level in (1, 3, 5)]
    scaled = names["ScaleToBatch"]().apply(ImageBatch(images))
    assert [float(image.get_data()[0, 0]) for image in scaled] == [3, 3, 3]
    for image, seeing in zip(images, (2, 1, 3), strict=True):
        image["SEEING"] = seeing
    sharp = names["SharpestHalf"]().process(ImageBatch(images)).batch
    assert [image["SEEING"] for image in sharp] == [1, 2]
    images[0]["EXPTIME"], images[1]["EXPTIME"] = 0.5, 900.0
    checked = names["CheckExposure"]().process(ImageBatch(images))
    assert len(checked.batch) == 2
    assert sorted(record.status.value for record in checked.records) == [
        "failed",
        "succeeded with caveats",
    ]


def test_the_pipelines_of_the_guide_reduce_a_night(tmp_path: Path):
    """The one behind `imager`, and the one from nothing."""
    from mirar_dask.run import reduce_night

    raw = tmp_path / "n1"
    simulate_night(raw, size=32, n_bias=2, n_dark=1, n_flat=2, n_science=1, n_stars=3)
    names = run(blocks("processors.md"))
    for pipeline, folder in (("MyPipeline", "flattened"), ("Quick", "reduced")):
        summary = reduce_night(names[pipeline], raw=raw, out=tmp_path / "out", cluster="serial")
        assert not summary.failures
        assert len(list((summary.output / folder).glob("*.fits"))) == 2


def test_a_function_of_ccdproc_becomes_a_processor():
    """As the page on other systems shows it: a cosmic ray is gone."""
    (code,) = blocks("start/other_systems.md")
    noise = np.random.default_rng(1).normal(100, 3, (64, 64)).astype("f4")
    noise[20, 30] = 5000
    image: Image = make_image("a.fits", noise)
    (cleaned,) = run([code])["CosmicRayCleaner"]().apply(ImageBatch([image]))
    assert cleaned.get_data().max() < 200


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_option_that_a_page_names_is_there(page: Path, help_texts: str):
    """Of `mirar-dask`; those of other programs are named in text of their own."""
    for line in re.findall(r"mirar-dask (?!cluster)[^`\n]*", page.read_text(encoding="utf-8")):
        ours = re.sub(r'"[^"]*"', "", line)  # what stands in quotes is another program's
        for option in re.findall(r"(?<![\w-])--[a-z][a-z-]+", ours):
            assert option in help_texts, line


@pytest.fixture(scope="module")
def help_texts() -> str:
    """Options of all commands."""
    import click

    from mirar_dask.cli.app import app

    def of(command: click.Command) -> str:
        own = " ".join(word for p in command.params for word in (*p.opts, *p.secondary_opts))
        return " ".join([own, *map(of, getattr(command, "commands", {}).values())])

    importlib.import_module("mirar_dask.cli")
    return of(app) + " --help"


def test_the_instrument_file_of_the_guide_is_valid(tmp_path: Path):
    """Nobody should copy something that is refused; nor from the README."""
    texts = [blocks("own_camera.md", "toml"), blocks("../README.md", "toml")]
    assert all(texts)
    for number, text in enumerate([*texts[0], *texts[1]]):
        path = tmp_path / f"{number}.toml"
        path.write_text(text)
        read_instrument(path)
