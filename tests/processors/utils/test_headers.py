"""Processors that write, edit and show header values, and the user's own function."""

import logging

import numpy as np
import pytest

from mirar_dask.data import Dataset, ImageBatch
from mirar_dask.errors import UsageError
from mirar_dask.processors.utils import (
    CustomImageBatchModifier,
    HeaderAnnotator,
    HeaderEditor,
    HeaderReader,
)
from mirar_dask.testing.images import make_batch, make_image, make_sources


def test_one_key_is_copied_with_its_type():
    """A number stays a number."""
    dataset, _ = HeaderAnnotator("EXPTIME", "EXPCOPY").base_apply(Dataset([make_batch("a.fits")]))
    value = dataset[0][0]["EXPCOPY"]
    assert value == 30.0
    assert isinstance(value, float)


def test_several_keys_are_joined_as_text_without_separator():
    """The values come in the order of the keys."""
    batch = make_batch("a.fits", FILTER="r", CHIP=3)
    dataset, _ = HeaderAnnotator(["FILTER", "CHIP"], "STACKID").base_apply(Dataset([batch]))
    assert dataset[0][0]["STACKID"] == "r3"


def test_an_image_without_an_input_key_fails_alone():
    """The other image is annotated; the report names file and key."""
    batch = ImageBatch([make_image("a.fits"), make_image("b.fits", FILTER="r")])
    dataset, errors = HeaderAnnotator(["FILTER", "TARGET"], "ID").base_apply(Dataset([batch]))
    assert [image["ID"] for image in dataset[0]] == ["rfield"]
    (report,) = errors.get_all_reports()
    assert report.contents == ["a.fits"]
    assert "'a.fits' has no header key 'FILTER'" in report.generate_full_traceback()


@pytest.mark.parametrize(
    ("keys", "values", "expected"),
    [
        ("TARGET", "m13", {"TARGET": "m13"}),
        (["TARGET", "COADDS"], ["m13", 4], {"TARGET": "m13", "COADDS": 4}),
        (["NEWKEY"], [2.5], {"NEWKEY": 2.5}),
        ("FLAG", True, {"FLAG": True}),
    ],
)
def test_editor_writes_values(keys, values, expected):
    """Keys that are there get the value, others are added, pixels stay."""
    batch = make_batch()
    before = batch[0].get_data()
    dataset, errors = HeaderEditor(keys, values).base_apply(Dataset([batch]))
    assert len(errors.get_all_reports()) == 0
    for image in dataset[0]:
        assert {key: image[key] for key in expected} == expected
    np.testing.assert_array_equal(dataset[0][0].get_data(), before)


def test_editor_works_on_source_tables():
    """Metadata is edited as a header is."""
    dataset, errors = HeaderEditor("TARGET", "m13").base_apply(Dataset([make_sources()]))
    assert len(errors.get_all_reports()) == 0
    assert dataset[0][0]["TARGET"] == "m13"
    assert len(dataset[0][0].get_data()) == 2


def test_annotator_works_on_source_tables():
    """Metadata is annotated as a header is."""
    dataset, errors = HeaderAnnotator("TARGET", "FIELD").base_apply(Dataset([make_sources()]))
    assert len(errors.get_all_reports()) == 0
    assert dataset[0][0]["FIELD"] == "field"


def test_editor_refuses_keys_and_values_of_different_number():
    """The message gives both numbers."""
    with pytest.raises(UsageError, match=r"2 keys \(A, B\) and 1 values"):
        HeaderEditor(["A", "B"], ["x"])


def test_annotator_refuses_no_keys():
    """There would be nothing to write."""
    with pytest.raises(UsageError, match="at least one input key"):
        HeaderAnnotator([], "OUT")


def test_reader_shows_values_and_what_is_absent(caplog):
    """A key that is not there costs nobody anything."""
    caplog.set_level(logging.INFO)
    dataset, errors = HeaderReader("TARGET", "NOSUCH").base_apply(Dataset([make_batch("a.fits")]))
    assert len(dataset[0]) == 1
    assert len(errors.get_all_reports()) == 0
    assert "a.fits: TARGET: field; NOSUCH: (absent)" in caplog.text


def keep_first(batch):
    """Leave all images but the first out."""
    return batch[:1]


def returns_nothing(batch):
    """Forget the return statement."""


def test_a_function_may_leave_images_out():
    """What the function returns goes on."""
    dataset, errors = CustomImageBatchModifier(keep_first).base_apply(Dataset([make_batch()]))
    assert [image.get_name() for image in dataset[0]] == ["a.fits"]
    assert len(errors.get_all_reports()) == 0


def test_a_function_that_returns_no_batch_is_named():
    """The usual mistake, a forgotten return, has a clear report."""
    modifier = CustomImageBatchModifier(returns_nothing)
    dataset, errors = modifier.base_apply(Dataset([make_batch()]))
    assert len(dataset) == 0
    (report,) = errors.get_all_reports()
    assert "'returns_nothing' returned NoneType, not an ImageBatch" in (
        report.generate_full_traceback()
    )
    assert report.contents == ["a.fits", "b.fits"]


def test_description_names_the_function():
    """A plan shows which function is run."""
    assert "'keep_first'" in CustomImageBatchModifier(keep_first).description()
