"""The truth behind a simulated night: what each calibrated frame should show, pixel by pixel.

Made by `mirar_dask.testing.night.simulate_night`, which keeps it in a folder beside the frames;
`NightTruth.load` finds it again, in another process or on another day.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mirar_dask.testing.camera import BoolImage, Camera, FloatImage, Patterns, Shape
from mirar_dask.testing.starfield import StarField, add_stars

Indices = NDArray[np.int64]

TRUTH_FILE, PIXELS_FILE = "truth.json", "truth.npz"
SKY_TILT = 0.03
"""Rise of the sky's brightness from the frame's centre to its right edge, as a fraction."""


@dataclass(frozen=True, slots=True)
class FrameTruth:
    """What one frame is."""

    name: str
    """File name."""
    kind: str
    """bias, dark, flat or science."""
    number: int
    """Counted from one within its series."""
    filter: str
    """Empty for bias and dark frames."""
    target: str
    """Name of the star field; empty for calibration frames."""
    exptime: float
    """Seconds."""
    date: str
    """Start of the exposure, UTC, ISO 8601."""
    light: float = 0.0
    """Sky (science) or lamp (flat) in the middle of the frame: electrons a pixel."""
    dither: tuple[float, float] = (0.0, 0.0)
    """Shift of the stars along x and y: pixels."""
    fwhm: float = 0.0
    """Width of the stars: pixels."""


@dataclass(frozen=True, slots=True)
class Deviation:
    """How far a product is from the truth, in units of the noise that it must have."""

    scatter: float
    """Robust standard deviation of (product - truth) / noise: 1.00 is perfect."""
    offset: float
    """Median of (product - truth) / noise: 0.00 is perfect."""
    outliers: float
    """Fraction of the pixels beyond five times the noise."""
    pixels: int
    """Number of pixels compared (bad, saturated and cosmic-ray pixels are left out)."""


@dataclass
class NightTruth:
    """Everything that is known about a simulated night.

    Safe to share between threads: nothing in it changes after the night was simulated.
    """

    camera: Camera
    shape: Shape
    """The exposed area, (ny, nx); raw frames are wider by the overscan."""
    seed: int
    dialect: str
    patterns: Patterns
    frames: dict[str, FrameTruth] = field(default_factory=dict)
    """By file name."""
    fields: dict[str, StarField] = field(default_factory=dict)
    """By target."""
    broken: dict[str, str] = field(default_factory=dict)
    """Files that were planted broken: name -> what is wrong with it."""
    cosmic_rays: dict[str, Indices] = field(default_factory=dict, repr=False)
    """Flat indices (exposed area) of the pixels that cosmic rays hit, by file name."""
    saturated: dict[str, Indices] = field(default_factory=dict, repr=False)
    """Flat indices (exposed area) of saturated pixels, by file name."""
    folder: Path | None = None
    """Where the truth itself is kept."""

    def names(self, kind: str) -> list[str]:
        """File names of one kind (bias, dark, flat, science), in the order of taking."""
        return [frame.name for frame in self.frames.values() if frame.kind == kind]

    def light(self, name: str) -> FloatImage:
        """Light that falls on the detector during that exposure: electrons, shape (ny, nx)."""
        frame = self.frames[name]
        if frame.kind != "science":
            return np.full(self.shape, frame.light, np.float32)
        x = np.linspace(-1, 1, self.shape[1], dtype=np.float32)
        row = np.float32(frame.light) * (1 + np.float32(SKY_TILT) * x)
        image = np.ascontiguousarray(np.broadcast_to(row, self.shape))
        stars = self.fields[frame.target]
        flux = stars.rates[frame.filter] * frame.exptime
        add_stars(image, *stars.pixel_positions(self.shape, frame.dither), flux, frame.fwhm)
        return image

    def expected(self, name: str) -> FloatImage:
        """Calibrated frame without any noise: ADU, shape (ny, nx).

        It is what overscan, bias, dark and flat correction should leave, with a flat that is
        normalised to a median of 1 over the exposed area.
        """
        return self.light(name) / np.float32(self.camera.gain)

    def good(self, name: str) -> BoolImage:
        """Tell which pixels of a frame can be compared with the truth, shape (ny, nx)."""
        good = ~self.patterns.bad
        for hit in (self.cosmic_rays, self.saturated):
            good.reshape(-1)[hit.get(name, np.empty(0, np.int64))] = False
        return good

    def noise(self, name: str) -> FloatImage:
        """Give the noise that a calibrated science frame must have: ADU, shape (ny, nx).

        The standard deviation from photons, dark current, readout and rounding of the frame
        itself, and from median masters made of all of the night's calibration frames.
        """
        frame, camera, flat = self.frames[name], self.camera, self._flat(name)
        light = self.light(name)
        readout = (camera.read_noise / camera.gain) ** 2 + 1 / 12
        per_adu2 = np.float32(1 / camera.gain**2)
        dark = self.patterns.dark * np.float32(frame.exptime)
        variance = (light * flat + dark) * per_adu2 + np.float32(readout)

        darks = [self.frames[other] for other in self.names("dark")]
        ratio = float(np.mean([frame.exptime / other.exptime for other in darks])) if darks else 0.0
        # A dark frame carries the master bias too: with equal exposures it cancels out.
        biases = len(self.names("bias"))
        if biases:
            variance += np.float32((1 - ratio) ** 2 * _median_loss(biases) * readout / biases)
        if darks:
            long = np.float32(np.mean([other.exptime for other in darks]))
            one = self.patterns.dark * long * per_adu2 + np.float32(readout)
            variance += one * np.float32(ratio**2 * _median_loss(len(darks)) / len(darks))
        variance /= flat * flat

        flats = [f for f in self.frames.values() if f.kind == "flat" and f.filter == frame.filter]
        if flats:
            lamp = np.float32(np.mean([other.light for other in flats]))
            one = (lamp * flat + np.float32(camera.read_noise**2)) / (lamp * flat) ** 2
            share = np.float32(_median_loss(len(flats)) / len(flats)) * per_adu2
            variance += light * light * one * share
        return np.sqrt(variance)

    def stars(self, name: str) -> NDArray[np.void]:
        """Stars inside a science frame: a structured array, the brightest first.

        Fields: x, y (pixels of the exposed area, counted from zero), flux (total, ADU),
        ra, dec (degrees), saturated (bool).
        """
        frame = self.frames[name]
        stars = self.fields[frame.target]
        x, y = stars.pixel_positions(self.shape, frame.dither)
        ra, dec = stars.sky_positions()
        flux = stars.rates[frame.filter] * frame.exptime / self.camera.gain
        inside = (x > -0.5) & (x < self.shape[1] - 0.5) & (y > -0.5) & (y < self.shape[0] - 0.5)
        order = np.flatnonzero(inside)[np.argsort(-flux[inside], kind="stable")]
        full = np.zeros(self.shape, bool)
        full.reshape(-1)[self.saturated.get(name, np.empty(0, np.int64))] = True
        kinds = [(key, "f8") for key in ("x", "y", "flux", "ra", "dec")] + [("saturated", "?")]
        table = np.empty(order.size, dtype=kinds)
        for key, values in zip(("x", "y", "flux", "ra", "dec"), (x, y, flux, ra, dec), strict=True):
            table[key] = values[order]
        table["saturated"] = full[np.rint(table["y"]).astype(int), np.rint(table["x"]).astype(int)]
        return table

    def compare(self, product: Path | str, name: str | None = None) -> Deviation:
        """Compare a calibrated frame with the truth.

        Parameters
        ----------
        product : path
            A FITS file; an untrimmed one is cut to the exposed area.
        name : str, optional
            The frame that it was made from; by default BASENAME of its header, or its own name.

        Raises
        ------
        KeyError
            If the product belongs to no science frame of this night.
        ValueError
            If its shape is not that of a frame of this night.
        """
        from astropy.io import fits

        with fits.open(product) as hdus:
            image = next(hdu for hdu in hdus if hdu.data is not None)
            data = np.asarray(image.data, np.float32)
            name = name or str(image.header.get("BASENAME", Path(product).name))
        if name not in self.frames or self.frames[name].kind != "science":
            raise KeyError(f"{name!r} is no science frame of this night (product {product})")
        if data.shape == self.camera.raw_shape(self.shape):
            data = data[self.camera.exposed(self.shape)]
        if data.shape != self.shape:
            raise ValueError(f"{product} has shape {data.shape}, the night's frames {self.shape}")
        good = self.good(name) & np.isfinite(data)
        apart = ((data - self.expected(name)) / self.noise(name))[good]
        offset = float(np.median(apart))
        return Deviation(
            scatter=float(1.4826 * np.median(np.abs(apart - np.float32(offset)))),
            offset=offset,
            outliers=float(np.mean(np.abs(apart) > 5)),
            pixels=int(good.sum()),
        )

    def deviation(self, product: Path | str, name: str | None = None) -> float:
        """Deviation of a calibrated frame from the truth, in units of its expected noise.

        The root of the squares of `compare`'s scatter and offset: 1.00 means that the frame
        differs from the truth by the noise of photons and readout, and by nothing else; 2.00,
        that something in its calibration is as wrong as the noise is large, or worse.
        """
        found = self.compare(product, name)
        return float(np.hypot(found.scatter, found.offset))

    def _flat(self, name: str) -> FloatImage:
        return self.patterns.flats[self.frames[name].filter]

    def save(self, folder: Path | str) -> None:
        """Write the truth into a folder: one JSON file to read, one NPZ file with the pixels."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        text = {
            "camera": asdict(self.camera),
            "shape": list(self.shape),
            "seed": self.seed,
            "dialect": self.dialect,
            "broken": self.broken,
            "frames": [asdict(frame) for frame in self.frames.values()],
            "fields": [_field_as_dict(stars) for stars in self.fields.values()],
        }
        (folder / TRUTH_FILE).write_text(json.dumps(text, indent=1) + "\n", encoding="utf-8")
        arrays: dict[str, Any] = {f"flat_{key}": flat for key, flat in self.patterns.flats.items()}
        for label, hits in (("cosmic_rays", self.cosmic_rays), ("saturated", self.saturated)):
            ordered = [hits.get(name, np.empty(0, np.int64)) for name in self.frames]
            arrays[label] = np.concatenate([np.empty(0, np.int64), *ordered])
            arrays[f"{label}_counts"] = np.array([len(hit) for hit in ordered], np.int64)
        patterns = self.patterns
        np.savez(
            folder / PIXELS_FILE, bias=patterns.bias, dark=patterns.dark, bad=patterns.bad, **arrays
        )
        self.folder = folder

    @classmethod
    def load(cls, folder: Path | str) -> NightTruth:
        """Read a truth again from the folder that `save` wrote."""
        folder = Path(folder)
        text = json.loads((folder / TRUTH_FILE).read_text(encoding="utf-8"))
        with np.load(folder / PIXELS_FILE, allow_pickle=False) as arrays:
            pixels = dict(arrays)
        flats = {key[5:]: flat for key, flat in pixels.items() if key.startswith("flat_")}
        frames = [
            FrameTruth(**{**record, "dither": tuple(record["dither"])}) for record in text["frames"]
        ]
        hits = {
            label: dict(
                zip(
                    (frame.name for frame in frames),
                    np.split(pixels[label], np.cumsum(pixels[f"{label}_counts"])[:-1]),
                    strict=True,
                )
            )
            for label in ("cosmic_rays", "saturated")
        }
        return cls(
            camera=Camera(**text["camera"]),
            shape=(text["shape"][0], text["shape"][1]),
            seed=text["seed"],
            dialect=text["dialect"],
            patterns=Patterns(pixels["bias"], pixels["dark"], flats, pixels["bad"]),
            frames={frame.name: frame for frame in frames},
            fields={record["name"]: _field_from_dict(record) for record in text["fields"]},
            broken=text["broken"],
            folder=folder,
            **hits,
        )


def _median_loss(frames: int) -> float:
    """How much noisier a median is than a mean (variance): pi/2 for many frames."""
    return 1.0 if frames < 3 else float(np.pi / 2)


def _field_as_dict(stars: StarField) -> dict[str, Any]:
    """Make a star field fit for JSON; the sky positions are added for readers."""
    ra, dec = stars.sky_positions()
    return {
        "name": stars.name,
        "ra": stars.ra,
        "dec": stars.dec,
        "angle": stars.angle,
        "scale": stars.scale,
        "u": stars.u.tolist(),
        "v": stars.v.tolist(),
        "rates": {band: rate.tolist() for band, rate in stars.rates.items()},
        "stars_ra": ra.tolist(),
        "stars_dec": dec.tolist(),
    }


def _field_from_dict(record: Mapping[str, Any]) -> StarField:
    return StarField(
        name=record["name"],
        ra=record["ra"],
        dec=record["dec"],
        angle=record["angle"],
        scale=record["scale"],
        u=np.array(record["u"]),
        v=np.array(record["v"]),
        rates={band: np.array(rate) for band, rate in record["rates"].items()},
    )
