"""Cutouts, coordinates, regions files and plots."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy import units as u
from astropy.io import fits
from astropy.io.fits import Header
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from mirar_dask.data import Image
from mirar_dask.data.utils import (
    check_coords_within_image,
    decode_img,
    encode_img,
    get_corners_ra_dec_from_header,
    get_image_center_wcs_coords,
    get_image_dims_from_header,
    get_xy_from_wcs,
    plot_fits_image,
    write_regions_file,
)

RA, DEC, SCALE = 250.4, 36.46, 2e-4


@pytest.fixture
def sky() -> Header:
    """Give the header of an image of 100 x 80 pixels around a position."""
    return Header(
        {
            "RAWPATH": "/raw/a.fits",
            "BASENAME": "a.fits",
            "NAXIS": 2,
            "NAXIS1": 100,
            "NAXIS2": 80,
            "CTYPE1": "RA---TAN",
            "CTYPE2": "DEC--TAN",
            "CRVAL1": RA,
            "CRVAL2": DEC,
            "CRPIX1": 50.0,
            "CRPIX2": 40.0,
            "CD1_1": -SCALE,
            "CD2_2": SCALE,
            "FILTER": "r",
            "EXPTIME": 5.1234,
            "DATE-OBS": "2013/05/05",
        }
    )


@settings(max_examples=30)
@given(
    npst.arrays(
        st.sampled_from(["<f4", "<f8", "<i2", "<i4", "|u1"]),
        npst.array_shapes(min_dims=2, max_dims=2, max_side=6),
    )
)
def test_a_cutout_survives_its_encoding(cutout: np.ndarray):
    """Values and type come back, in native byte order; equal cutouts give equal bytes."""
    encoded = encode_img(cutout)
    assert isinstance(encoded, bytes)
    assert encoded == encode_img(cutout.copy())
    decoded = decode_img(encoded)
    np.testing.assert_array_equal(decoded, cutout)
    assert decoded.dtype == cutout.dtype


def test_a_cutout_that_is_an_extension_can_be_decoded():
    """Some archives leave SIMPLE out."""
    import gzip
    import io

    buffer = io.BytesIO()
    fits.ImageHDU(np.ones((3, 3), np.float32)).writeto(buffer)
    content = buffer.getvalue()[2880:]
    assert content.startswith(b"XTENSION")
    assert decode_img(gzip.compress(content)).sum() == 9


def test_bytes_that_are_no_cutout_are_an_error():
    """Nothing is made up."""
    with pytest.raises(OSError, match="gzipped"):
        decode_img(b"nonsense")


def test_corners_are_those_of_the_field(sky: Header):
    """In mirar's order: (0, 0), (nx, 0), (0, ny), (nx, ny)."""
    corners = get_corners_ra_dec_from_header(sky)
    assert len(corners) == 4
    cosine = np.cos(np.radians(DEC))
    for (ra, dec), (x, y) in zip(corners, [(0, 0), (100, 0), (0, 80), (100, 80)], strict=True):
        assert (ra - RA) * cosine == pytest.approx(-(x - 50) * SCALE, abs=1e-5)
        assert dec - DEC == pytest.approx((y - 40) * SCALE, abs=1e-5)


def test_the_centre_depends_on_where_counting_starts(sky: Header):
    """The same numbers from 1 mean one pixel less."""
    image = Image(np.zeros((80, 100)), sky)
    ra, dec = get_image_center_wcs_coords(image, origin=1)
    assert (ra, dec) == (pytest.approx(RA), pytest.approx(DEC))
    _, dec = get_image_center_wcs_coords(image)
    assert dec - DEC == pytest.approx(SCALE, rel=1e-3)


def test_sky_to_pixels_and_back(sky: Header):
    """The centre is where CRPIX says, and `origin` shifts by one."""
    assert get_xy_from_wcs(RA, DEC, sky, origin=1) == (pytest.approx(50), pytest.approx(40))
    assert get_xy_from_wcs(RA, DEC, sky) == (pytest.approx(49), pytest.approx(39))


def test_dimensions_on_the_sky(sky: Header):
    """With units, and with the sign of the axis."""
    width, height = get_image_dims_from_header(sky)
    assert width.to_value(u.deg) == pytest.approx(-100 * SCALE)
    assert height.to_value(u.deg) == pytest.approx(80 * SCALE)


@pytest.mark.parametrize(
    ("ra", "dec", "expected"),
    [
        (RA, DEC, [True]),
        ([RA, RA + 1, RA], [DEC, DEC, DEC - 1], [True, False, False]),
        (RA + 180, -DEC, [False]),
        (250, 36, [False]),
    ],
)
def test_positions_within_the_image(ra: Any, dec: Any, expected: list[bool], sky: Header):
    """Numbers, integers and lists; the opposite side of the sky is not within it."""
    assert check_coords_within_image(ra, dec, sky).tolist() == expected


