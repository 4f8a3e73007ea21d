"""Selecting, rejecting and regrouping by header values."""

import pytest

from mirar_dask.data import Dataset, ImageBatch, SourceBatch
from mirar_dask.errors import UsageError
from mirar_dask.processors.base_processor import Status
from mirar_dask.processors.utils import (
    ImageBatcher,
    ImageDebatcher,
    ImageRebatcher,
    ImageRejector,
    ImageSelector,
    select_from_images,
)
from mirar_dask.processors.utils.image_rejector import filter_images
from mirar_dask.processors.utils.image_selector import ParsingError, split_images_into_batches
from mirar_dask.testing.images import make_image, make_sources


def names(batch):
    return [block.get_name() for block in batch]


def night(**columns):
    """Make a batch of images a.fits, b.fits ... with one header value each from every column."""
    rows = zip(*columns.values(), strict=True)
    return ImageBatch(
        [
            make_image(f"{'abcdefgh'[i]}.fits", **dict(zip(columns, row, strict=True)))
            for i, row in enumerate(rows)
        ]
    )


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ("flat", ["b.fits"]),
        (["flat", "bias"], ["b.fits", "c.fits"]),
        (("flat", "bias"), ["b.fits", "c.fits"]),
        ("Flat", []),
        (["nothing"], []),
    ],
)
def test_selection_takes_images_whose_value_is_among_the_wanted(values, expected):
    """One value or several are accepted; case counts, as in mirar."""
    batch = night(OBSCLASS=["science", "flat", "bias"])
    assert names(select_from_images(batch, key="OBSCLASS", target_values=values)) == expected


def test_values_are_compared_as_text():
    """The number 1 is wanted by 1 and by '1', and is not 1.0 or True."""
    batch = night(CHIP=[1, "1", 1.0, True])
    assert names(select_from_images(batch, "CHIP", 1)) == ["a.fits", "b.fits"]
    assert names(select_from_images(batch, "CHIP", ["1.0", "True"])) == ["c.fits", "d.fits"]


def test_selection_and_rejection_divide_a_batch():
    """What is selected and what is rejected by the same values make up the batch."""
    batch = night(FILTER=["g", "r", "i", "r"])
    kept = names(select_from_images(batch, "FILTER", ["r"]))
    left = names(filter_images(batch, "FILTER", ["r"]))
    assert kept == ["b.fits", "d.fits"]
    assert left == ["a.fits", "c.fits"]
    assert names(batch) == ["a.fits", "b.fits", "c.fits", "d.fits"]


def test_selecting_by_an_absent_key_names_image_and_key():
    """The functions raise one error that says what is lacking where."""
    batch = ImageBatch([make_image("a.fits", FILTER="g"), make_image("b.fits")])
    with pytest.raises(ParsingError, match=r"'b\.fits' has no header key 'FILTER'"):
        select_from_images(batch, "FILTER", "g")
    with pytest.raises(ParsingError, match=r"'b\.fits' has no header key 'FILTER'"):
        filter_images(batch, "FILTER", "g")
    with pytest.raises(KeyError, match="FILTER"):
        split_images_into_batches(batch, "FILTER")


def test_selector_wants_all_its_conditions():
    """Conditions are joined by 'and'."""
    batch = night(OBSCLASS=["science", "science", "flat"], FILTER=["g", "r", "r"])
    selector = ImageSelector(("OBSCLASS", "science"), ("FILTER", ["r", "i"]))
    dataset, errors = selector.base_apply(Dataset([batch]))
    assert [names(x) for x in dataset] == [["b.fits"]]
    assert len(errors.get_all_reports()) == 0


def test_rejector_rejects_what_meets_one_condition():
    """Conditions are joined by 'or'."""
    batch = night(OBSCLASS=["science", "focus", "flat"], FILTER=["g", "r", "r"])
    rejector = ImageRejector(("OBSCLASS", ["focus"]), ("FILTER", "g"))
    dataset, _ = rejector.base_apply(Dataset([batch]))
    assert [names(x) for x in dataset] == [["c.fits"]]


