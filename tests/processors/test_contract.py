"""Every processor of the package keeps the promises of `mirar_dask.testing.contracts`."""

import importlib
import inspect
import pkgutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits
from astropy.io.fits import Header

import mirar_dask.processors
from mirar_dask.data import Image, ImageBatch, SourceBatch
from mirar_dask.errors import ErrorStack
from mirar_dask.paths import Roots, all_astrometric_keywords, core_fields, use_roots
from mirar_dask.processors.base.history import HISTORY_KEYS
from mirar_dask.processors.base_processor import BaseProcessor, BaseSourceProcessor
from mirar_dask.processors.catalogue import header_keys_of
from mirar_dask.processors.utils import CalRequirement
from mirar_dask.testing.contracts import check_processor, processor_classes
from mirar_dask.testing.images import make_header, make_image, make_sources


def import_all(package) -> None:
    """Import every module below a package, so that all its processors are known."""
    for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
        importlib.import_module(module.name)


import_all(mirar_dask.processors)
CLASSES = processor_classes(lambda module: module.startswith("mirar_dask.processors."))


def pass_on(batch):
    """Return a batch as it is."""
    return batch


def below_twenty(image):
    """Pick the pixels below 20."""
    return image.get_data() < 20


def mask_file(folder: Path) -> Path:
    path = folder / "mask.fits"
    fits.PrimaryHDU((np.arange(80).reshape(10, 8) > 7).astype(np.uint8)).writeto(path)
    return path


def raw_frame(folder: Path) -> Path:
    path = folder / "a.fits"
    header = make_header("a.fits")
    fits.PrimaryHDU(np.arange(80, dtype=np.int16).reshape(10, 8), header).writeto(path)
    return path


def master(folder: Path) -> Callable[[Any], Path]:
    path = folder / "master.fits"
    fits.PrimaryHDU(np.ones((10, 8), np.float32), make_header("master.fits")).writeto(path)
    return GivenPath(path)


