"""The night simulator: raw frames as a CCD camera writes them, with a truth that is known.

Used by the demo, by `mirar-dask simulate`, by the tests and benchmarks, and by people who test
pipelines of their own. What the frames hold is defined in `truth`; this module schedules the
exposures, adds noise, and writes the files.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np

from mirar_dask.testing.camera import Camera, Shape, make_patterns, stream
from mirar_dask.testing.dialects import DIALECTS, frame_header
from mirar_dask.testing.starfield import add_cosmic_rays, make_field
from mirar_dask.testing.truth import FrameTruth, NightTruth

logger = logging.getLogger(__name__)

BIAS_TIME, FLAT_TIME, FLAT_LAMP = 0.0, 4.0, 30_000.0
"""Exposure times (seconds) and the flats' typical light (electrons a pixel)."""
SKY_RATE = 25.0
"""Sky: electrons a second and pixel, more or less by filter."""


def simulate_night(
    folder: Path | str,
    *,
    size: int | tuple[int, int] = 512,
    n_bias: int = 10,
    n_dark: int = 6,
    n_flat: int = 6,
    n_science: int = 6,
    filters: Sequence[str] = ("g", "r"),
    targets: Sequence[str] = ("FIELD1",),
    exptime: float = 30.0,
    dark_exptime: float = 60.0,
    n_stars: int | None = None,
    dither: float = 8.0,
    wcs: bool = True,
    dialect: str = "mirar",
    camera: Camera | None = None,
    date: str = "2026-03-14",
    seed: int = 1,
    bad_files: bool = False,
    truth: Path | str | None = None,
) -> NightTruth:
    """Simulate a night of raw CCD frames whose truth is known.

    A frame depends on the seed, the camera and its own kind, filter, target and number, to the
    bit: a night with more frames, or with filters or targets added behind the others, holds the
    same frames and others besides.

    Parameters
    ----------
    folder : path
        Where the FITS files go (16 bits unsigned); made if it is not there.
    size : int or (ny, nx)
        Pixels of the exposed area.
    n_bias, n_dark : int
        Numbers of frames.
    n_flat : int
        Number of flats in each filter.
    n_science : int
        Number of science frames of each target in each filter.
    filters, targets : sequence of str
        Their names, as in the headers.
    exptime, dark_exptime : float
        Seconds, of science and dark frames.
    n_stars : int, optional
        Stars in each target's field; by default as many as suit the size.
    dither : float
        Largest shift between frames of a target along each axis, pixels. The first frame is not
        shifted; the others are, in turn by whole pixels and by fractions. 0 for none.
    wcs : bool
        Whether science frames have a (TAN) world coordinate system.
    dialect : str
        Habits of the headers: ``mirar``, ``iraf``, ``maxim`` or ``lco``.
    camera : Camera, optional
        Gain, noise, structure, overscan and defects; by default an ordinary camera.
    date : str
        The evening's date, ISO 8601.
    seed : int
        The same seed gives the same night.
    bad_files : bool
        Whether broken frames are planted among the good ones (`plant_broken_frames`).
    truth : path, optional
        Folder of the truth; by default ``truth`` beside a folder called ``raw``, else
        ``<folder's name>_truth`` beside the folder.

    Returns
    -------
    NightTruth
        What the calibrated frames should show; also saved in the truth's folder.

    Raises
    ------
    ValueError
        If a number, a size, a filter or the dialect makes no sense.
    """
    camera = camera or Camera()
    ny, nx = (size, size) if isinstance(size, int) else size
    _check(ny, nx, (n_bias, n_dark, n_flat, n_science), filters, targets, dialect, seed)
    shape = (ny, nx)
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    stars = n_stars if n_stars is not None else min(max(12, ny * nx // 3300), 2000)
    night = NightTruth(
        camera=camera,
        shape=shape,
        seed=seed,
        dialect=dialect,
        patterns=make_patterns(camera, shape, filters, seed),
        fields={
            name: make_field(
                name, shape, tuple(filters), seed, stars=stars, scale=camera.pixel_scale
            )
            for name in targets
        },
    )
    evening = datetime.fromisoformat(date)
    counts = {"bias": n_bias, "dark": n_dark, "flat": n_flat, "science": n_science}
    times = {"bias": BIAS_TIME, "dark": dark_exptime, "flat": FLAT_TIME, "science": exptime}
    for frame in _schedule(seed, evening, counts, times, filters, targets, dither):
        if frame.name in night.frames:
            raise ValueError(f"two frames would be called {frame.name!r}; choose another target")
        night.frames[frame.name] = frame
        _write(folder / frame.name, _expose(night, frame), _header(night, frame, wcs=wcs))
    if bad_files:
        from mirar_dask.testing.broken import plant_broken_frames

        night.broken = plant_broken_frames(folder, night)
    night.save(truth if truth is not None else truth_folder(folder))
    logger.info("simulated %d frames in %s", len(night.frames), folder)
    return night


def truth_folder(folder: Path | str) -> Path:
    """Where the truth of the night in that folder is kept unless the caller says otherwise."""
    folder = Path(folder).absolute()
    return folder.with_name("truth" if folder.name == "raw" else f"{folder.name}_truth")


def _check(
    ny: int,
    nx: int,
    counts: tuple[int, ...],
    filters: Sequence[str],
    targets: Sequence[str],
    dialect: str,
    seed: int,
) -> None:
    if min(ny, nx) < 16:
        raise ValueError(f"a simulated frame needs 16 by 16 pixels or more, found {ny} by {nx}")
    if min(counts) < 0 or sum(counts) == 0:
        raise ValueError(f"numbers of frames must be 0 or more, and not all 0, found {counts}")
    for what, names in (("filters", filters), ("targets", targets)):
        if isinstance(names, str) or len(set(map(_in_file_name, names))) != len(names):
            raise ValueError(f"{what} must be a list of different names, found {names!r}")
    if dialect not in DIALECTS:
        raise ValueError(f"unknown dialect {dialect!r}, known are {', '.join(DIALECTS)}")
    if seed < 0:
        raise ValueError(f"a seed is 0 or more, found {seed}")


def _in_file_name(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9+.-]+", "-", text)


def _schedule(
    seed: int,
    evening: datetime,
    counts: dict[str, int],
    times: dict[str, float],
    filters: Sequence[str],
    targets: Sequence[str],
    dither: float,
) -> Iterator[FrameTruth]:
    """List the night's frames in the order of taking.

    Each series has an hour of its own to start at, whatever the length of the others, so that
    headers do not depend on the number of frames either.
    """
    for kind, hour in (("bias", 15.0), ("dark", 15.5)):
        for i in range(counts[kind]):
            start = evening + timedelta(hours=hour, seconds=i * (times[kind] + 4.0))
            yield FrameTruth(
                f"{kind}_{i + 1:04d}.fits", kind, i + 1, "", "", times[kind], _iso(start)
            )
    for j, band in enumerate(filters):
        for i in range(counts["flat"]):
            start = evening + timedelta(hours=17.5 + 0.4 * j, seconds=i * (times["flat"] + 6.0))
            lamp = FLAT_LAMP * float(stream(seed, "lamp", band, i).uniform(0.7, 1.2))
            name = f"flat_{_in_file_name(band)}_{i + 1:04d}.fits"
            yield FrameTruth(name, "flat", i + 1, band, "", times["flat"], _iso(start), light=lamp)
    for k, target in enumerate(targets):
        for j, band in enumerate(filters):
            sky = SKY_RATE * float(stream(seed, "sky", band).uniform(0.8, 1.2)) * times["science"]
            for i in range(counts["science"]):
                own = stream(seed, "pointing", target, band, i)
                seconds = i * (times["science"] + 8.0)
                start = evening + timedelta(hours=20.0 + k + 0.5 * j, seconds=seconds)
                yield FrameTruth(
                    name=f"{_in_file_name(target)}_{_in_file_name(band)}_{i + 1:04d}.fits",
                    kind="science",
                    number=i + 1,
                    filter=band,
                    target=target,
                    exptime=times["science"],
                    date=_iso(start),
                    light=sky * float(own.uniform(0.9, 1.1)),
                    fwhm=float(own.uniform(2.6, 3.4)),
                    dither=_dither(own, i, dither),
                )


def _dither(rng: np.random.Generator, number: int, reach: float) -> tuple[float, float]:
    """Shift of a target's frame: none for the first, then whole and broken pixels in turn."""
    x, y = rng.uniform(-reach, reach, 2).tolist()
    if number == 0:
        return 0.0, 0.0
    return (float(round(x)), float(round(y))) if number % 2 else (x, y)


def _iso(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds")


def _expose(night: NightTruth, frame: FrameTruth) -> np.ndarray[Shape, np.dtype[np.uint16]]:
    """Take one frame: light through the optics, cosmic rays, dark current, noise, readout.

    Photon and readout noise are drawn as one normal deviate a pixel, of the sum of their
    variances: from some ten electrons on nothing tells that from Poisson's numbers, and below,
    the readout noise hides the difference.
    """
    camera, patterns, shape = night.camera, night.patterns, night.shape
    rng = stream(night.seed, frame.kind, frame.filter, frame.target, frame.number)
    electrons = night.light(frame.name)
    if frame.filter:
        electrons *= patterns.flats[frame.filter]
    electrons += patterns.dark * np.float32(frame.exptime)
    rays = int(rng.poisson(camera.cosmic_rate * frame.exptime * electrons.size / 1e6))
    night.cosmic_rays[frame.name] = add_cosmic_rays(electrons, rays, rng)
    spread = np.sqrt(electrons + np.float32(camera.read_noise**2))
    noise = rng.standard_normal(shape, dtype=np.float32)
    noise *= spread
    electrons += noise
    electrons *= np.float32(1 / camera.gain)
    electrons += patterns.bias

    drift = float(rng.normal(0, camera.bias_drift)) if camera.overscan else 0.0
    raw = np.empty(camera.raw_shape(shape), np.float32)
    raw[camera.exposed(shape)] = electrons
    if camera.overscan:
        readout = rng.standard_normal((shape[0], camera.overscan), dtype=np.float32)
        readout *= np.float32(camera.read_noise / camera.gain)
        # The overscan follows the level and its run along the rows; columns differ in the
        # exposed area alone.
        ramp = np.linspace(0, 1, shape[0], dtype=np.float32)[:, None] * camera.row_ramp
        readout += np.float32(camera.bias_level) + ramp.astype(np.float32)
        start = 0 if camera.overscan_side == "left" else shape[1]
        raw[:, start : start + camera.overscan] = readout
        raw += np.float32(drift)
    np.rint(raw, out=raw)
    np.clip(raw, 0, camera.saturation, out=raw)
    full = raw[camera.exposed(shape)] >= camera.saturation
    night.saturated[frame.name] = np.flatnonzero(full).astype(np.int64)
    return raw.astype(np.uint16)


def _header(night: NightTruth, frame: FrameTruth, *, wcs: bool) -> bytes:
    """Text of a frame's header, filled up to whole FITS blocks."""
    stars = night.fields[frame.target] if wcs and frame.target else None
    header = frame_header(frame, night.camera, night.shape, night.dialect, stars)
    return bytes(header.tostring().encode("ascii"))


def _write(path: Path, pixels: np.ndarray[Shape, np.dtype[np.uint16]], header: bytes) -> None:
    """Write a FITS file by hand: astropy takes four times as long for these plain frames."""
    pixels ^= np.uint16(0x8000)  # subtracts BZERO=32768, modulo 2**16
    filling = -pixels.nbytes % 2880
    with path.open("wb") as file:
        file.write(header)
        pixels.astype(">u2").tofile(file)
        file.write(bytes(filling))
