"""Cutouts as bytes: a FITS file, gzipped, as alert brokers and marshals take them."""

from __future__ import annotations

import gzip
import io

import numpy as np
from astropy.io import fits


def encode_img(image: np.ndarray) -> bytes:
    """Return an image as the bytes of a gzipped FITS file; equal images give equal bytes.

    Parameters
    ----------
    image : ndarray, shape (ny, nx)
        A cutout.
    """
    buffer = io.BytesIO()
    fits.PrimaryHDU(np.asarray(image)).writeto(buffer)
    return gzip.compress(buffer.getvalue(), mtime=0)


def decode_img(compressed_bytes: bytes) -> np.ndarray:
    """Return the image behind the bytes that `encode_img` gave, in native byte order.

    Raises
    ------
    OSError
        If the bytes are not a gzipped FITS file.
    """
    content = gzip.decompress(compressed_bytes)
    # Archives hold cutouts that start with an image extension.
    with fits.open(io.BytesIO(content), ignore_missing_simple=True) as hdus:
        data = hdus[0].data
        return np.array(data, dtype=data.dtype.newbyteorder("="))
