"""The nights that are reduced for comparison: simulated ones, or any folder of raw frames."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from dataclasses import astuple, dataclass
from pathlib import Path

import numpy as np
from astropy.io import fits

from mirar_dask.testing import NightTruth, simulate_night, truth_folder

EDGE = 32
"""Pixels a side of the frames of a miniature."""
RECORD = 2880
"""FITS files are made of records of this many bytes."""


@dataclass(frozen=True)
class NightSize:
    """How large a simulated night is; flats and science frames are for each of two filters."""

    size: int
    n_bias: int
    n_dark: int
    n_flat: int
    n_science: int


NAMED = {
    "night-200": NightSize(2048, 12, 9, 9, 80),
    "night-74": NightSize(2048, 10, 8, 8, 20),
    "night-512": NightSize(512, 12, 9, 9, 80),
    "night-4096": NightSize(4096, 7, 5, 5, 12),
}
"""199, 74, 199 and 46 frames."""
QUICK = NightSize(128, 5, 3, 3, 4)


@dataclass(frozen=True)
class Frame:
    """What a raw frame is, as its header says."""

    name: str
    kind: str
    filter: str
    bytes: int


@dataclass(frozen=True)
class Night:
    """A folder of raw frames."""

    raw: Path
    frames: list[Frame]
    truth: NightTruth | None
    """Known of simulated nights only."""

    @classmethod
    def of(cls, raw: Path) -> Night:
        """Look at a folder."""
        frames = []
        for path in sorted(raw.glob("*.fits")):
            header = fits.getheader(path)
            frames.append(
                Frame(path.name, header["OBSCLASS"], header["FILTER"], path.stat().st_size)
            )
        if not any(frame.kind == "science" for frame in frames):
            raise SystemExit(f"no science frames (OBSCLASS) among the *.fits of {raw}")
        try:
            truth = NightTruth.load(truth_folder(raw))
        except FileNotFoundError:
            truth = None
        return cls(raw, frames, truth)

    def names(self, kind: str) -> list[str]:
        """Files of one kind."""
        return [frame.name for frame in self.frames if frame.kind == kind]

    def warm(self) -> None:
        """Read all frames, so that they are in memory: disks are not what is compared."""
        for frame in self.frames:
            (self.raw / frame.name).read_bytes()

    def line(self, shape: Iterable[int]) -> str:
        """Tell how large the night is."""
        counts = {kind: len(self.names(kind)) for kind in ("bias", "dark", "flat", "science")}
        told = ", ".join(f"{count} {kind}" for kind, count in counts.items())
        size = " by ".join(str(pixels) for pixels in shape)
        return f"{len(self.frames)} frames ({told}) of {size} pixels"


def simulated(size: NightSize, seed: int, folder: Path) -> Night:
    """Simulate a night unless an earlier run has."""
    raw = folder / f"night-{'-'.join(map(str, astuple(size)))}-{seed}" / "raw"
    if not (truth_folder(raw)).exists():  # it is written last
        shutil.rmtree(raw.parent, ignore_errors=True)
        simulate_night(
            raw,
            size=size.size,
            n_bias=size.n_bias,
            n_dark=size.n_dark,
            n_flat=size.n_flat,
            n_science=size.n_science,
            seed=seed,
        )
    return Night.of(raw)


def miniature(night: Night, folder: Path) -> Night:
    """Cut a small corner out of each frame: the same night, but for its pixels."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for name in (frame.name for frame in night.frames):
        with fits.open(night.raw / name, memmap=True, do_not_scale_image_data=True) as hdus:
            header, corner = hdus[0].header.copy(), hdus[0].data[:EDGE, :EDGE]
            header["NAXIS2"], header["NAXIS1"] = corner.shape
            pixels = np.ascontiguousarray(corner).tobytes()
        text = header.tostring().encode("ascii")
        (folder / name).write_bytes(text + pixels + bytes(-len(pixels) % RECORD))
    return Night.of(folder)


@dataclass(frozen=True)
class Bytes:
    """How much is read and written."""

    read: int
    written: int

    def __sub__(self, other: Bytes) -> Bytes:
        return Bytes(self.read - other.read, self.written - other.written)


def ideal(night: Night, shape: tuple[int, int]) -> Bytes:
    """Return the bytes that a reduction need not exceed.

    Read are the raw frames once, flats, which are normalised first, twice, and the masters;
    written are products, masters and one float32 copy of each frame that enters a master.

    Parameters
    ----------
    night : Night
        Its files count as they are.
    shape : (ny, nx)
        Of a product.
    """
    pixels = 4 * shape[0] * shape[1]
    product = -(-pixels // RECORD) * RECORD
    raw = dict.fromkeys(("bias", "dark", "flat", "science"), 0)
    for frame in night.frames:
        raw[frame.kind] += frame.bytes
    flats = {frame.filter for frame in night.frames if frame.kind == "flat"}
    masters = bool(raw["bias"]) + bool(raw["dark"]) + len(flats)
    science = len(night.names("science"))
    return Bytes(
        read=sum(raw.values()) + raw["flat"] + masters * product,
        written=(science + masters) * product + (len(night.frames) - science) * pixels,
    )
