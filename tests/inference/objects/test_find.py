import dask.array as da
import numpy as np
import pytest
from scipy import ndimage

from napari_vrp_sam.errors import InputError
from napari_vrp_sam.inference.objects.find import find_objects, objects_from_labels
from napari_vrp_sam.inference.objects.settings import ObjectSettings
from napari_vrp_sam.inference.segmentation import Segmentation

RED, GREEN = 3, 8


class Counting:
    """An image that keeps the largest part read of it at once."""

    def __init__(self, data):
        self._data = data
        self.shape, self.dtype = data.shape, data.dtype
        self.most = 0

    def __getitem__(self, selection):
        part = self._data[selection]
        self.most = max(self.most, part.size)
        return part


def test_each_frame_has_objects_of_its_own(truth):
    objects = objects_from_labels(truth, axes="TZYX")
    assert objects.labels.dtype == np.uint8
    np.testing.assert_array_equal(objects.labels > 0, truth > 0)
    # One id stands for one object on one frame: it has one row.
    assert objects.table["index"].tolist() == list(range(1, len(objects.table) + 1))
    assert (objects.table["frames"] == 1).all()
    assert set(objects.table["class"]) == {3, 8}
    again = objects_from_labels(truth, axes="TZYX")
    np.testing.assert_array_equal(again.labels, objects.labels)


def test_linked_objects_have_one_id(truth):
    objects = objects_from_labels(truth[0], axes="TYX", linked=True)
    assert objects.table["class"].tolist() == [3, 8]
    assert objects.table["frames"].tolist() == [4, 4]
    assert set(np.unique(objects.labels[truth[0] == 3])) == {1}


def test_the_image_is_read_frame_by_frame(stack, truth):
    image = Counting(stack)
    objects = find_objects(truth, image, axes="TZYXS", settings=ObjectSettings(linked=True))
    assert image.most == stack[0, 0].size
    red = objects.table[objects.table["class"] == 3].iloc[0]
    assert red["mean_intensity_0"] == pytest.approx(stack[truth == 3][:, 0].mean())


def test_labels_may_be_lazy(truth):
    lazy = da.from_array(truth, chunks=(1, 1, 40, 48))
    np.testing.assert_array_equal(
        objects_from_labels(lazy, linked=True).labels,
        objects_from_labels(truth, linked=True).labels,
    )


@pytest.mark.parametrize("axes", ["ZYX", "TYX"])
@pytest.mark.parametrize("linked", [False, True])
def test_an_empty_stack_has_no_objects(axes, linked):
    objects = objects_from_labels(np.zeros((3, 20, 20), np.uint8), axes=axes, linked=linked)
    assert not objects.labels.any()
    assert len(objects.table) == 0
    assert "area" in objects.table


def test_one_frame(truth):
    objects = objects_from_labels(truth[0, 0])
    assert objects.labels.shape == truth[0, 0].shape
    assert sorted(objects.table["class"]) == [3, 8]
    stack_of_one = objects_from_labels(truth[0, :1], linked=True)
    assert len(stack_of_one.table) == 2


@pytest.mark.parametrize(
    ("axes", "linked"), [("ZYX", False), ("ZYX", True), ("TYX", True), ("TZYX", True)]
)
def test_progress_counts_to_the_end(truth, axes, linked):
    labels = truth if axes == "TZYX" else truth[0]
    steps = []
    objects_from_labels(
        labels,
        axes=axes,
        linked=linked,
        progress=lambda done, total, _: steps.append((done, total)),
    )
    total = steps[0][1]
    assert steps == [(done, total) for done in range(total)]


@pytest.mark.parametrize(
    ("mistake", "sentence"),
    [
        ({"labels": np.zeros((3, 20, 20))}, "integers"),
        ({"labels": np.zeros((20, 20), int), "linked": True}, "nothing to link"),
        ({"labels": np.zeros((3, 20, 20), int), "linked": True, "divisions": True}, "axis T"),
        ({"labels": np.zeros((3, 20, 20), int), "axes": "CYX"}, "no channels"),
        ({"labels": np.zeros((3, 20, 20), int), "min_size": -1}, "-1 pixels"),
        ({"labels": np.zeros((3, 20, 20), int), "min_size": "large"}, '"large"'),
        ({"labels": np.zeros((3, 20, 20), int), "split_strength": 1.5}, "never split"),
        ({"labels": np.zeros((3, 20, 20), int), "smoothing": -1}, "not -1"),
        (
            {"labels": np.zeros((3, 20, 20), int), "image": np.zeros((4, 20, 20)), "axes": "ZYX"},
            "the image needs",
        ),
    ],
)
def test_input_errors_are_one_sentence(mistake, sentence):
    with pytest.raises(InputError, match=sentence):
        objects_from_labels(**mistake)


def test_split_is_deprecated():
    rows, columns = np.indices((40, 60))
    discs = (np.hypot(rows - 20, columns - 20) < 12) | (np.hypot(rows - 20, columns - 39) < 12)
    labels = discs.astype(np.uint8)
    for split, count in ((True, 2), (False, 1)):
        with pytest.warns(DeprecationWarning, match="'split_strength'"):
            assert len(objects_from_labels(labels, split=split).table) == count
    assert len(objects_from_labels(labels).table) == 2


def crawling_cells(frames=12):
    """A chain of four touching cells that crawls and bends, with ragged outlines and specks."""
    rng = np.random.default_rng(0)
    rows, columns = np.indices((130, 190))
    stack = np.zeros((frames, 130, 190), np.uint8)
    for time, frame in enumerate(stack):
        for cell in range(4):
            row = 60 + 12 * np.sin(0.4 * time + 1.5 * cell)
            depth = 20 - np.hypot(rows - row, columns - 30 - 36 * cell - time)
            noise = ndimage.gaussian_filter(rng.standard_normal(depth.shape), 1)
            frame[depth + 1.5 * noise / noise.std() > 0] = 1
        frame[rng.uniform(size=frame.shape) < 0.003] ^= 1
    return stack


def test_touching_cells_keep_their_ids_through_time():
    stack = crawling_cells()
    whole = objects_from_labels(stack, axes="TYX", split_strength=0)
    assert len(whole.table) == len(stack)  # the cells touch on every frame
    objects = objects_from_labels(stack, axes="TYX", linked=True)
    assert objects.table["frames"].tolist() == [len(stack)] * 4
    fewest, most = objects.table["area"].min(), objects.table["area"].max()
    assert fewest > 0.75 * most


def test_the_minimum_size_is_that_of_the_stack():
    """A speck alone on its frame is removed, too."""
    stack = np.zeros((9, 50, 50), np.uint8)
    stack[[0, 2, 4], 10:30, 10:30] = 1
    stack[7, 40, 40] = 1
    assert len(objects_from_labels(stack, axes="ZYX").table) == 3
    assert len(objects_from_labels(stack, axes="ZYX", min_size=0).table) == 4


def test_objects_of_a_segmentation(truth):
    labels = truth[0]
    confidence = np.full((4, 2), np.nan, np.float32)
    confidence[:3] = [[0.9, 0.5]] * 3
    result = Segmentation(
        labels, class_ids=(RED, GREEN), confidence=confidence, expected_iou={RED: None, GREEN: 0.5}
    )
    objects = result.objects(axes="ZYX", linked=True, split_strength=0.3)
    expected = objects_from_labels(labels, axes="ZYX", linked=True, split_strength=0.3)
    np.testing.assert_array_equal(objects.labels, expected.labels)
    assert objects.table["confidence"].tolist() == pytest.approx([0.7, 0.7])
