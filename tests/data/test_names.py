"""The names, methods and parameters that code written for mirar 1.2 uses."""

from __future__ import annotations

import importlib
import inspect

import pytest

NAMES = {
    "": "DataBatch DataBlock Dataset Image ImageBatch SourceBatch SourceTable cache",
    "base_data": "DataBatch DataBlock Dataset PseudoList logger",
    "cache": "Cache CacheError USE_CACHE cache logger",
    "image_data": "Image ImageBatch",
    "source_data": "SourceBatch SourceTable",
    "utils": "check_coords_within_image decode_img encode_img get_corners_ra_dec_from_header "
    "get_image_center_wcs_coords get_xy_from_wcs plot_fits_image write_regions_file",
    "utils.compress": "decode_img encode_img",
    "utils.coords": "check_coords_within_image get_corners_ra_dec_from_header "
    "get_image_center_wcs_coords get_image_dims_from_header get_xy_from_wcs write_regions_file",
    "utils.plot_image": "plot_fits_image",
}

# A star: the parameter may be left out.
SIGNATURES = {
    "base_data.DataBlock": "",
    "base_data.DataBlock.get_name": "",
    "base_data.DataBlock.get_raw_img_list": "",
    "base_data.PseudoList": "data_list*",
    "base_data.PseudoList.get_data_list": "",
    "base_data.PseudoList.append": "item",
    "base_data.PseudoList._append": "item",
    "base_data.DataBatch": "batch*",
    "base_data.DataBatch.get_batch": "",
    "base_data.DataBatch.get_raw_image_names": "",
    "base_data.Dataset": "batches*",
    "base_data.Dataset.get_batches": "",
    "base_data.Dataset.append": "item",
    "cache.Cache": "",
    "cache.Cache.get_cache_dir": "",
    "cache.Cache.set_cache_dir": "cache_dir",
    "image_data.Image": "data header",
    "image_data.Image.get_cache_path": "",
    "image_data.Image.set_data": "data",
    "image_data.Image.set_cache_data": "data",
    "image_data.Image.set_ram_data": "data",
    "image_data.Image.get_data": "",
    "image_data.Image.get_mask": "",
    "image_data.Image.get_cache_data": "",
    "image_data.Image.get_ram_data": "",
    "image_data.Image.get_header": "",
    "image_data.Image.set_header": "header",
    "image_data.Image.keys": "",
    "image_data.ImageBatch": "batch*",
    "image_data.ImageBatch.append": "item",
    "image_data.ImageBatch.get_batch": "",
    "source_data.SourceTable": "source_list metadata",
    "source_data.SourceTable.get_data": "",
    "source_data.SourceTable.set_data": "source_list",
    "source_data.SourceTable.get_metadata": "",
    "source_data.SourceTable.keys": "",
    "source_data.SourceBatch": "batch*",
    "source_data.SourceBatch.append": "item",
    "source_data.SourceBatch.get_batch": "",
    "utils.compress.decode_img": "compressed_bytes",
    "utils.compress.encode_img": "image",
    "utils.coords.get_corners_ra_dec_from_header": "header",
    "utils.coords.get_image_center_wcs_coords": "image origin*",
    "utils.coords.get_xy_from_wcs": "ra_deg dec_deg header origin*",
    "utils.coords.write_regions_file": "regions_path x_coords y_coords system* region_radius* "
    "text*",
    "utils.coords.get_image_dims_from_header": "header",
    "utils.coords.check_coords_within_image": "ra dec header",
    "utils.plot_image.plot_fits_image": "image savedir regions_wcs_coords* plot_format* "
    "title_fields* fig*",
}


@pytest.mark.parametrize("module", NAMES)
def test_every_name_is_in_its_module(module: str):
    """Changing the import root is enough."""
    found = importlib.import_module(f"mirar_dask.data.{module}".rstrip("."))
    for name in NAMES[module].split():
        assert hasattr(found, name)


@pytest.mark.parametrize("path", SIGNATURES)
def test_every_call_has_its_parameters(path: str):
    """By position and by name; what we add can be left out."""
    module, _, name = path.partition(".")
    if module == "utils":
        submodule, _, name = name.partition(".")
        module = f"utils.{submodule}"
    thing = importlib.import_module(f"mirar_dask.data.{module}")
    for part in name.split("."):
        thing = getattr(thing, part)
    parameters = [p for p in inspect.signature(thing).parameters.values() if p.name != "self"]
    expected = SIGNATURES[path].split()
    assert [p.name for p in parameters[: len(expected)]] == [e.rstrip("*") for e in expected]
    for parameter, wanted in zip(parameters, expected, strict=False):
        assert parameter.kind is parameter.POSITIONAL_OR_KEYWORD
        assert (parameter.default is not parameter.empty) == wanted.endswith("*")
    for added in parameters[len(expected) :]:
        assert added.default is not added.empty


def test_blocks_have_their_attributes(image, table):
    """Those that mirar sets in the constructors."""
    made = image()
    for name in ("header", "cache_path", "cache_files", "base_name", "raw_img_list"):
        assert hasattr(made, name)
    for name in ("source_list", "metadata", "base_name", "raw_img_list"):
        assert hasattr(table(), name)
