"""Arguments as people give them in Python."""

import numpy as np
import pytest
import tifffile
import torch

from napari_vrp_sam import Segmenter, segment_stack
from napari_vrp_sam.errors import InputError
from napari_vrp_sam.inference.arguments import (
    as_array,
    as_channels,
    as_frame_range,
    as_index,
    as_indices,
    as_limits,
    as_position,
)
from napari_vrp_sam.inference.frames import Frames


@pytest.fixture(scope="module")
def scene():
    rng = np.random.default_rng(0)
    truth = np.zeros((3, 40, 48), np.uint8)
    truth[:, 8:24, 10:30] = 1
    image = (60 + 100 * truth + rng.normal(0, 8, truth.shape)).astype(np.uint8)
    return image, truth


def test_stacks_and_annotations_of_every_kind(scene, model, tmp_path):
    image, truth = scene
    tifffile.imwrite(tmp_path / "stack.tif", image, photometric="minisblack")
    tifffile.imwrite(tmp_path / "drawn.tif", truth[1], photometric="minisblack")
    arguments = {"model": model, "device": "cpu", "reference_frame": 1}
    expected = segment_stack(image, truth[1], axes="ZYX", **arguments)
    assert expected.any()
    masked = np.ma.array(truth[1], mask=truth[1] == 0)
    for stack, annotation in [
        (torch.from_numpy(image), torch.from_numpy(truth[1])),
        (torch.from_numpy(image), torch.from_numpy(truth[1]).bool()),
        (image.tolist(), truth[1].tolist()),
        (list(image), list(truth[1])),
        ([torch.from_numpy(frame) for frame in image], truth[1]),
        (tmp_path / "stack.tif", tmp_path / "drawn.tif"),
        (str(tmp_path / "stack.tif"), truth[1]),
        (np.ma.array(image), masked),
    ]:
        found = segment_stack(stack, annotation, axes="ZYX", **arguments)
        np.testing.assert_array_equal(np.asarray(found), expected)
    assert tuple(segment_stack(tmp_path / "stack.tif", truth[1], **arguments).shape) == truth.shape


def test_the_labels_tell_the_axes_of_an_unnamed_stack(scene, model):
    image, truth = np.stack([scene[0]] * 2), np.stack([scene[1]] * 2)
    assert segment_stack(image, truth, model=model, device="cpu").shape == image.shape
    with pytest.raises(InputError, match="give `axes`"):
        segment_stack(image, truth[0, 0], reference_frame=0, model=model, device="cpu")


def test_ranges_and_positions(scene, model):
    image, truth = scene
    segmenter = Segmenter(model, device="cpu", contrast_limits=np.array([0, 255]))
    segmenter.fit(image, truth[1], axes="ZYX", reference_frame=np.array([1]), channels=slice(None))
    expected = np.asarray(segmenter.predict(image, frames=(1, 3)).labels)
    for frames in ([1, 3], range(1, 3), slice(1, None), np.array([1, 3])):
        np.testing.assert_array_equal(segmenter.predict(image, frames=frames).labels, expected)
    without = segmenter.predict(image, accepted=np.array([0, 2])).labels
    assert not np.asarray(without)[[0, 2]].any()
    assert [f.index for f in segmenter.predict_iter(image, frames=range(2))] == [0, 1]


@pytest.mark.parametrize("channels", [[1, 2], (1, 2), range(1, 3), slice(1, 3), np.array([1, 2])])
def test_channels(channels):
    assert Frames(np.zeros((4, 20, 20)), "CYX", channels).channels == (1, 2)
    assert Frames(np.zeros((4, 20, 20)), "CYX", np.int64(3)).channels == (3,)
    assert Frames(np.zeros((4, 20, 20)), "CYX", 3).channels == (3,)


@pytest.mark.parametrize(
    ("convert", "value", "sentence"),
    [
        (as_array, None, "`stack` is None: give an array of pixels"),
        (as_array, 5, "`stack` is 5: give an array"),
        (as_array, {"a": 1}, "`stack` is {.a.: 1}"),
        (as_array, [[1, 2], [3]], "`stack` is not an array: its rows or frames differ in size"),
        (lambda v: as_array(v, "annotation"), "labels.tif", "`annotation` is .labels.tif."),
        (lambda v: as_channels(v, 4), "red", "`channels` is .red.: give a whole number"),
        (lambda v: as_channels(v, 4), [0.5], "`channels` is 0.5"),
        (lambda v: as_position(v, "reference_frame"), "first", "`reference_frame` is .first."),
        (lambda v: as_position(v, "reference_frame"), 1.5, "`reference_frame` is 1.5"),
        (lambda v: as_index(v, "x"), True, "`x` is True"),
        (lambda v: as_indices(v, "accepted"), 3, "`accepted` is 3: give a list of whole numbers"),
        (as_frame_range, 3, "`frames` is 3: give the first frame and the one after the last"),
        (as_frame_range, range(0, 8, 2), "without steps"),
        (as_frame_range, "1:3", "`frames` is .1:3."),
        (as_limits, 5, "`contrast_limits` is 5: give two numbers"),
        (as_limits, ("a", "b"), "`contrast_limits` is"),
    ],
)
def test_what_cannot_be_used_is_named(convert, value, sentence):
    with pytest.raises(InputError, match=sentence):
        convert(value)


def test_tensors_of_types_that_numpy_lacks():
    tensor = torch.ones(20, 20, dtype=torch.bfloat16, requires_grad=True)
    assert as_array(tensor).dtype == np.float32