@pytest.mark.parametrize("processor", [ImageSelector(("T", "x")), ImageRejector(("T", "y"))])
def test_emptied_batches_are_left_out(processor):
    """A batch of which nothing is left does not go on."""
    dataset = Dataset([night(T=["x", "y"]), night(T=["y", "y"])])
    result, _ = processor.base_apply(dataset)
    assert [names(x) for x in result] == [["a.fits"]]


@pytest.mark.parametrize("processor", [ImageSelector(("T", "x")), ImageRejector(("T", "y"))])
def test_what_is_not_selected_is_set_aside_and_not_lost(processor):
    """Each image that does not go on has a record with the name of the step."""
    stepped = processor.step(Dataset([night(T=["x", "y"])]))
    (record,) = stepped.records
    assert (record.names, record.status, record.step) == (
        ("b.fits",),
        Status.SET_ASIDE,
        processor.step_name,
    )
    assert record.report is None


@pytest.mark.parametrize(
    "processor",
    [
        ImageSelector(("FILTER", "g")),
        ImageRejector(("FILTER", "r")),
        ImageBatcher("FILTER"),
        ImageRebatcher(["FILTER", "TARGET"]),
    ],
)
def test_an_image_without_the_key_fails_alone(processor):
    """The others go on; the one report names the file and the key, and nothing is raised."""
    batch = ImageBatch(
        [
            make_image("a.fits", FILTER="g"),
            make_image("b.fits"),
            make_image("c.fits", FILTER="g"),
        ]
    )
    dataset, errors = processor.base_apply(Dataset([batch]))
    assert [names(x) for x in dataset] == [["a.fits", "c.fits"]]
    (report,) = errors.get_all_reports()
    assert report.contents == ["b.fits"]
    assert report.known_error_bool
    assert "'b.fits' has no header key 'FILTER'" in report.generate_full_traceback()


def test_every_step_is_written_to_the_history():
    """Images that are moved have the step in CALSTEPS, as after any other step."""
    dataset, _ = ImageBatcher("T").base_apply(Dataset([night(T=["x", "y"])]))
    assert [image["CALSTEPS"] for batch in dataset for image in batch] == ["batch,", "batch,"]


def test_batcher_divides_every_batch_in_first_seen_order():
    """Batches come in the order in which their values are met; different batches never mix."""
    dataset = Dataset(
        [
            night(FILTER=["r", "g", "r"]),
            ImageBatch([make_image("x.fits", FILTER="g"), make_image("y.fits", FILTER="r")]),
        ]
    )
    result, _ = ImageBatcher("FILTER").base_apply(dataset)
    assert [names(x) for x in result] == [["a.fits", "c.fits"], ["b.fits"], ["x.fits"], ["y.fits"]]


def test_values_with_separators_do_not_collide():
    """('x_y', 'z') and ('x', 'y_z') are different values, so they make two batches."""
    batch = night(T=["x_y", "x"], F=["z", "y_z"])
    assert [names(x) for x in split_images_into_batches(batch, ["T", "F"])] == [
        ["a.fits"],
        ["b.fits"],
    ]
    dataset, _ = ImageBatcher(["T", "F"]).base_apply(Dataset([batch]))
    assert len(dataset) == 2


def test_cards_without_a_value_make_one_batch():
    """An undefined value is the same in every image and every process."""
    images = [make_image(name) for name in ("a.fits", "b.fits")]
    for image in images:
        image.get_header()["EMPTY"] = None
    dataset, _ = ImageBatcher("EMPTY").base_apply(Dataset([ImageBatch(images)]))
    assert [names(x) for x in dataset] == [["a.fits", "b.fits"]]


def test_debatcher_puts_all_images_into_one_batch():
    """Images come in the order of the batches that they were in."""
    dataset = Dataset([night(T=["x"]), ImageBatch([make_image("z.fits"), make_image("y.fits")])])
    result, _ = ImageDebatcher().base_apply(dataset)
    assert [names(x) for x in result] == [["a.fits", "z.fits", "y.fits"]]


