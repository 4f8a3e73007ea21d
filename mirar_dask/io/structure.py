"""What lies where in a FITS file, from its bytes alone: no pixel is read, nothing allocated.

The sizes that the headers declare are compared with the file's own, so that a truncated, wrong
or absurd file is named before anything is done with it.
"""

from __future__ import annotations

import bz2
import errno
import gzip
import math
import os
import zlib
from collections.abc import Iterator
from io import BufferedReader
from pathlib import Path
from types import TracebackType
from typing import IO

from mirar_dask.data.reading import open_file
from mirar_dask.errors import ImageNotFoundError, InvalidFitsError
from mirar_dask.io.hdu import BLOCK, Hdu, find_end, structural_values

_MAX_HEADER_BLOCKS = 1_000  # 36,000 cards; what goes on for longer is not a header
_MAX_HDUS = 10_000
_MAX_COMPRESSION = 4_000  # bytes of pixels for each byte in tiles; no frame comes near
_MUCH_COMPRESSION = 100  # true of frames of one value only
_MUCH = 1 << 30  # bytes of pixels that no frame has that is compressed so much
_FAR = 2**62  # absurd headers point beyond what a seek takes
_BZ2_END = 0x177245385090
_MAGIC = {
    b"\xff\xd8\xff": "a JPEG image",
    b"\x89PNG": "a PNG image",
    b"II*\0": "a TIFF or camera raw image",
    b"MM\0*": "a TIFF or camera raw image",
    b"XISF": "an XISF image",
    b"PK\x03\x04": "a ZIP archive",
    b"\xfd7zXZ": "compressed with xz, which is not supported",
    b"\x1f\x9d": "compressed with compress, which is not supported",
    b"\x28\xb5\x2f\xfd": "compressed with zstd, which is not supported",
    b"\x1f\x8b": "compressed twice",
    b"BZh": "compressed twice",
    b"\x93NUMPY": "a NumPy array",
}


