"""Images: a header, and pixels that are read when they are asked for.

In cache mode (the default, see ``cache``) an image's pixels are a file: the FITS file that it was
opened from, or an npy generation in the cache folder. What travels to another process is the
header and the file's path. With the cache off pixels stay in memory and travel with the image.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, KeysView
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
from astropy.io.fits import Header

from mirar_dask.data import conversions
from mirar_dask.data.base_data import DataBatch, DataBlock
from mirar_dask.data.cache import cache, current_task_memory, task_memory, use_cache
from mirar_dask.data.generations import LiveFiles, fresh_path
from mirar_dask.data.handles import ImageHandle
from mirar_dask.data.headers import TravellingHeader, pack_header
from mirar_dask.data.pixels import MemoryPixels, MovedPixels, NpyPixels, Pixels, is_sole_holder

if TYPE_CHECKING:
    import dask.array
    from astropy.nddata import CCDData
    from astropy.wcs import WCS

__all__ = ["Image", "ImageBatch", "ImageHandle", "cache", "task_memory"]


class Image(DataBlock):
    """One image: pixels and header.

    Parameters
    ----------
    data : ndarray or Pixels
        Pixels, shape (ny, nx); NaN marks a masked pixel. The array stays the caller's. Its type
        is kept.
    header : Header
        Needs ``RAWPATH`` (the raw files, joined by commas) and ``BASENAME``. The image uses this
        very object, as mirar's does; `own_header` gives it one of its own.

    Raises
    ------
    KeyError
        If the header lacks one of the two keys.

    Notes
    -----
    Pixels never change in place: `set_data` gives the image new ones, and what others hold (a
    copy of the image, a handle, another process) stays as it is. An image may be used by one
    thread at a time; its copies are independent.
    """

    cache_files: ClassVar[LiveFiles] = LiveFiles()
    """Cache files that this process owns now."""

    def __init__(self, data: np.ndarray | Pixels, header: Header | TravellingHeader) -> None:
        self._packed: TravellingHeader | None = None
        self._header: Header | None = None
        self._loaded: np.ndarray | None = None
        if isinstance(header, TravellingHeader):
            self._packed = header
        else:
            self._header = header if isinstance(header, Header) else Header(header)
        super().__init__()
        if isinstance(data, Pixels):
            self._pixels = data
        else:
            self.set_data(data)

    # ---- header -------------------------------------------------------------------------

    @property
    def header(self) -> Header:
        """The header; what is changed in it is changed in the image."""
        if self._header is None:
            assert self._packed is not None
            self._header = self._packed.unpack()
        return self._header

    @header.setter
    def header(self, header: Header) -> None:
        self._header = header

    def get_header(self) -> Header:
        """Return the header itself."""
        return self.header

    def set_header(self, header: Header) -> None:
        """Let the image use this header object from now on."""
        self.header = header

    def travelling_header(self) -> TravellingHeader:
        """Return the header as it is now, in its compact form."""
        if self._header is not None:
            self._packed = pack_header(self._header, self._packed)
        assert self._packed is not None
        return self._packed

    def own_header(self) -> None:
        """Give the image a header object that nothing else refers to."""
        self.travelling_header()
        self._header = None

    def __getitem__(self, item: Any) -> Any:
        if self._header is None and item.__class__ is str and self._packed is not None:
            value = self._packed.get(item, _ABSENT)
            if value is not _ABSENT:
                return value
        return self.header[item]

    def __setitem__(self, key: Any, value: Any) -> None:
        self.header[key] = value

    def __contains__(self, key: object) -> bool:
        return key in self.header

    def __iter__(self) -> Iterator[str]:
        return iter(self.header)

    def get(self, key: str, default: Any = None) -> Any:
        """Return the value of a header key, or ``default``."""
        return self.header.get(key, default)

    def keys(self) -> KeysView[str]:
        """Return the keys of the header."""
        return self.header.keys()

    # ---- pixels -------------------------------------------------------------------------

    @property
    def pixels(self) -> Pixels:
        """What the pixels are backed by now."""
        return self._pixels

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the pixels, (ny, nx); reads none of them."""
        return self._pixels.shape

    @property
    def dtype(self) -> np.dtype:
        """Type of the pixels; reads none of them."""
        return self._pixels.dtype

    @property
    def nbytes(self) -> int:
        """Bytes of the pixels; reads none of them."""
        return self._pixels.nbytes

    def get_data(self) -> np.ndarray:
        """Return the pixels as an array of the caller's own.

        Nothing that is done to it changes the image, until it is given to `set_data`.
        """
        held = self._in_memory()
        return self._pixels.read() if held is None else held.copy(order="C")

    def view_data(self) -> np.ndarray:
        """Return the pixels read-only, without a copy where that is possible.

        Hold the result for a short time only: it may be a map of a file.
        """
        held = self._in_memory()
        if held is None:
            return self._pixels.view()
        view = held.view()
        view.flags.writeable = False
        return view

    def read_rows(self, start: int | None, stop: int | None) -> np.ndarray:
        """Return rows ``start:stop`` (as a slice takes them) as an array of the caller's own."""
        if self._loaded is not None:
            return self._loaded[start:stop].copy(order="C")
        return self._pixels.read_rows(start, stop)

    def set_data(self, data: np.ndarray) -> None:
        """Give the image new pixels.

        In cache mode they are written to a new generation; inside a task they stay in memory
        at first (see `task_memory`). The array stays the caller's, and its type is kept.
        """
        array = _as_array(data)
        if use_cache() and current_task_memory() is None:
            self._replace(NpyPixels.publish(array))
        else:
            self._replace(MemoryPixels(_as_numbers(array).copy(order="C")))

    def take_data(self) -> np.ndarray:
        """Return the pixels as a writable array, moved out of the image where that is possible.

        They are moved if they are in memory and nothing else refers to them; the image has none
        then until `give_data` or `set_data`. Otherwise the array is new and the image as it was.
        """
        if self._in_memory() is None:
            return self._pixels.read()
        if not is_sole_holder(self):
            return self.get_data()
        if self._loaded is not None:
            array, self._loaded = self._loaded, None
        else:
            assert isinstance(self._pixels, MemoryPixels)
            array = self._pixels.array
            self._pixels = MovedPixels(array.shape, array.dtype)
        self._forget()
        return array

    def give_data(self, array: np.ndarray) -> None:
        """Give the image new pixels without a copy: the caller must not use the array again."""
        array = _as_array(array)
        if use_cache() and current_task_memory() is None:
            self._replace(NpyPixels.publish(array))
        else:
            self._replace(MemoryPixels(_as_numbers(array)))

    def get_mask(self) -> np.ndarray:
        """Return the mask: True where a pixel is good, False where it is masked (NaN)."""
        data = self.view_data()
        if data.dtype.kind not in "fc":
            return np.ones(data.shape, dtype=bool)
        return ~np.isnan(data)

    def evict(self) -> None:
        """Let go of pixels in memory; pixels that are nowhere else are written first."""
        self._loaded = None
        self.publish()

    def _in_memory(self) -> np.ndarray | None:
        """Return the pixels if they are in memory, or if this task shall keep them there."""
        memory = current_task_memory()
        if isinstance(self._pixels, MemoryPixels):
            held = self._pixels.array
        elif self._loaded is not None:
            held = self._loaded
        elif memory is not None and not isinstance(self._pixels, NpyPixels | MovedPixels):
            held = self._loaded = self._pixels.read()  # a frame is read once in a chain of steps
        else:
            return None
        if memory is not None:
            memory.hold(self, held.nbytes)
        return held

    def _replace(self, pixels: Pixels) -> None:
        self._pixels = pixels
        self._loaded = None
        memory = current_task_memory()
        if memory is None:
            return
        if isinstance(pixels, MemoryPixels):
            memory.hold(self, pixels.nbytes)
        else:
            memory.forget(self)

    def _forget(self) -> None:
        memory = current_task_memory()
        if memory is not None:
            memory.forget(self)

    # ---- cache --------------------------------------------------------------------------

    def publish(self) -> Path | None:
        """Make sure that the pixels have a file, and return it (None with the cache off)."""
        if isinstance(self._pixels, MemoryPixels) and use_cache():
            self._replace(NpyPixels.publish(self._pixels.array))
        return self._pixels.path

    def disown(self) -> None:
        """Leave the image's cache file to the cache folder: it outlives the image."""
        if isinstance(self._pixels, NpyPixels):
            self._pixels.disown()

    @property
    def cache_path(self) -> Path | None:
        """The npy file of the pixels, written if there is none yet (None with the cache off)."""
        if not use_cache():
            return None
        if not isinstance(self._pixels, NpyPixels):
            self._replace(NpyPixels.publish(self.view_data()))
        return self._pixels.path

    def get_cache_path(self) -> Path:
        """Return a path in the cache folder that nothing has used."""
        return fresh_path()

    def set_cache_data(self, data: np.ndarray) -> None:
        """Write new pixels to the cache at once."""
        self._replace(NpyPixels.publish(_as_array(data)))

    def get_cache_data(self) -> np.ndarray:
        """Return the pixels as the image's cache file has them."""
        cache.ensure_cache_dir()  # an error if the cache is off
        self.cache_path  # noqa: B018
        return self._pixels.read()

    def set_ram_data(self, data: np.ndarray) -> None:
        """Give the image new pixels that stay in memory."""
        self._replace(MemoryPixels(_as_numbers(_as_array(data)).copy(order="C")))

    def get_ram_data(self) -> np.ndarray:
        """Return the pixels as an array of the caller's own, wherever they are."""
        return self.get_data()

    # ---- copies and travel ----------------------------------------------------------------

    def handle(self) -> ImageHandle:
        """Return the image without its pixels; in cache mode these have a file then."""
        self.publish()
        extras = {name: value for name, value in self.__dict__.items() if name not in _OWN}
        kind = type(self) if type(self) is not Image else None
        return ImageHandle(self.travelling_header(), self._pixels, kind, extras or None)

    @classmethod
    def from_handle(cls, handle: ImageHandle) -> Self:
        """Return a new image with a header of its own; no pixel is read."""
        image = cls.__new__(cls)
        image._packed = handle.header
        image._header = None
        image._loaded = None
        image._pixels = handle.pixels
        image.__dict__.update(handle.extras or {})
        return image

    def __copy__(self) -> Self:
        image = type(self).__new__(type(self))
        image.__dict__.update(self.__dict__)
        image._packed = self.travelling_header()
        image._header = None
        image._loaded = None
        return image

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self.__copy__()  # pixels never change, so copies share them

    def __reduce__(self) -> tuple[Any, ...]:
        return _opened, (self.handle(),)

    def __sizeof__(self) -> int:
        size = object.__sizeof__(self) + sys.getsizeof(self._pixels)
        if self._loaded is not None:
            size += self._loaded.nbytes
        if self._packed is not None:
            size += sys.getsizeof(self._packed)
        if self._header is not None:
            size += _BYTES_OF_CARD * len(self._header)
        return size

    def __dask_tokenize__(self) -> tuple[Any, ...]:
        return ("mirar_dask.image", self.travelling_header().token, self._pixels.token())

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.get_name()!r} {self.shape} {self.dtype}>"

    # ---- other forms ----------------------------------------------------------------------

    @property
    def wcs(self) -> WCS | None:
        """Celestial coordinates of the pixels, or None if the header gives none."""
        return conversions.wcs_of(self.header)

    def to_ccddata(self) -> CCDData:
        """Return data, mask (True = bad, as CCDData has it), unit (``BUNIT``, else adu), WCS."""
        return conversions.to_ccddata(self)

    @classmethod
    def from_ccddata(cls, ccd: CCDData, header: Header | None = None) -> Self:
        """Return an image of a CCDData; masked pixels become NaN, its uncertainty is left out.

        Parameters
        ----------
        ccd : CCDData
            Its header needs ``RAWPATH`` and ``BASENAME``, unless ``header`` gives them.
        header : Header, optional
            Used in place of the CCDData's own.
        """
        return cls(*conversions.parts_of_ccddata(ccd, header))

    def to_dask_array(self, chunks: Any = None) -> dask.array.Array:
        """Return the pixels as a Dask array whose blocks read bands of rows from the file.

        Parameters
        ----------
        chunks : int, tuple or "auto", optional
            As Dask takes them; by default whole rows, as many as Dask puts into a block.
        """
        import dask.array as da

        if not self._pixels.rows_readable:
            self.cache_path  # noqa: B018  # copied once into an npy file
        self.publish()
        pixels = self._pixels
        if chunks is None:
            chunks = ("auto", *(-1 for _ in self.shape[1:]))
        normal = da.core.normalize_chunks(chunks, shape=self.shape, dtype=self.dtype)
        return da.map_blocks(
            conversions.read_block,
            pixels,
            chunks=normal,
            dtype=self.dtype,
            meta=np.empty((0,) * len(self.shape), self.dtype),
        )


