"""What an image does with its pixels: give them, take new ones, keep them in memory or in a file.

The base of ``Image``, which adds the header and the ways to travel.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from mirar_dask.data.cache import CacheError, current_task_memory, use_cache
from mirar_dask.data.generations import LiveFiles, fresh_path
from mirar_dask.data.pixels import (
    ComputedPixels,
    KeptPixels,
    MemoryPixels,
    MovedPixels,
    NpyPixels,
    Pixels,
    RowOperation,
    change,
    keep,
)
from mirar_dask.data.pixels.base import read_only


class PixelStore:
    """Pixels that can be replaced, never changed.

    They are in one of three states: a file that is read when it is asked for; an array in memory
    that is nowhere else; a file together with the array that a task read from it. Several threads
    may look at them at the same time; one at a time may replace them.
    """

    cache_files: ClassVar[LiveFiles] = LiveFiles()
    """Cache files that this process owns now."""

    _pixels: Pixels
    _loaded: np.ndarray | None = None
    """What a task read from the file behind the pixels, to read it once only."""

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
        return self._pixels.view() if held is None else read_only(held.view())

    def read_rows(self, start: int | None, stop: int | None) -> np.ndarray:
        """Return rows ``start:stop`` (as a slice takes them) as an array of the caller's own."""
        held = self._loaded
        if held is not None:
            return held[start:stop].copy(order="C")
        return self._pixels.read_rows(start, stop)

    def set_data(self, data: np.ndarray) -> None:
        """Give the image new pixels.

        In cache mode they are written to a new generation; inside a task they stay in memory
        at first (see `task_memory`). The array stays the caller's, and its type is kept.
        """
        array = as_array(data)
        if use_cache() and current_task_memory() is None:
            self._replace(NpyPixels.publish(array))
        else:
            self._replace(MemoryPixels(array.copy(order="C")))

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
        self._note(0)
        return array

    def give_data(self, array: np.ndarray) -> None:
        """Give the image new pixels without a copy: the caller must not use the array again."""
        array = as_array(array)
        if use_cache() and current_task_memory() is None:
            self._replace(NpyPixels.publish(array))
        else:
            self._replace(MemoryPixels(array))

    def change_rows(self, operation: RowOperation) -> None:
        """Do something to each row of the pixels by itself.

        Inside a task, pixels that lie in a file are not read for that: it is done when somebody
        reads them, to a few rows at a time.

        Parameters
        ----------
        operation : RowOperation
            Its operand has the shape of the pixels, which are floats.
        """
        if self._can_wait():
            self._pixels.check()  # a file that is gone fails here, not in a step behind
            self._replace(ComputedPixels.of(self._pixels, operation))
            return
        data = self.take_data()
        change(data, (operation,))
        self.give_data(data)

    def keep_pixels(self) -> None:
        """Have pixels that lie in a file stay in memory once they are read, until the image goes.

        For a master, which many images use.
        """
        if not isinstance(self._pixels, MemoryPixels | KeptPixels):
            self._replace(keep(self._pixels))

    def _can_wait(self) -> bool:
        """Tell whether what is done to the pixels can be done when they are read."""
        pixels = self._pixels
        in_file = not isinstance(pixels, MemoryPixels | MovedPixels | KeptPixels)
        in_task = current_task_memory() is not None and use_cache()
        return self._loaded is None and in_file and in_task and pixels.rows_readable

    def back_by(self, pixels: Pixels) -> None:
        """Have the pixels read from elsewhere from now on: from a product that was just saved.

        The same pixels must be there; no copy is then kept in the cache. What a task has in
        memory stays there until it is evicted.

        Raises
        ------
        ValueError
            If shape or type differ.
        """
        if (pixels.shape, pixels.dtype) != (self.shape, self.dtype):
            raise ValueError(
                f"an image of {self.shape} {self.dtype} pixels cannot be backed by "
                f"{pixels.shape} {pixels.dtype} pixels of {pixels.path}"
            )
        held = self._pixels.array if isinstance(self._pixels, MemoryPixels) else self._loaded
        self._replace(pixels)
        if held is not None and current_task_memory() is not None:
            self._loaded = held
            self._note(held.nbytes)

    def get_mask(self) -> np.ndarray:
        """Return the mask: True where a pixel is good, False where it is masked (NaN)."""
        data = self.view_data()
        if data.dtype.kind not in "fc":
            return np.ones(data.shape, dtype=bool)
        return ~np.isnan(data)

    def publish(self) -> Path | None:
        """Make sure that the pixels have a file, and return it (None with the cache off)."""
        pixels = self._pixels
        if isinstance(pixels, MemoryPixels):
            if use_cache():
                self._replace(NpyPixels.publish(pixels.array))
        elif isinstance(pixels, ComputedPixels):
            data = pixels.read() if self._loaded is None else self._loaded
            self._replace(NpyPixels.publish(data) if use_cache() else MemoryPixels(data))
        return self._pixels.path

    def disown(self) -> None:
        """Leave the image's cache file to the cache folder: it outlives the image."""
        self._pixels.disown()

    def evict(self) -> None:
        """Let go of pixels in memory; pixels that are nowhere else are written first."""
        self._loaded = None
        if isinstance(self._pixels, MemoryPixels):
            self.publish()

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
        self._replace(NpyPixels.publish(as_array(data)))

    def get_cache_data(self) -> np.ndarray:
        """Return the pixels as the image's cache file has them.

        Raises
        ------
        CacheError
            If the cache is off.
        """
        if self.cache_path is None:
            raise CacheError("with the cache off an image has no cache file; use get_data()")
        return self._pixels.read()

    def set_ram_data(self, data: np.ndarray) -> None:
        """Give the image new pixels that stay in memory until they need a file."""
        self._replace(MemoryPixels(as_array(data).copy(order="C")))

    def get_ram_data(self) -> np.ndarray:
        """Return the pixels as an array of the caller's own, wherever they are."""
        return self.get_data()

    def _in_memory(self) -> np.ndarray | None:
        """Return the pixels if they are in memory, or if this task shall keep them there."""
        # Each attribute is read once: a master is looked at by several threads, and one of
        # them may evict it.
        pixels, held = self._pixels, self._loaded
        if isinstance(pixels, MemoryPixels):
            held = pixels.array
        elif held is None:
            elsewhere = isinstance(pixels, NpyPixels | MovedPixels | KeptPixels)
            if elsewhere or current_task_memory() is None:
                return None
            held = self._loaded = pixels.read()  # a frame is read once in a chain of steps
        self._note(held.nbytes)
        return held

    def _replace(self, pixels: Pixels) -> None:
        self._pixels = pixels
        self._loaded = None
        self._note(pixels.nbytes if isinstance(pixels, MemoryPixels) else 0)

    def _note(self, nbytes: int) -> None:
        memory = current_task_memory()
        if memory is None:
            return
        if nbytes:
            memory.hold(self, nbytes)
        else:
            memory.forget(self)