def test_rebatcher_merges_across_batches():
    """Images of different batches come together where their values agree."""
    dataset = Dataset(
        [
            night(FILTER=["r", "g"]),
            ImageBatch([make_image("x.fits", FILTER="g"), make_image("y.fits", FILTER="r")]),
        ]
    )
    result, _ = ImageRebatcher("FILTER").base_apply(dataset)
    assert [names(x) for x in result] == [["a.fits", "y.fits"], ["b.fits", "x.fits"]]


def test_splitting_then_merging_keeps_every_image():
    """A batcher followed by a debatcher loses and doubles nothing."""
    dataset = Dataset([night(FILTER=["r", "g", "i", "g"])])
    divided, _ = ImageBatcher("FILTER").base_apply(dataset)
    merged, _ = ImageDebatcher().base_apply(divided)
    assert [sorted(names(x)) for x in merged] == [["a.fits", "b.fits", "c.fits", "d.fits"]]


@pytest.mark.parametrize(
    "processor",
    [
        ImageSelector(("TARGET", "field")),
        ImageRejector(("TARGET", "other")),
        ImageBatcher("TARGET"),
        ImageDebatcher(),
        ImageRebatcher("TARGET"),
    ],
)
def test_source_tables_are_moved_by_their_metadata(processor):
    """Batches of source tables go through and stay batches of source tables."""
    dataset, errors = processor.base_apply(Dataset([make_sources("a.fits")]))
    assert len(errors.get_all_reports()) == 0
    assert [type(x) for x in dataset] == [SourceBatch]
    assert names(dataset[0]) == ["a.fits"]


@pytest.mark.parametrize("condition", ["OBSCLASS", ("OBSCLASS",), (1, "x"), ("A", "b", "c")])
def test_a_condition_that_is_no_pair_is_refused(condition):
    """The message shows what was given and the form that is expected."""
    with pytest.raises(UsageError, match="expected pairs of header key and value"):
        ImageSelector(condition)


def test_a_selector_written_for_mirar_keeps_its_meaning():
    """A subclass that overrides _apply_to_images has its images changed, then selected."""

    class Renaming(ImageSelector):
        base_key = "renaming_select"

        def _apply_to_images(self, batch):
            for image in batch:
                image["T"] = image["T"].lower()
            return batch

    dataset, errors = Renaming(("T", "x")).base_apply(Dataset([night(T=["X", "Y"])]))
    assert len(errors.get_all_reports()) == 0
    assert [names(x) for x in dataset] == [["a.fits"]]


def test_descriptions_name_keys_and_values():
    """What a plan shows says what is selected."""
    assert ImageSelector(("A", ["x", 1]), ("B", "y")).description() == (
        "Select the images with A = x or 1 and B = y"
    )
    assert ImageRejector(("A", "x"), ("B", "y")).description() == (
        "Reject the images with A = x or B = y"
    )
    assert "A and B" in ImageBatcher(["A", "B"]).description()


def test_applying_a_selector_to_one_batch_selects():
    """`apply`, called by itself as mirar's pipelines do, returns what passes."""
    batch = night(T=["x", "y"])
    assert names(ImageSelector(("T", "x")).apply(batch)) == ["a.fits"]
    assert names(ImageRejector(("T", "x")).apply(batch)) == ["b.fits"]
    assert names(ImageBatcher("T").apply(batch)) == ["a.fits", "b.fits"]


def test_an_image_without_a_history_fails_alone():
    """A header without CALSTEPS costs one image, not the batch."""
    batch = ImageBatch([make_image("a.fits", CALSTEPS=None, T="x"), make_image("b.fits", T="x")])
    dataset, errors = ImageSelector(("T", "x")).base_apply(Dataset([batch]))
    assert [names(x) for x in dataset] == [["b.fits"]]
    assert [report.contents for report in errors.get_all_reports()] == [["a.fits"]]
