"""mirar's processors for nights as they happen: archives, errors in headers, a simulated camera."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from mirar_dask.data import Image, ImageBatch
from mirar_dask.errors import ErrorReport, ErrorStack, NoncriticalProcessingError
from mirar_dask.io import open_raw_image
from mirar_dask.paths import Roots, use_roots
from mirar_dask.processors.utils import (
    CalHunter,
    CalRequirement,
    ErrorStackAnnotator,
    MissingCalibrationsError,
    RealtimeImageSimulator,
    find_required_cals,
)
from mirar_dask.processors.utils.cal_hunter import earlier_nights
from mirar_dask.processors.utils.simulate_realtime import play_night
from mirar_dask.testing.images import make_header, make_image

DARKS = CalRequirement("dark", "EXPTIME", ["120.0", "30.0"])


def frame(folder: Path, name: str, **keys: object) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    header = make_header(name, **keys)
    for key in ("RAWPATH", "BASENAME"):
        header.remove(key, ignore_missing=True)
    fits.PrimaryHDU(np.full((4, 4), 7, np.int16), header).writeto(folder / name)
    return folder / name


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    """Return a root of nights: the newest has one kind of darks, an older one both."""
    for night, exptimes in (("20260101", [120.0, 30.0]), ("20260103", [30.0]), ("20260105", [1.0])):
        for number, exptime in enumerate(exptimes):
            frame(tmp_path / night / "raw", f"{number}.fits", TARGET="dark", EXPTIME=exptime)
        frame(tmp_path / night / "raw", "s.fits", TARGET="M13", EXPTIME=30.0)
    frame(tmp_path / "calibrat" / "raw", "no.fits", TARGET="dark", EXPTIME=120.0)
    frame(tmp_path / "20260109" / "raw", "later.fits", TARGET="dark", EXPTIME=120.0)
    return tmp_path


def names(images: ImageBatch) -> list[str]:
    return [image.get_name() for image in images]


def test_what_is_missing_comes_from_the_newest_night_that_has_it(archive: Path):
    """Of each value by itself; later nights and folders of other names do not count."""
    night = ImageBatch([make_image("0.fits", np.zeros((4, 4)), TARGET="M13", EXPTIME=30.0)])
    found = find_required_cals(
        archive / "20260106" / "raw", "20260106", [DARKS], images=night, skip_latest_night=True
    )
    paths = [Path(str(image["RAWPATH"])).parts[-3:] for image in found[1:]]
    assert paths == [("20260103", "raw", "0.fits"), ("20260101", "raw", "0.fits")]
    # Names that are taken get the night before them, so that none hides another.
    assert names(found) == ["0.fits", "20260103_0.fits", "20260101_0.fits"]
    assert names(night) == ["0.fits"]
    assert not DARKS.success
    assert DARKS.data == {}


def test_what_the_night_has_is_not_looked_for(archive: Path):
    """Its own frames count, and the night's own folder unless it is to be left out."""
    own = [make_image(f"{t}.fits", np.zeros((4, 4)), TARGET="dark", EXPTIME=t) for t in (30, 120)]
    batch = ImageBatch(own)
    assert names(find_required_cals(archive / "no", "no", [DARKS], images=batch)) == names(batch)
    ones = CalRequirement("dark", "EXPTIME", "1.0")
    found = find_required_cals(archive / "20260105" / "raw", "20260105", [ones])
    assert names(found) == ["0.fits"]


def test_what_is_found_nowhere_is_named(archive: Path):
    """With the values that are missing, and where was looked."""
    flats = CalRequirement("flat", "FILTER", ["r"])
    with pytest.raises(MissingCalibrationsError) as error:
        find_required_cals(archive / "20260106" / "raw", "20260106", [DARKS, flats])
    assert "no 'flat' with FILTER = r: not among the 0 images of 20260106" in str(error.value)
    assert "4 nights" in str(error.value)