def as_array(data: Any) -> np.ndarray:
    """Return data as a plain array of numbers; masked pixels of a masked array become NaN.

    Raises
    ------
    ValueError
        If the array holds Python objects (it could not be read back safely).
    """
    if isinstance(data, np.ma.MaskedArray):
        if data.dtype.kind not in "fc" and np.ma.is_masked(data):
            data = data.astype(np.float64 if data.dtype.itemsize >= 4 else np.float32)
        data = data.filled(np.nan) if data.dtype.kind in "fc" else data.data
    array = np.asarray(data)
    if array.dtype.hasobject:
        raise ValueError(f"pixels must be numbers, not Python objects: got {type(data).__name__}")
    return array


def is_sole_holder(image: PixelStore) -> bool:
    """Tell whether the pixels that an image keeps in memory may be changed in place.

    They may if only this image refers to them: copies and handles share the pixels, and views
    that somebody still holds refer to the array. Python's count of references knows them all;
    what it says for pixels that nothing else holds differs between versions of Python, so it is
    taken from an example.
    """
    if image._loaded is not None:
        sole = _references_to_loaded(image) <= _SOLE_LOADED
        array = image._loaded
    elif isinstance(image._pixels, MemoryPixels):
        sole = _references_to_pixels(image) <= _SOLE and _references_to_array(image) <= _SOLE_ARRAY
        array = image._pixels.array
    else:
        return False
    # Else its memory is somebody else's: a buffer's, a larger array's.
    return sole and array.flags.writeable and array.flags.owndata


def _references_to_loaded(image: PixelStore) -> int:
    return sys.getrefcount(image._loaded)


def _references_to_pixels(image: PixelStore) -> int:
    return sys.getrefcount(image._pixels)


def _references_to_array(image: PixelStore) -> int:
    return sys.getrefcount(image._pixels.array)  # type: ignore[attr-defined]


def _example() -> PixelStore:
    image = PixelStore()
    image._pixels = MemoryPixels(np.empty(1))
    image._loaded = np.empty(1)
    return image


_SOLE = _references_to_pixels(_example())
_SOLE_ARRAY = _references_to_array(_example())
_SOLE_LOADED = _references_to_loaded(_example())