def test_positions_where_a_distortion_has_no_solution(sky: Header):
    """They are not within the image, and no error."""
    sky["CTYPE1"], sky["CTYPE2"] = "RA---TAN-SIP", "DEC--TAN-SIP"
    sky.update({"A_ORDER": 2, "B_ORDER": 2, "A_2_0": 1e-3, "B_0_2": 1e-3})
    assert check_coords_within_image([RA, RA + 20], [DEC, DEC], sky).tolist() == [True, False]


def test_a_regions_file_has_a_circle_for_each_position(tmp_path: Path):
    """With and without labels, as DS9 reads it."""
    path = tmp_path / "a.reg"
    write_regions_file(path, [1.5, 2.5], [3.5, 4.5], system="wcs", region_radius=0.1)
    assert path.read_text() == "wcs\nCIRCLE(1.5,3.5,0.1)\nCIRCLE(2.5,4.5,0.1)\n"
    write_regions_file(str(path), [1], [2], text=["a star"])
    assert path.read_text() == "image\nCIRCLE(1,2,5) # text={a star}\n"


def test_regions_of_unequal_number_are_refused(tmp_path: Path):
    """Nothing is written."""
    for arguments in (([1], [2, 3], None), ([1], [2], ["a", "b"])):
        x, y, text = arguments
        with pytest.raises(ValueError, match="x_coords"):
            write_regions_file(tmp_path / "a.reg", x, y, text=text)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("plot_format", ["png", "pdf"])
def test_a_plot_is_written_under_the_name_of_the_image(
    plot_format: str, sky: Header, tmp_path: Path
):
    """With marks and a title."""
    data = np.random.default_rng(0).normal(size=(80, 100)).astype(np.float32)
    data[3, 3] = np.nan
    image = Image(data, sky)
    plot_fits_image(
        image,
        str(tmp_path),
        regions_wcs_coords=[(RA, DEC)],
        plot_format=plot_format,
        title_fields=["FILTER", "EXPTIME"],
    )
    assert [path.name for path in tmp_path.iterdir()] == [f"a.{plot_format}"]
    assert (tmp_path / f"a.{plot_format}").stat().st_size > 1000


def test_marks_are_at_the_pixel_of_the_position(sky: Header, tmp_path: Path):
    """And the title shows the keys that were asked for."""
    from matplotlib.figure import Figure

    figure = Figure()
    image = Image(np.arange(8000.0).reshape(80, 100), sky)
    fields = ["FILTER", "EXPTIME"]
    plot_fits_image(image, tmp_path, [(RA, DEC)], title_fields=fields, fig=figure)
    (axes,) = figure.axes
    np.testing.assert_allclose(axes.collections[0].get_offsets(), [[49, 39]], atol=1e-6)
    assert axes.get_title() == "FILTER: r,   EXPTIME: 5.12"


def test_an_image_without_a_good_pixel_can_be_plotted(sky: Header, tmp_path: Path):
    """It is an empty plot."""
    plot_fits_image(Image(np.full((8, 8), np.nan), sky), tmp_path)
    assert (tmp_path / "a.png").exists()


def test_wrong_formats_and_missing_keys_are_named(sky: Header, tmp_path: Path):
    """Before anything is drawn."""
    image = Image(np.zeros((8, 8)), sky)
    with pytest.raises(ValueError, match="png, not 'jpg'"):
        plot_fits_image(image, tmp_path, plot_format="jpg")
    with pytest.raises(ValueError, match=r"a\.fits has no header keys \['NONE'\]"):
        plot_fits_image(image, tmp_path, title_fields=["FILTER", "NONE"])


def test_plotting_leaves_no_figure_open(sky: Header, tmp_path: Path):
    """Neither one of its own nor one of pyplot's that it was given."""
    import matplotlib

    backend = matplotlib.get_backend()
    matplotlib.use("agg")
    from matplotlib import pyplot

    image = Image(np.arange(64.0).reshape(8, 8), sky)
    plot_fits_image(image, tmp_path)
    plot_fits_image(image, tmp_path, fig=pyplot.figure())
    assert pyplot.get_fignums() == []
    matplotlib.use(backend)


def test_importing_the_utilities_does_not_import_matplotlib():
    """Only plotting does."""
    code = "import sys, mirar_dask.data.utils; assert 'matplotlib' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_names_are_where_mirar_has_them(header: Callable[..., Header]):
    """Code written for mirar runs when only the import root changes."""
    from mirar_dask.data.utils.compress import decode_img as decode
    from mirar_dask.data.utils.coords import get_image_dims_from_header as dims
    from mirar_dask.data.utils.plot_image import plot_fits_image as plot

    assert (decode, dims, plot) == (decode_img, get_image_dims_from_header, plot_fits_image)
