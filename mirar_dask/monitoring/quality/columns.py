"""The columns of the table of measurements: their names, units, and where their values come from.

One list, from which reading, the files, the report's plots and the manual are made.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Column:
    """One column of the table."""

    name: str
    doc: str
    unit: str = ""
    keys: tuple[str, ...] = ()
    """Header keys that hold it, the first that has a value wins."""
    numbered: str = ""
    """Beginning of the key that tells it of a stack's input, such as ``ALDX`` of ALDX001."""
    table: str = ""
    """Column of the table of its sources whose median it is."""
    plot: bool = False
    """Whether it is shown against time and airmass."""
    text: bool = False


COLUMNS = (
    Column("file", "path of the product, from the night's folder", text=True),
    Column("kind", "`frame`, `stack`, or the kind of master", text=True),
    Column("time", "start of the exposure, UTC (of a stack: of its first frame)", text=True,
           keys=("DATE-OBS",)),
    Column("target", "what was looked at", text=True, keys=("TARGET", "OBJECT")),
    Column("filter", "filter", text=True, keys=("FILTER",)),
    Column("exptime", "exposure time, of all its frames together", "s", ("EXPTIME",)),
    Column("airmass", "airmass", "", ("AIRMASS", "SECZ")),
    Column("sky", "median of the image", "units of the image", ("SKYMED",), plot=True),
    Column("noise", "noise of a pixel of the sky", "units of the image", ("SKYRMS", "COUNTRMS"),
           plot=True),
    Column("fwhm", "width of its stars at half their height", "pixel", ("FWHM_PIX",),
           "ALFW", "fwhm", plot=True),
    Column("seeing", "the same on the sky", "arcsec", ("FWHM_MED",), plot=True),
    Column("ellipticity", "one less the ratio of the axes of its stars", "", ("ELLIPMED",),
           "ALEL", "ellipticity", plot=True),
    Column("sources", "sources that were found, or stars that were measured", "", ("NSOURCES",),
           "ALNS", plot=True),
    Column("shift_x", "offset from the frame that it was aligned with, along x", "pixel", (),
           "ALDX", plot=True),
    Column("shift_y", "the same along y", "pixel", (), "ALDY", plot=True),
    Column("rotation", "the same, turned", "deg", (), "ALRO", plot=True),
    Column("matches", "stars by which it was aligned", "", (), "ALNM", plot=True),
    Column("match_rms", "residuals of these", "pixel", (), "ALRM", plot=True),
    Column("zero_point", "magnitude of one unit a second or image", "mag", ("ZP",), plot=True),
    Column("zero_point_error", "its standard deviation", "mag", ("ZPSTD",)),
    Column("limiting_magnitude", "limiting magnitude", "mag", ("MAGLIM",), plot=True),
    Column("astrometric_error", "uncertainty of positions", "arcsec", ("ASTUNC",), plot=True),
    Column("saturation", "value from which pixels are saturated", "units of the image",
           ("SATURATE",)),
    Column("level", "median of a master", "units of the image", ("MASTRMED",)),
    Column("camera", "what masters must share with frames", text=True, keys=("CALGROUP",)),
    Column("combined", "number of frames that went in", "", ("NCOMBINE", "COADDS")),
    Column("caveat", "what should be known about it", text=True, keys=("CAVEAT",)),
)  # fmt: skip
"""In the order in which they are written."""

NAMES = tuple(column.name for column in COLUMNS)
PLOTTED = tuple(column for column in COLUMNS if column.plot)


def columns_table() -> str:
    """Return the columns as a table of the manual."""
    lines = ["| column | unit | what it is | header keys |", "|---|---|---|---|"]
    for column in COLUMNS:
        keys = [*column.keys, *([f"{column.numbered}nnn"] if column.numbered else [])]
        shown = ", ".join(f"`{key}`" for key in keys)
        lines.append(f"| `{column.name}` | {column.unit} | {column.doc} | {shown} |")
    return "\n".join(lines)
