"""Quick-look plots of images."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mirar_dask.data.conversions import read_wcs
from mirar_dask.data.image_data import Image
from mirar_dask.paths import BASE_NAME_KEY, safe_component

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_FORMATS = ("pdf", "png")


def plot_fits_image(
    image: Image,
    savedir: Path | str,
    regions_wcs_coords: Sequence[tuple[float, float]] | None = None,
    plot_format: str = "png",
    title_fields: Sequence[str] | None = None,
    fig: Figure | None = None,
) -> None:
    """Plot an image, stretched to five standard deviations around its median.

    The plot is ``<savedir>/<BASENAME without .fits>.<plot_format>``. The window system is never
    used, and plots that are open elsewhere are left alone.

    Parameters
    ----------
    image : Image
        The image.
    savedir : Path
        An existing folder.
    regions_wcs_coords : sequence of (RA, Dec) in deg, optional
        Positions to mark; the header needs a world coordinate system then.
    plot_format : "png" or "pdf"
        Format of the file.
    title_fields : sequence of str, optional
        Header keys to print above the plot.
    fig : Figure, optional
        A figure to draw on; it is closed at the end if it is one of pyplot's.

    Raises
    ------
    ValueError
        If the format is another one, or the header lacks a key of the title.
    """
    from astropy.stats import sigma_clipped_stats
    from matplotlib.figure import Figure

    if plot_format not in _FORMATS:
        raise ValueError(f"plots can be {' or '.join(_FORMATS)}, not {plot_format!r}")
    missing = [field for field in title_fields or () if field not in image.header]
    if missing:
        raise ValueError(f"{image.get_name()} has no header keys {missing} for the title")

    if fig is None:
        fig = Figure()  # not pyplot's: that would open a window system, and keep the figure
    ax: Any = fig.add_subplot(111)
    data = image.view_data()
    good = data[np.isfinite(data)]
    _, median, std = sigma_clipped_stats(good) if good.size else (0.0, 0.0, 1.0)
    ax.imshow(data, origin="lower", cmap="gray", vmin=median - 5 * std, vmax=median + 5 * std)
    if regions_wcs_coords is not None and len(regions_wcs_coords):
        x, y = read_wcs(image.header).all_world2pix(regions_wcs_coords, 0).T
        ax.scatter(x, y, marker="x", color="red", s=100)
    if title_fields:
        ax.set_title(_title(image, title_fields), fontsize=10)
    ax.set_xlabel("x (pixels)")
    ax.set_ylabel("y (pixels)")
    name = safe_component(image.header[BASE_NAME_KEY]).removesuffix(".fits")
    fig.savefig(Path(savedir) / f"{name}.{plot_format}", bbox_inches="tight")
    pyplot = sys.modules.get("matplotlib.pyplot")
    if pyplot is not None:
        pyplot.close(fig)


def _title(image: Image, fields: Sequence[str]) -> str:
    values = {field: image.header[field] for field in fields}
    words = [f"{k}: {f'{v:.2f}' if isinstance(v, float) else v}" for k, v in values.items()]
    return "\n".join(textwrap.wrap(",   ".join(words), 80))