class GivenPath:
    """A path generator that can be compared, as parameters are."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __call__(self, _: Any) -> Path:
        return self.path

    def __eq__(self, other: object) -> bool:
        return isinstance(other, GivenPath) and other.path == self.path

    __hash__ = None  # type: ignore[assignment]


ARGUMENTS: dict[str, Callable[[Path], dict[str, Any] | tuple[Any, ...]]] = {
    "CSVExporter": lambda _: {"output_dir_name": "tables"},
    "CSVLoader": lambda _: {"input_dir_name": "tables"},
    "CalHunter": lambda _: {"requirements": [CalRequirement("dark", "TARGET", ["dark"])]},
    "CustomImageBatchModifier": lambda _: {"image_batch_modifier": pass_on},
    "CustomSourceTableModifier": lambda _: {"modifier_function": pass_on},
    "ErrorStackAnnotator": lambda _: {"errorstack": ErrorStack(), "processed_images": ["a.fits"]},
    "HeaderAnnotator": lambda _: {"input_keys": ["TARGET", "EXPTIME"], "output_key": "NOTE"},
    "HeaderEditor": lambda _: {"edit_keys": ["TARGET", "COADDS"], "values": ["m13", 2]},
    "HeaderReader": lambda _: ("TARGET", "NOSUCH"),
    "ImageBatcher": lambda _: {"split_key": ["OBSCLASS", "TARGET"]},
    "ImageListLoader": lambda folder: {"img_list": [raw_frame(folder)]},
    "ImageRebatcher": lambda _: {"split_key": "OBSCLASS"},
    "ImageRejector": lambda _: (("OBSCLASS", ["bias", "dark"]), ("TARGET", "junk")),
    "ImageSaver": lambda _: {"output_dir_name": "r", "write_mask": True, "measure_sky": True},
    "ImageSelector": lambda _: (("OBSCLASS", ["science", "flat"]),),
    "LoadImageFromHeader": lambda _: {"header_key": "OTHER", "copy_header_keys": "TARGET"},
    "MaskAboveThreshold": lambda _: {"threshold_key": "EXPTIME"},
    "MaskPixelsFromFunction": lambda _: {"mask_function": below_twenty},
    "MaskPixelsFromPath": lambda folder: {"mask_path": mask_file(folder)},
    "MaskPixelsFromPathInverted": lambda folder: {"mask_path": mask_file(folder)},
    "ParquetLoader": lambda _: {"input_dir_name": "tables"},
    "ParquetWriter": lambda _: {"output_dir_name": "tables"},
    "RealtimeImageSimulator": lambda folder: {
        "input_img_dir": folder,
        "input_img_names": [raw_frame(folder).name],
        "output_dir_name": "raw",
    },
    "SourceBatcher": lambda _: {"split_key": "TARGET"},
    "SourceRebatcher": lambda _: {"split_key": ["TARGET", "OBSCLASS"]},
    "SourceSelector": lambda _: (("TARGET", "field"),),
    "MaskPixelsFromWCS": lambda _: {"mask_pixels_ra": [150.0, 0.0], "mask_pixels_dec": [2.0, 0.0]},
}
"""What the processors are made with that need something to be made."""

MASTERS = ("MasterBiasCalibrator", "MasterDarkCalibrator", "MasterFlatCalibrator")
MASTERS += ("MasterSkyCalibrator",)
ARGUMENTS |= {
    name: lambda folder: {"master_image_path_generator": master(folder)} for name in MASTERS
}


WCS_KEYS = {
    "CTYPE1": "RA---TAN",
    "CTYPE2": "DEC--TAN",
    "CRVAL1": 150.0,
    "CRVAL2": 2.0,
    "CRPIX1": 4.5,
    "CRPIX2": 5.5,
    "CDELT1": -0.001,
    "CDELT2": 0.001,
}


def night(folder: Path) -> ImageBatch:
    """Make a batch with frames of every kind; each names a file that can be loaded."""
    kinds = ["bias"] * 2 + ["dark"] * 2 + ["flat"] * 2 + ["science"] * 2
    rng = np.random.default_rng(1)
    images = [
        make_image(
            f"{'abcdefgh'[i]}.fits",
            rng.normal(100, 1, (10, 8)).astype(np.float32),
            OBSCLASS=kind,
            TARGET=kind,
            FILTER="r",
            OTHER=str(folder / "other.fits"),
            DATASEC="[2:8,1:10]",
            **WCS_KEYS,
        )
        for i, kind in enumerate(kinds)
    ]
    fits.PrimaryHDU(np.zeros((10, 8), np.int16), make_header("other.fits")).writeto(
        folder / "other.fits"
    )
    return ImageBatch(images)


NOT_APPLIED = {
    "CSVLoader",
    "ImageLoader",
    "ImageStacker",
    "LoadImageFromHeader",
    "MEFLoader",
    "ParquetLoader",
    "SourceDetector",
}
"""Processors whose tests apply them: they need files, stars or a regrouped night."""


def make(cls: type[BaseProcessor], folder: Path) -> BaseProcessor:
    given = ARGUMENTS.get(cls.__name__, lambda _: {})(folder)
    return cls(*given) if isinstance(given, tuple) else cls(**given)


@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.__name__)
def test_every_processor_keeps_its_promises(cls, tmp_path):
    """Picklable, made anew from its parameters, unchanged by its work, truthful about itself."""
    files = tmp_path / "files"
    files.mkdir()
    with use_roots(Roots(tmp_path / "raw", tmp_path / "out")):
        processor = make(cls, files)
        batch: ImageBatch | SourceBatch | None = None
        if cls.__name__ not in NOT_APPLIED:
            batch = make_sources() if issubclass(cls, BaseSourceProcessor) else night(files)
        check_processor(processor, batch, folder=tmp_path)


def test_the_processors_of_this_package_are_found():
    """The list above is made by looking, and finds what is there."""
    names = {cls.__name__ for cls in CLASSES}
    assert {"ImageLoader", "ImageSaver", "HeaderEditor", "MaskAboveThreshold", "CSVLog"} <= names


EVERY_STEP = {"BASENAME", "RAWPATH", "SAVEPATH", *HISTORY_KEYS}
"""Names of an image and its history: any step may look at them, and each writes the history."""
OF_A_MASTER = {"MASTRMED", "EXPTIME", "BUNIT", "SKYMED", "SKYRMS"}
"""What is read of masters, of their frames for the master's own header, and written into it."""
WCS = {*all_astrometric_keywords, "NAXIS", "NAXIS1", "NAXIS2"}
WCS |= {f"CP{kind}{axis}" for kind in ("DIS", "ERR") for axis in (1, 2)} | {"PV1_*", "PV2_*"}
UP_TO_A_FUNCTION = {"CustomImageBatchModifier", "CustomSourceTableModifier"}
LOADERS = {"ImageLoader", "ImageListLoader", "MEFLoader", "CSVLoader", "ParquetLoader"}


