"""Images: a header, and pixels that are read when they are asked for.

In cache mode (the default, see ``cache``) an image's pixels are a file: the FITS file that it was
opened from, or an npy generation in the cache folder. What travels to another process is the
header and the file's path. With the cache off pixels stay in memory and travel with the image.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, KeysView
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from astropy.io.fits import Header

from mirar_dask.data import conversions
from mirar_dask.data.base_data import DataBatch, DataBlock
from mirar_dask.data.cache import cache, task_memory
from mirar_dask.data.handles import ImageHandle
from mirar_dask.data.header_edits import copy_header
from mirar_dask.data.header_reading import read_value
from mirar_dask.data.headers import SCALARS, TravellingHeader, pack_header
from mirar_dask.data.pixel_store import PixelStore
from mirar_dask.data.pixels import ComputedPixels, MemoryPixels, Pixels

if TYPE_CHECKING:
    import dask.array
    from astropy.nddata import CCDData
    from astropy.wcs import WCS

__all__ = ["Image", "ImageBatch", "ImageHandle", "cache", "task_memory"]


class Image(PixelStore, DataBlock):
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
    copy of the image, a handle, another process) stays as it is. Several threads may look at the
    pixels of an image at the same time; only one thread may change it. Copies are independent.
    """

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
        value = self._quick(item)
        if isinstance(value, SCALARS):
            return value
        return read_value(self.header, item) if isinstance(item, str) else self.header[item]

    def _quick(self, key: Any) -> Any:
        """Look a key up without parsing the header, if nobody has parsed it yet."""
        if self._header is None and self._packed is not None and isinstance(key, str):
            return self._packed.get(key, _ABSENT)
        return _UNKNOWN

    def __setitem__(self, key: Any, value: Any) -> None:
        self.header[key] = value

    def __contains__(self, key: object) -> bool:
        value = self._quick(key)
        return value is not _ABSENT and (isinstance(value, SCALARS) or key in self.header)

    def __iter__(self) -> Iterator[str]:
        return iter(self.header)

    def get(self, key: str, default: Any = None) -> Any:
        """Return the value of a header key, or ``default``."""
        value = self._quick(key)
        if isinstance(value, SCALARS):
            return value
        if value is _ABSENT or key not in self.header:
            return default
        return self[key]

    def keys(self) -> KeysView[str]:
        """Return the keys of the header."""
        return self.header.keys()

    # ---- copies and travel ----------------------------------------------------------------

    def handle(self, *, computed: bool = False) -> ImageHandle:
        """Return the image without its pixels; in cache mode these have a file then.

        Parameters
        ----------
        computed : bool
            Leave pixels that are computed when they are read as they are, if what they need lies
            in files. Who reads them needs these files, and the memory for the masters among them.
        """
        pixels = self._pixels
        if not (computed and isinstance(pixels, ComputedPixels) and pixels.travels):
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
        image._header = None if self._header is None else copy_header(self._header)
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

        if chunks is None:
            chunks = ("auto", *(-1 for _ in self.shape[1:]))
        chunks = da.core.normalize_chunks(chunks, shape=self.shape, dtype=self.dtype)
        pixels = self._pixels
        if isinstance(pixels, MemoryPixels | ComputedPixels) or not pixels.rows_readable:
            self.cache_path  # noqa: B018  # bands are read from an npy file then
            pixels = self._pixels
        if isinstance(pixels, MemoryPixels) or not pixels.rows_readable:
            return da.from_array(self.view_data(), chunks=chunks)
        meta = np.empty((0,) * len(self.shape), self.dtype)
        read = conversions.read_block
        return da.map_blocks(read, pixels, chunks=chunks, dtype=self.dtype, meta=meta)


_ABSENT = object()
_UNKNOWN = object()
_OWN = {"_packed", "_header", "_loaded", "_pixels"}
_BYTES_OF_CARD = 900
"""Memory of one parsed card of an astropy Header, roughly."""


def _opened(handle: ImageHandle) -> Image:
    return handle.open()


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
