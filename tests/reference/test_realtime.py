"""Processors for nights as they happen find and write what mirar's own do."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from mirar_dask.data import ImageBatch
from mirar_dask.errors import ErrorReport, ErrorStack
from mirar_dask.processors.utils import CalRequirement, ErrorStackAnnotator, find_required_cals
from mirar_dask.testing.images import make_header, make_image

from .conftest import reference

pytestmark = pytest.mark.reference

THEIRS = """
import json, os, sys
from pathlib import Path
import numpy as np
from astropy.io import fits
from mirar.data import Image, ImageBatch
from mirar.errors import ErrorReport, ErrorStack
from mirar.processors.utils.cal_hunter import CalRequirement, find_required_cals
from mirar.processors.utils.error_annotator import ErrorStackAnnotator

from mirar.data.cache import cache
root = Path(sys.argv[1])
(root / "cache").mkdir()
cache.set_cache_dir(root / "cache")
found = find_required_cals(
    root / "20260106" / "raw", "20260106",
    [CalRequirement("dark", "EXPTIME", ["120.0", "30.0"]), CalRequirement("flat", "FILTER", ["r"])],
    images=ImageBatch(), skip_latest_night=True,
)
cals = ["/".join(Path(image["RAWPATH"]).parts[-3:]) for image in found]
stack = ErrorStack([ErrorReport(ValueError("x"), "step", ["a.fits"])])
stack.add_report(ErrorReport(KeyError("y"), "step", ["a.fits", "b.fits"]))
images = ImageBatch([
    Image(np.zeros((2, 2)), fits.Header({"RAWPATH": n, "BASENAME": n, "PROCFAIL": ""}))
    for n in ("a.fits", "b.fits", "c.fits", "d.fits")
])
done = ErrorStackAnnotator(stack, ["c.fits"])._apply_to_images(images)
print(json.dumps({"cals": cals, "failed": [image["PROCFAIL"] for image in done]}))
"""


def frame(path: Path, **keys: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    header = make_header(path.name, **keys)
    fits.PrimaryHDU(np.zeros((4, 4), np.int16), header).writeto(path)


def test_calibrations_and_annotations_are_those_of_mirar(tmp_path: Path):
    """The same frames of the same nights; the same words in PROCFAIL."""
    for night, exptimes in (("20260101", [120.0, 30.0]), ("20260103", [30.0]), ("20260107", [120])):
        for number, exptime in enumerate(exptimes):
            name = f"{night}_{number}.fits"
            frame(tmp_path / night / "raw" / name, TARGET="dark", EXPTIME=float(exptime))
        frame(tmp_path / night / "raw" / f"{night}_f.fits", TARGET="flat", FILTER="r")
    python = reference("environments").MIRAR.python_of()
    environment = {"HOME": str(tmp_path), "PATH": "/usr/bin:/bin"}
    environment |= {"RAW_DATA_DIR": str(tmp_path), "OUTPUT_DATA_DIR": str(tmp_path / "out")}
    done = subprocess.run(
        [str(python), "-c", THEIRS, str(tmp_path)], capture_output=True, text=True, env=environment
    )
    assert done.returncode == 0, done.stderr[-3000:]
    theirs = json.loads(done.stdout.splitlines()[-1])
    required = [
        CalRequirement("dark", "EXPTIME", ["120.0", "30.0"]),
        CalRequirement("flat", "FILTER", ["r"]),
    ]
    found = find_required_cals(
        tmp_path / "20260106" / "raw", "20260106", required, skip_latest_night=True
    )
    assert sorted("/".join(Path(image["RAWPATH"]).parts[-3:]) for image in found) == sorted(
        theirs["cals"]
    )
    stack = ErrorStack([ErrorReport(ValueError("x"), "step", ["a.fits"])])
    stack.add_report(ErrorReport(KeyError("y"), "step", ["a.fits", "b.fits"]))
    images = ImageBatch([make_image(f"{n}.fits", np.zeros((2, 2))) for n in "abcd"])
    ours = ErrorStackAnnotator(stack, ["c.fits"]).apply(images)
    assert [image["PROCFAIL"] for image in ours] == theirs["failed"]