def test_only_what_is_selected_is_loaded_whole(archive: Path):
    """A loader that reads pixels is not asked for the other frames, if headers can be had."""
    loaded: list[str] = []

    def load(path: Path) -> Image:
        loaded.append("/".join(path.parts[-3::2]))
        return open_raw_image(path)

    with use_roots(Roots(archive, archive / "out")):
        hunter = CalHunter(DARKS, load_image=load, scan_image=open_raw_image)
        hunter.set_night("20260106")
        done = hunter.process(ImageBatch([make_image("x.fits", np.zeros((4, 4)))]))
    assert loaded == ["20260103/0.fits", "20260101/0.fits"]
    assert done.batch is not None
    assert names(done.batch) == ["x.fits", "0.fits", "20260101_0.fits"]
    assert done.batch[1].get_data().max() == 7


def test_nights_are_those_of_the_same_form(tmp_path: Path):
    """Whatever its form is, and wherever its name stands in the path."""
    for name in ("2026-01-01", "2026-01-03", "2026-01-09", "calibratio", "20260101"):
        (tmp_path / name).mkdir()
    assert earlier_nights(tmp_path / "2026-01-05" / "a" / "b", "2026-01-05") == (
        tmp_path,
        Path("a/b"),
        ["2026-01-03", "2026-01-01"],
    )
    assert earlier_nights(tmp_path / "nowhere" / "n1", "n1")[2] == []


def test_errors_are_written_into_the_headers_of_their_images():
    """All of them, each once, critical or not, behind what is there; the rest was not processed."""
    stack = ErrorStack(
        [
            ErrorReport(ValueError("x"), "step", ["a.fits", "b.fits"]),
            ErrorReport(NoncriticalProcessingError("y"), "step", ["a.fits"]),
            ErrorReport(ValueError("z"), "step", ["a.fits"]),
        ]
    )
    images = ImageBatch([make_image(f"{n}.fits", np.zeros((2, 2))) for n in "abcd"])
    images[1]["PROCFAIL"] = "before"
    annotator = ErrorStackAnnotator(stack, processed_images=["c.fits"])
    annotator = pickle.loads(pickle.dumps(annotator))
    found = {image.get_name(): image["PROCFAIL"] for image in annotator.apply(images)}
    assert found == {
        "a.fits": "ValueError,NoncriticalProcessingError",
        "b.fits": "before,ValueError",
        "c.fits": "",
        "d.fits": "Not Processed",
    }


def test_a_camera_is_simulated_by_copying_frames(archive: Path, tmp_path: Path):
    """Into the night's folder; what is there is replaced, and what is missing is named."""
    source = archive / "20260101" / "raw"
    with use_roots(Roots(tmp_path / "raw", tmp_path / "out")):
        camera = RealtimeImageSimulator(source, ["0.fits", "s.fits"], "raw")
        camera.set_night("wasp/20260101")
        for _ in range(2):
            camera.apply(ImageBatch())
        copied = tmp_path / "out/wasp/20260101/raw"
        assert {p.name: p.read_bytes() for p in copied.iterdir()} == {
            name: (source / name).read_bytes() for name in ("0.fits", "s.fits")
        }
        missing = RealtimeImageSimulator(source, "no.fits", "raw")
        missing.set_night("wasp/20260101")
        with pytest.raises(FileNotFoundError, match=r"no.fits: not in"):
            missing.apply(ImageBatch())


def test_a_night_is_played_at_the_times_of_its_frames(tmp_path: Path):
    """Each comes when its exposure had ended, so many times as fast; long pauses are cut."""
    source = tmp_path / "source"
    times = {"b.fits": "2026-01-01T20:02:00", "a.fits": "2026-01-01T20:00:00"}
    times["c.fits"] = "2026-01-02T05:00:00"
    frames = [frame(source, n, **{"DATE-OBS": t, "EXPTIME": 60.0}) for n, t in times.items()]
    (source / "broken.fits").write_bytes(b"SIMPLE")
    frames.append(source / "broken.fits")
    waited: list[float] = []
    play_night(frames, tmp_path / "n1", speed=60, longest_gap=5, sleep=waited.append)
    assert waited == [0.0, 0.0, 2.0, 5]
    written = sorted((tmp_path / "n1").iterdir(), key=lambda path: path.stat().st_mtime_ns)
    assert [path.name for path in written] == ["broken.fits", "a.fits", "b.fits", "c.fits"]
