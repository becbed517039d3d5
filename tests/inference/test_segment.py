from dataclasses import replace

import dask.array as da
import numpy as np
import pytest

from napari_vrp_sam.annotations.reference import Reference
from napari_vrp_sam.errors import InputError
from napari_vrp_sam.inference.frames import Frames
from napari_vrp_sam.inference.references.gather import gather_references
from napari_vrp_sam.inference.runs.control import Control
from napari_vrp_sam.inference.runs.events import FrameResult, Progress
from napari_vrp_sam.inference.runs.segmentation_job import SegmentationJob
from napari_vrp_sam.inference.segment import segment_stack

RED, GREEN = 3, 8  # the classes of the stack


def iou(found, expected):
    return (found & expected).sum() / (found | expected).sum()


def only(labels, *positions):
    """The labels of some frames, the others blank."""
    kept = np.zeros_like(labels)
    for position in positions:
        kept[position] = labels[position]
    return kept


def test_one_annotated_frame_segments_them_all(stack, truth, model):
    labels = segment_stack(stack, truth[1, 1], reference_frame=5, model=model, device="cpu")
    assert labels.shape == truth.shape
    assert labels.dtype == np.uint8
    for position in np.ndindex(truth.shape[:2]):
        for class_id in (RED, GREEN):
            assert iou(labels[position] == class_id, truth[position] == class_id) > 0.8


def test_equivalent_arguments(stack, truth, model):
    expected = segment_stack(stack, truth[1, 1], reference_frame=5, model=model, device="cpu")
    frames = Frames(stack)
    same = [
        (truth[1, 1], {"reference_frame": (1, 1)}),
        (truth[None, 1, 1], {"reference_frame": np.int64(5)}),
        (truth, {"reference_frame": 5}),
        (only(truth, (1, 1)), {}),
        (da.from_array(only(truth, (1, 1)), chunks=(1, 1, 40, 48)), {}),
        (gather_references(frames, truth, reference_frame=5), {}),
    ]
    for annotations, arguments in same:
        labels = segment_stack(stack, annotations, model=model, device="cpu", **arguments)
        np.testing.assert_array_equal(labels, expected)


def test_lazy_stacks_in_any_order_of_axes(stack, truth, model):
    expected = segment_stack(stack, truth[1, 1], reference_frame=5, model=model, device="cpu")
    moved = da.from_array(np.moveaxis(stack, -1, 1), chunks=(1, 3, 1, 40, 48))
    labels = segment_stack(
        moved, truth[1, 1], reference_frame=5, axes="tczyx", model=model, device="cpu"
    )
    # Planes of channels are scaled one by one, colours together.
    assert (labels == expected).mean() > 0.99


def test_single_images(stack, truth, model):
    labels = segment_stack(stack[1, 1], truth[1, 1], model=model, device="cpu")
    assert labels.shape == (40, 48)
    assert iou(labels == RED, truth[1, 1] == RED) > 0.8


def test_frames_outside_of_the_range_stay_zero(stack, truth, model):
    calls = []
    labels = segment_stack(
        stack, truth[1, 1], reference_frame=5, frames=(4, 6), model=model, device="cpu",
        progress=lambda done, total, _: calls.append((done, total)),
    )  # fmt: skip
    flat = labels.reshape(12, 40, 48)
    assert [bool(frame.any()) for frame in flat] == [4 <= i < 6 for i in range(12)]
    assert calls[-3:] == [(0, 2), (1, 2), (2, 2)]


def test_given_limits_replace_percentiles(stack, truth, model):
    dark = segment_stack(
        stack,
        truth[1, 1],
        reference_frame=5,
        contrast_limits=(10_000, 20_000),
        model=model,
        device="cpu",
    )
    assert not dark.any()


def test_chosen_channels_alone_count(stack, truth, model):
    wrong = stack.copy()
    wrong[..., 2] = np.random.default_rng(1).integers(0, 255, truth.shape)
    arguments = {"reference_frame": 5, "model": model, "device": "cpu", "channels": [0, 1]}
    np.testing.assert_array_equal(
        segment_stack(wrong, truth[1, 1], **arguments),
        segment_stack(stack, truth[1, 1], **arguments),
    )


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.uint16, np.int32])
def test_nan_infinity_and_other_types(stack, truth, model, dtype):
    gray = stack.max(axis=-1).astype(dtype)
    if np.issubdtype(dtype, np.floating):
        gray[0, 0, :2, :2] = np.nan
        gray[0, 1, :2, :2] = np.inf
    arguments = {"axes": "TZYX", "reference_frame": 5, "model": model, "device": "cpu"}
    labels = segment_stack(gray, truth[1, 1] > 0, **arguments)
    assert iou(labels > 0, truth > 0) > 0.8


@pytest.mark.parametrize("value", [0, 255])
def test_constant_images_are_no_error(truth, model, value):
    stack = np.full((2, 40, 48), value, dtype=np.uint8)
    labels = segment_stack(stack, truth[0, 0], reference_frame=0, model=model, device="cpu")
    assert labels.shape == (2, 40, 48)