_ABSENT = object()
_OWN = {"_packed", "_header", "_loaded", "_pixels"}
_BYTES_OF_CARD = 900
"""Memory of one parsed card of an astropy Header, roughly."""


def _opened(handle: ImageHandle) -> Image:
    return handle.open()


def _as_array(data: Any) -> np.ndarray:
    """Return data as a plain array; masked pixels of a masked array become NaN."""
    if isinstance(data, np.ma.MaskedArray):
        if data.dtype.kind != "f" and np.ma.is_masked(data):
            data = data.astype(np.float64 if data.dtype.itemsize >= 4 else np.float32)
        return np.asarray(data.filled(np.nan) if data.dtype.kind == "f" else data.data)
    return np.asarray(data)


def _as_numbers(array: np.ndarray) -> np.ndarray:
    if array.dtype.hasobject:
        raise ValueError("pixels cannot be Python objects: the cache holds numbers only")
    return array


class ImageBatch(DataBatch[Image]):
    """Images that a processor sees together."""

    data_type = Image

    def __init__(self, batch: Iterable[Image] | Image | None = None) -> None:
        super().__init__(batch=batch)

    def append(self, item: Image) -> None:
        """Add one image at the end."""
        self._append(item)

    def get_batch(self) -> list[Image]:
        """Return the images as a plain list."""
        return self.get_data_list()