@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.__name__)
def test_a_docstring_says_which_header_keys_are_read_and_written(cls):
    """In one sentence, from which the manual is made; all that the class declares is in it."""
    keys = header_keys_of(cls)
    if cls.__name__ in UP_TO_A_FUNCTION:
        assert keys is None
        assert "up to the function" in inspect.getdoc(cls)
        return
    assert keys is not None, "no sentence 'Reads ...; writes ...'"
    if "changes_keys" in vars(cls) and not inspect.signature(cls).parameters:
        assert (cls().changes_keys() or frozenset()) <= keys.written


@pytest.mark.parametrize(
    "cls",
    [cls for cls in CLASSES if cls.__name__ not in UP_TO_A_FUNCTION | LOADERS],
    ids=lambda cls: cls.__name__,
)
def test_no_other_header_keys_are_read_or_written(cls, tmp_path: Path, monkeypatch):
    """Watched while each processor works on a small night."""
    files = tmp_path / "files"
    files.mkdir()
    read: set[str] = set()
    with use_roots(Roots(tmp_path / "raw", tmp_path / "out")):
        processor = make(cls, files)
        processor.set_night("n")
        of_sources = issubclass(cls, BaseSourceProcessor)
        batch: ImageBatch | SourceBatch = make_sources() if of_sources else night(files)
        before = [dict(block.header) for block in batch] if not of_sources else []
        with monkeypatch.context() as patch:
            for owner in (Image, Header):
                for name in ("__getitem__", "__contains__", "get"):
                    if name in vars(owner):
                        patch.setattr(owner, name, watched(getattr(owner, name), read))
            after = processor.process(batch).batch
    keys = header_keys_of(cls)
    named = {str(value) for part in processor.parameters().values() for value in words(part)}
    known = keys.read | keys.written | EVERY_STEP | named  # what is written may be there already
    known |= OF_A_MASTER if "master" in cls.__doc__ else set()
    if "WCS" in keys.reads:
        known |= WCS
    if "every key" not in keys.reads:
        assert read - known == set()
    if of_sources or "every key" in keys.writes or not isinstance(after, ImageBatch):
        return
    if len(after) == len(before):
        for old, image in zip(before, after, strict=True):
            changed = {k for k in {*old, *image.keys()} if old.get(k) != image.get(k)}
            assert changed - keys.written - EVERY_STEP - named - set(core_fields) == set()


def watched(method, read: set[str]):
    """Return a method that notes the header keys it is asked for."""

    def ask(self, key, *arguments, **options):
        if isinstance(key, str):
            read.add(key.upper())
        return method(self, key, *arguments, **options)

    return ask


def words(value: object) -> list[object]:
    """Return what a parameter holds, flat."""
    if isinstance(value, list | tuple | set | frozenset):
        return [word for part in value for word in words(part)]
    return [value]