def test_bool_stacks(truth, model):
    labels = segment_stack(
        truth[1] > 0, truth[1, 1] > 0, reference_frame=1, model=model, device="cpu"
    )
    assert iou(labels > 0, truth[1] > 0) > 0.8


def test_frames_come_nearest_first_with_their_probabilities(stack, truth, model):
    references = gather_references(Frames(stack[0]), truth[0], reference_frame=2)
    job = SegmentationJob(stack[0], references=references, model=model, device="cpu")
    events = list(replace(job, probabilities=True).events(Control()))
    results = [event for event in events if isinstance(event, FrameResult)]
    assert [result.index for result in results] == [2, 1, 3, 0]
    assert sum(isinstance(event, Progress) for event in events) == 4 + len(results)
    for result in results:
        assert result.probabilities.shape == (2, 40, 48)
        assert iou(result.labels == GREEN, truth[0, result.index] == GREEN) > 0.8


def test_a_frame_is_read_when_its_turn_comes(stack, truth, model):
    references = gather_references(Frames(stack[0]), truth[0], reference_frame=0)
    read = []

    class Recorder:
        shape, dtype = stack[0].shape, stack.dtype

        def __getitem__(self, selection):
            read.append(selection[0])
            return stack[0][selection]

    job = SegmentationJob(
        Recorder(),
        references=references,
        contrast_limits=(0, 255),
        model=model,
        device="cpu",
        neighbours=False,
    )
    events = job.events(Control())
    assert not read
    results = (event for event in events if isinstance(event, FrameResult))
    for _ in range(2):
        next(results)
    assert read == [0, 1]


def test_several_annotated_frames(stack, truth):
    labels = only(truth, (0, 0), (2, 3))
    labels[2, 3][labels[2, 3] == GREEN] = 0
    references = gather_references(Frames(stack), labels)
    assert [(r.frame, r.class_id) for r in references] == [(0, RED), (0, GREEN), (11, RED)]


def test_sparse_labels(stack, truth):
    (reference,) = gather_references(
        Frames(stack), truth[0, 0] == RED, reference_frame=0, annotation_kind="scribble"
    )
    assert reference.sparse


def test_background_on_a_frame_without_a_class(stack, truth):
    labels = only(truth, (0, 0))
    labels[1, 2, :3, :4], labels[2, 2, :3, :4] = 20, 21
    found = gather_references(Frames(stack), labels, background=20, ignore=21)
    assert [(r.frame, r.class_id, r.empty) for r in found] == [
        (0, RED, False), (0, GREEN, False), (6, RED, True), (6, GREEN, True),
    ]  # fmt: skip
    assert found[-1].negative.sum() == 12
    assert (~found[-1].ignored).sum() == 12


@pytest.mark.parametrize(
    ("annotations", "arguments", "sentence"),
    [
        (np.zeros((3, 4, 40, 48), dtype=int), {}, "no annotation"),
        (np.zeros((40, 48), dtype=int), {"reference_frame": 0}, "no annotation"),
        ([], {}, "no annotation"),
        (np.eye(40, 48, dtype=int), {}, "give the annotated frame"),
        (
            np.eye(40, 48, dtype=int),
            {"reference_frame": 12},
            "no frame 12: the stack has 12 frames",
        ),
        (np.eye(40, 48, dtype=int), {"reference_frame": -1}, "no frame -1"),
        (np.eye(40, 48, dtype=int), {"reference_frame": (0, 4)}, "no frame at"),
        (np.eye(40, 47, dtype=int), {"reference_frame": 0}, r"needs \(3, 4, 40, 48\), or"),
        (np.zeros((12, 40, 48), dtype=int), {}, r"have the shape \(12, 40, 48\)"),
        (np.ones(48, dtype=int), {}, "have the shape"),
        (np.eye(40, 48), {"reference_frame": 0}, "integers"),
        (-np.eye(40, 48, dtype=int), {"reference_frame": 0}, "negative"),
        (np.ones((40, 48), dtype=int), {"reference_frame": 0}, "covers everything"),
    ],
)
def test_bad_annotations(stack, model, annotations, arguments, sentence):
    with pytest.raises(InputError, match=sentence):
        segment_stack(stack, annotations, model=model, device="cpu", **arguments)


@pytest.mark.parametrize("lazy", [False, True])
def test_numbered_objects_are_refused_before_any_mask_is_made(stack, truth, monkeypatch, lazy):
    # 12 on each frame: only together are they too many.
    objects = np.stack([np.where(plane, plane + 20 * z, 0) for z, plane in enumerate(truth)])
    objects[..., ::2, :10] = np.arange(1, 11)
    objects[-1, -1, 1::2, :30] = np.arange(101, 131)
    made = []
    monkeypatch.setattr(Reference, "__post_init__", made.append)
    annotations = da.from_array(objects, chunks=(1, 1, 40, 48)) if lazy else objects
    with pytest.raises(InputError, match=r"at least 4\d different values.*one_class=True"):
        segment_stack(stack, annotations, device="cpu")
    assert not made


def test_references_of_other_channels(stack, truth, model):
    gray = Reference(stack[0, 0, ..., 0], truth[0, 0] == RED)
    with pytest.raises(InputError, match="same channels"):
        segment_stack(stack, gray, model=model, device="cpu")