class FitsFile:
    """A FITS file open for a look at its structure; plain, gzip or bzip2.

    Compression is told by the content: names lie. Not for use by two threads at once.

    Raises
    ------
    InvalidFitsError
        One sentence that names the file and what is wrong with it; also by every method.
    ImageNotFoundError
        If there is no such file.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        self._file = _open(self.path)
        try:
            status = os.fstat(self._file.fileno())
            self.size, self.mtime_ns, self.inode = status.st_size, status.st_mtime_ns, status.st_ino
            self.on_disk = status.st_blocks * 512
            if self.size == 0:
                raise self.error("is empty (0 bytes)")
            self.compression, self._stream = self._decompressor()
            self._found: list[Hdu] = []
            self._next = 0
        except BaseException:
            self._file.close()
            raise

    def __enter__(self) -> FitsFile:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stream.close()
        self._file.close()

    def error(self, what: str) -> InvalidFitsError:
        """Make the error that names this file."""
        return InvalidFitsError(f"{self.path} {what}")

    def hdus(self) -> Iterator[Hdu]:
        """Give one HDU after another, each header read when it is asked for."""
        index = 0
        while True:
            if index == len(self._found):
                hdu = self._read_next(index)
                if hdu is None:
                    return
                self._found.append(hdu)
            yield self._found[index]
            index += 1

    def check_complete(self, hdu: Hdu) -> None:
        """Raise if the data of `hdu` are not whole, or too large to be true."""
        try:
            if hdu.kind == "compressed":
                self._check_tiles(hdu)
            end = hdu.end
        except InvalidFitsError as error:
            raise self.error(f"is not valid FITS: {error}") from None
        if self.compression and end > max(_MUCH, _MUCH_COMPRESSION * self.size):
            raise self.error(
                f"declares {end} bytes, compressed into {self.size}: no camera's frame shrinks so"
            )
        if not self.compression:
            if end > self.size:
                raise self._truncated(self.size, end)
            if end > max(_MUCH, _MUCH_COMPRESSION * self.on_disk):
                raise self.error(
                    f"declares {end} bytes, of which {self.on_disk} are on the disk: most of it "
                    "was never written"
                )
        elif not self._end_is_plausible(end):
            found = self._skip_to(end)
            if found < end:
                raise self._truncated(found, end)

    def ends_well(self) -> bool:
        """Tell whether a compressed file can be decompressed to the end of its last HDU."""
        if not self.compression:
            return True
        self._restart()
        try:
            return self._stream.seek(_FAR) >= self._found[-1].end
        except (EOFError, OSError, zlib.error):
            return False

    def _truncated(self, found: int, end: int) -> InvalidFitsError:
        return self.error(f"is truncated: it has {found} bytes, its header declares {end}")

    def _check_tiles(self, hdu: Hdu) -> None:
        pixel_bytes = math.prod(hdu.shape) * abs(hdu.bitpix) // 8
        much = max(_MUCH, _MUCH_COMPRESSION * hdu.data_bytes)
        if pixel_bytes > min(_MAX_COMPRESSION * max(hdu.data_bytes, 1), much):
            raise InvalidFitsError(
                f"it declares {pixel_bytes} bytes of pixels, compressed into {hdu.data_bytes}"
            )

    def _read_next(self, index: int) -> Hdu | None:
        """Read the header at the end of the last HDU, or None at the file's end."""
        if not self.compression and index and self._next >= self.size:
            return None
        if index == _MAX_HDUS:
            raise self.error(f"has more than {_MAX_HDUS} parts (HDUs)")
        if self._skip_to(self._next) < self._next:
            return None
        try:
            raw, length = self._read_header(primary=index == 0)
            if raw is None:
                return None
            hdu = Hdu(index, raw, self._next, self._next + length, structural_values(raw))
            hdu_blocks = -(-hdu.data_bytes // BLOCK)
            if hdu.kind == "compressed":
                _ = hdu.shape  # which may be none
            if not 0 <= (fields := hdu.integer("TFIELDS", 0)) <= 999:  # astropy would count them
                raise InvalidFitsError(f"its header says TFIELDS={fields}; FITS knows 0 to 999")
        except InvalidFitsError as error:
            if str(error).startswith(str(self.path)):
                raise
            raise self.error(f"is not valid FITS: {error} (HDU {index})") from None
        self._next = hdu.offset + hdu_blocks * BLOCK
        return hdu

    def _read_header(self, *, primary: bool) -> tuple[bytes | None, int]:
        block = self._read(BLOCK)
        if primary and not block.startswith(b"SIMPLE"):
            raise self.error(f"is not a FITS file: {_what_is_it(block)}")
        if not primary and not block.startswith(b"XTENSION"):
            return None, 0  # a file may end in anything
        blocks: list[bytes] = []
        while len(blocks) < _MAX_HEADER_BLOCKS:
            end = find_end(block)
            if end >= 0:
                n_before = len(blocks) * BLOCK
                blocks.append(block[:end])
                return b"".join(blocks), n_before + BLOCK
            blocks.append(block)
            if len(block) < BLOCK:
                break
            block = self._read(BLOCK)
        n_bytes = sum(map(len, blocks))
        raise self.error(
            f"is truncated: its {'header' if primary else 'extension header'} has no END in "
            f"{n_bytes} bytes (file of {self.size} bytes)"
        )

    def _read(self, n_bytes: int) -> bytes:
        try:
            return self._stream.read(n_bytes)
        except (EOFError, OSError, zlib.error) as error:
            raise self.error(f"cannot be read: {error}") from error

    def _skip_to(self, position: int) -> int:
        """Go to a position of the uncompressed file; return where that file ended, if before."""
        try:
            return self._stream.seek(min(position, _FAR))
        except EOFError:
            return self._stream.tell()
        except (OSError, zlib.error) as error:
            raise self.error(f"cannot be decompressed: {error}") from error

    def _decompressor(self) -> tuple[str, IO[bytes]]:
        magic = self._file.read(4)
        self._file.seek(0)
        if magic.startswith(b"\x1f\x8b"):
            return "gzip", gzip.GzipFile(fileobj=self._file)  # type: ignore[return-value]
        if magic.startswith(b"BZh"):
            return "bzip2", bz2.BZ2File(self._file)
        return "", self._file

    def _end_is_plausible(self, end: int) -> bool:
        """Tell from the last bytes of a compressed file whether it is whole, if they tell."""
        if end > _MUCH_COMPRESSION * self.size:
            return False  # it could be a lie; if not, it is decompressed in no time
        self._file.seek(max(0, self.size - 11))
        tail = self._file.read(11)
        self._restart()
        if self.compression == "gzip":  # its last four bytes are the length before compression
            length = int.from_bytes(tail[-4:], "little")
            return length in (end % 2**32, -(-end // BLOCK) * BLOCK % 2**32)
        bits = int.from_bytes(tail, "big")  # a bzip2 stream ends in a magic number, not on a byte
        return any((bits >> (32 + pad)) & (2**48 - 1) == _BZ2_END for pad in range(8))

    def _restart(self) -> None:
        self._file.seek(0)
        self.compression, self._stream = self._decompressor()


def _open(path: Path) -> IO[bytes]:
    try:
        return BufferedReader(open_file(path))
    except FileNotFoundError:
        raise ImageNotFoundError(f"there is no file {path}") from None
    except InvalidFitsError:
        raise
    except IsADirectoryError:
        raise InvalidFitsError(f"{path} is a folder, not a FITS file") from None
    except PermissionError:
        raise InvalidFitsError(f"{path} may not be read: change its permissions") from None
    except OSError as error:
        if error.errno == errno.ENXIO:
            raise InvalidFitsError(f"{path} is a socket, not a FITS file") from None
        raise InvalidFitsError(f"{path} cannot be read: {error.strerror or error}") from error


def _what_is_it(block: bytes) -> str:
    for magic, name in _MAGIC.items():
        if block.startswith(magic):
            return f"it is {name}"
    if not block.strip(b"\0"):
        return "it begins with zeros only, as a file whose copying was interrupted does"
    return f"it begins with {block[:24]!r}"
