"""Aligning by WCS: where the pixels of one frame lie in another by the coordinates of both."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mirar_dask.processors.align.cleaning import FloatImage
from mirar_dask.processors.align.resample import BAD_SHARE, NEGLIGIBLE, Interpolation, split_mask
from mirar_dask.processors.align.transform import (
    AlignmentError,
    FloatArray,
    Shape,
    Transform,
)

if TYPE_CHECKING:
    from astropy.wcs import WCS

NODES = 12
"""Points a side at which two coordinate systems are compared."""
ORDERS = {"cubic": "bicubic", "linear": "bilinear", "nearest": "nearest-neighbor"}


def transform_by_wcs(
    ref: WCS, other: WCS, shape: Shape, other_shape: Shape
) -> tuple[Transform, float]:
    """Fit the linear map from pixels of one frame to pixels of another by their WCS.

    Parameters
    ----------
    ref, other : astropy.wcs.WCS
        Coordinates of the reference frame and of the other.
    shape, other_shape : tuple
        (ny, nx) of the two.

    Returns
    -------
    tuple of Transform and float
        The map, and how far it is from the WCS at most: pixels. Above `NEGLIGIBLE` the frame has
        to be resampled point by point (`resample_by_wcs`).

    Raises
    ------
    AlignmentError
        If the frames do not overlap, or their coordinates cannot be compared.
    """
    y, x = (
        part.ravel()
        for part in np.meshgrid(
            np.linspace(0, shape[0] - 1, NODES), np.linspace(0, shape[1] - 1, NODES), indexing="ij"
        )
    )
    ox, oy = pixel_to_pixel(ref, other, x, y)
    known = np.isfinite(ox) & np.isfinite(oy)
    inside = known & (ox > -1) & (ox < other_shape[1]) & (oy > -1) & (oy < other_shape[0])
    if not inside.any():
        raise AlignmentError("by its WCS it does not overlap the reference")
    near = inside if np.count_nonzero(inside) >= 6 else known
    terms = np.column_stack([x[near], y[near], np.ones(np.count_nonzero(near))])
    (a, b, tx), (c, d, ty) = (
        np.linalg.lstsq(terms, found[near], rcond=None)[0] for found in (ox, oy)
    )
    transform = Transform(float(a), float(b), float(c), float(d), float(tx), float(ty))
    if not 0 < transform.scale < 1e6:
        raise AlignmentError("by its WCS it has no extent")
    fx, fy = transform.apply(x[near], y[near])
    return transform, float(np.hypot(fx - ox[near], fy - oy[near]).max())


def pixel_to_pixel(
    ref: WCS, other: WCS, x: FloatArray, y: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Pixel positions in another frame of what lies at x, y in the reference frame."""
    from astropy.wcs import NoConvergence
    from astropy.wcs.utils import pixel_to_pixel as convert

    try:
        ox, oy = convert(ref.celestial, other.celestial, x, y)
    except (ValueError, NoConvergence) as error:
        raise AlignmentError(f"its WCS cannot be compared with the reference's: {error}") from error
    return np.asarray(ox, dtype=np.float64), np.asarray(oy, dtype=np.float64)


def resample_by_wcs(
    data: NDArray[np.floating],
    other: WCS,
    ref: WCS,
    shape: Shape,
    interpolation: Interpolation = "cubic",
) -> FloatImage:
    """Resample a frame point by point, with all the distortions of both WCS.

    Parameters and result as in `mirar_dask.processors.align.resample.resample`; `ref` are the
    coordinates of the result. In this thread, without Dask.
    """
    from reproject import reproject_interp

    filled, bad = split_mask(np.asarray(data, dtype=np.float32))

    def project(values: FloatImage, order: str) -> FloatImage:
        found: FloatImage = reproject_interp(
            (values, other.celestial),
            ref.celestial,
            shape_out=shape,
            order=order,
            roundtrip_coords=False,
            return_footprint=False,
            parallel=False,
        )
        return found.astype(np.float32, copy=False)

    result = project(filled, ORDERS[interpolation])
    if bad is not None:
        result[project(bad.astype(np.float32), "bilinear") > BAD_SHARE] = np.nan
    ratio = transform_by_wcs(ref, other, shape, filled.shape)[0].scale ** 2
    if abs(ratio - 1.0) > NEGLIGIBLE / max(shape):
        result *= np.float32(ratio)
    return result
