"""Whole nights with frames that mean harm: each costs itself alone, and memory, time and files."""

from __future__ import annotations

import json
import os
import re
import resource
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits

from mirar_dask.testing import simulate_night
from mirar_dask.testing.hostile import (
    EVIL_NAMES,
    EVIL_TEXTS,
    HOSTILE_FILES,
    HOSTILE_HEADERS,
    plant_hostile_frames,
)

MEMORY = 4 << 30
"""Address space of a run, bytes: what Python's libraries take, and some. A frame has 8 kB."""
UNREADABLE = {
    *(kind for kind in HOSTILE_FILES if kind.startswith(("axis", "bitpix", "claims", "link"))),
    *(kind for kind in HOSTILE_FILES if kind.startswith(("naxis", "tiles", "bomb", "sparse"))),
    *("pipe", "socket", "endless_header", "no_simple", "pcount_negative", "twice_compressed"),
} - {"link_to_folder"}  # a folder is no frame


def mirar_dask(*words: object, memory: int = MEMORY, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run the command with no more than so much memory, and let no file be written elsewhere."""
    return subprocess.run(
        [sys.executable, "-m", "mirar_dask", *map(str, words)],
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (memory, memory)),
        capture_output=True,
        text=True,
        timeout=250,
        cwd=cwd,
    )


def everything(folder: Path, but: Path) -> set[str]:
    """Return all paths of a tree, apart from those below another one."""
    found = set()
    for place, folders, names in os.walk(folder):
        if Path(place) == but:
            folders.clear()
            continue
        found |= {os.path.join(place, name) for name in [*folders, *names]}
    return found


def night_with(
    folder: Path, raw: Path, kinds: Sequence[str] | None, *more: object
) -> tuple[dict[str, Any], subprocess.CompletedProcess[str], dict[str, str], Path]:
    """Reduce a good night, then the same with hostile frames among it."""
    truth = simulate_night(raw, size=64, n_bias=3, n_dark=3, n_flat=3, n_science=2, filters=("r",))
    assert (
        mirar_dask(
            "run", "imager", "--raw", raw, "--out", folder / "good", *more, cwd=folder
        ).returncode
        == 0
    )
    good = folder / "good/imager" / raw.name
    planted = plant_hostile_frames(raw, raw / truth.names("science")[0], kinds)
    (folder / "out").mkdir()
    before = everything(folder, folder / "out")
    run = mirar_dask(
        *("run", "imager", "--raw", raw, "--out", folder / "out", "--json", folder / "out/s.json"),
        *more,
        cwd=folder,
    )
    assert everything(folder, folder / "out") == before
    assert run.returncode == 1, run.stderr
    summary = json.loads((folder / "out/s.json").read_text())
    same_products(good, folder / "out/imager" / raw.name, truth.names("science"))
    return summary, run, planted, folder / "out/imager" / raw.name


def same_products(good: Path, found: Path, names: Sequence[str]) -> None:
    """Masters and the reduced frames of the good night are what they are without the others."""
    for name in names:
        one, other = (fits.getdata(folder / "reduced" / name) for folder in (good, found))
        assert np.array_equal(one, other, equal_nan=True), name
    masters = sorted((good / "calibration").glob("*.fits"))
    assert len(masters) == 3
    for path in masters:  # the name tells also by which keys frames were told apart
        same = (found / "calibration").glob(f"{path.stem.rpartition('_')[0]}_*.fits")
        assert any(np.array_equal(fits.getdata(path), fits.getdata(p)) for p in same), path


def check(
    summary: dict[str, Any],
    run: subprocess.CompletedProcess[str],
    planted: dict[str, str],
    products: Path,
) -> None:
    """Each has an outcome with a reason; nothing reached the terminal that steers it."""
    assert "Traceback" not in run.stderr
    for text in (run.stdout, run.stderr):
        assert not re.search("[\x00-\x08\x0b-\x1f\x7f\ud800-\udfff]", text)
    reasons = {name: f["reason"] for f in summary["failures"] for name in f["frames"]}
    for file, kind in planted.items():
        if kind in UNREADABLE:
            assert reasons.get(file), file
            assert not re.match(
                r"(Attribute|Type|Key|Index|Value|Unicode\w*|Memory)Error", reasons[file]
            )
    for reason in reasons.values():
        assert "\n" not in reason
        assert not reason.startswith(("AttributeError", "TypeError", "IndexError", "MemoryError"))
    for path in products.rglob("*"):
        assert not path.is_symlink()
        assert not path.name.startswith("-"), path
        if "runs" not in path.parts:
            assert path.name.isprintable()
            assert not path.name.startswith("."), path


def test_files_that_lie_cost_themselves_alone(tmp_path: Path) -> None:
    """Pipes, devices, bombs, claims of 100 GB, endless headers: in 4 GB of address space."""
    kinds = [*HOSTILE_FILES, *(os.fsdecode(name) for name in EVIL_NAMES)]
    words = ("--cluster", "serial", "-c", "reduce")
    check(*night_with(tmp_path, tmp_path / "raw/n1", kinds, *words))


def test_headers_lead_nowhere_and_break_nothing(tmp_path: Path) -> None:
    """Names with separators, dots, control characters; odd numbers and dates in some keys."""
    kinds = [k for k in HOSTILE_HEADERS if k.startswith(("BASENAME_", "FILTER_c", "TARGET_c"))]
    kinds += [k for k in HOSTILE_HEADERS if k.endswith(("_nan", "_overflow", "_huge", "_words"))]
    words = ("--cluster", "serial", "-c", "reduce")
    summary, run, planted, products = night_with(tmp_path, tmp_path / "raw/n1", kinds, *words)
    check(summary, run, planted, products)
    assert len(list((products / "reduced").iterdir())) > len(EVIL_TEXTS)


@pytest.mark.slow
def test_all_of_it_on_workers_with_stacks_and_tables(tmp_path: Path) -> None:
    """The default configuration on worker processes."""
    words = ("--workers", "2", "--memory", "1500MB")
    check(*night_with(tmp_path, tmp_path / "raw/n1", None, *words))
