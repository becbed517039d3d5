"""Accepted frames: kept by later runs and used as references."""

import numpy as np
import pytest
from napari.components import ViewerModel

from napari_vrp_sam.annotations.reference import Reference
from napari_vrp_sam.errors import InputError
from napari_vrp_sam.inference.runs.segmentation_job import SegmentationJob, plan
from napari_vrp_sam.plugin.layers.outputs.accepted import (
    accepted_frames,
    accepted_labels,
    current_result,
    frame_labels,
    references_with_accepted,
    set_accepted_frames,
    set_frame_labels,
)
from napari_vrp_sam.plugin.layers.outputs.results import ResultLayer
from napari_vrp_sam.plugin.layers.stacks import frames_of

FRAME = np.zeros((20, 30), dtype=np.uint8)
FRAME[4:12, 5:20] = 1
FRAME[14:18, 5:20] = 2


@pytest.fixture
def viewer():
    return ViewerModel()


def result_on(viewer, image, axes="ZYX", **options):
    result = ResultLayer(
        viewer, image, axes=axes, class_ids=(1, 2), metadata={"axes": axes}, **options
    )
    result.write([(2, FRAME)])
    result.finish()
    return viewer.layers[-1]


def test_current_result_is_the_active_or_topmost(viewer):
    image = viewer.add_image(np.zeros((4, 20, 30)), name="stack")
    assert current_result(viewer, image) is None
    first, second = result_on(viewer, image), result_on(viewer, image)
    other = viewer.add_image(np.zeros((4, 20, 30)), name="other")
    viewer.layers.selection.active = image
    assert current_result(viewer, image) is second
    viewer.layers.selection.active = first
    assert current_result(viewer, image) is second  # the first one is hidden
    first.visible = True
    assert current_result(viewer, image) is first
    assert current_result(viewer, other) is None


def test_results_belong_to_an_image_regardless_of_names(viewer):
    image = viewer.add_image(np.zeros((4, 20, 30)), name="stack")
    layer = result_on(viewer, image)
    image.name = "embryo"
    other = viewer.add_image(np.ones((4, 20, 30)), name="stack")
    assert current_result(viewer, image) is layer
    assert current_result(viewer, other) is None


def test_accepted_frames_are_stored_in_the_layer(viewer):
    image = viewer.add_image(np.zeros((4, 20, 30)), name="stack")
    layer = result_on(viewer, image)
    assert accepted_frames(layer) == []
    assert accepted_labels(layer, image, "ZYX") == {}
    set_accepted_frames(layer, {2, 0})
    assert accepted_frames(layer) == [0, 2]
    assert accepted_frames(layer.__class__(layer.data, metadata=layer.metadata)) == [0, 2]
    accepted = accepted_labels(layer, image, "ZYX")
    np.testing.assert_array_equal(accepted[2], FRAME)
    assert not accepted[0].any()


def test_drawings_on_accepted_frames_are_ignored(viewer):
    image = viewer.add_image(np.random.default_rng(0).random((4, 20, 30)), name="stack")
    drawn = [
        Reference(np.zeros((20, 30)), np.eye(20, 30), class_id, "point", frame)
        for frame, class_id in ((1, 1), (2, 3))
    ]
    references = references_with_accepted(drawn, {2: FRAME, 3: 0 * FRAME}, image, "ZYX")
    assert [(r.frame, r.class_id, r.kind) for r in references] == [
        (1, 1, "point"),
        (2, 1, "mask"),
        (2, 2, "mask"),
        (3, 1, "mask"),
        (3, 2, "mask"),
    ]
    assert [r.empty for r in references] == [False, False, False, True, True]
    np.testing.assert_array_equal(references[1].mask, FRAME == 1)
    np.testing.assert_array_equal(references[1].image[..., 0], image.data[2])
    with pytest.raises(InputError, match="contain no class"):
        references_with_accepted([], {3: 0 * FRAME}, image, "ZYX")


def test_runs_keep_accepted_frames(viewer):
    image = viewer.add_image(np.random.default_rng(0).random((4, 20, 30)), name="stack")
    references = references_with_accepted([], {2: FRAME}, image, "ZYX")
    job = SegmentationJob(image.data, references=references, axes="ZYX", accepted={2})
    assert plan(job)[1] == [1, 3, 0]
    with pytest.raises(InputError, match="nothing left to segment"):
        plan(SegmentationJob(image.data, references=references, axes="ZYX", accepted=range(4)))
    layer = result_on(viewer, image, accepted={0: 3 * FRAME})
    np.testing.assert_array_equal(layer.data[0], 3 * FRAME)
    np.testing.assert_array_equal(layer.data[2], FRAME)


@pytest.mark.parametrize("axes", ["TZYX", "TCYX", "CTYX"])
def test_frame_labels(viewer, axes):
    shape = {"T": 3, "Z": 4, "C": 2, "Y": 20, "X": 30}
    image = viewer.add_image(np.zeros([shape[axis] for axis in axes]), name="stack")
    layer = result_on(viewer, image, axes)
    frames = frames_of(image, axes)
    for index in range(len(frames)):
        np.testing.assert_array_equal(frame_labels(layer, frames, index), FRAME * (index == 2))


def test_labels_of_a_frame_are_set_in_all_channels(viewer):
    image = viewer.add_image(np.zeros((4, 2, 20, 30), np.uint8), name="channels")
    layer = result_on(viewer, image, "ZCYX")
    frames = frames_of(image, "ZCYX")
    set_frame_labels(layer, frames, 3, np.full((20, 30), 2))
    assert (layer.data[3] == 2).all()
    assert not (layer.data[:2] == 2).any()
