"""The shipped model in the whole chain: stack, annotation, engine, labels."""

import numpy as np
import pytest

from napari_vrp_sam import load_model, segment_stack
from napari_vrp_sam.inference.engine import Done, FrameResult, Job, Learned, ThreadEngine
from napari_vrp_sam.inference.frames import Frames
from napari_vrp_sam.inference.segment import gather_references
from napari_vrp_sam.io.samples import sample_stack


@pytest.fixture(scope="module")
def sample():
    return sample_stack(size=128, frames=5)


def mean_iou(labels, truth):
    found, expected = labels > 0, truth > 0
    return np.mean([
        (f & e).sum() / (f | e).sum() for f, e in zip(found, expected, strict=True)
    ])  # fmt: skip


def test_one_annotated_slice_segments_the_stack(sample):
    stack, truth = sample
    job = Job(stack, references=gather_references(Frames(stack), truth, frame=2), device="cpu")
    events = list(ThreadEngine().submit(job).events())
    assert events[-1] == Done(5)
    kinds = [type(event) for event in events]
    assert kinds.index(Learned) < kinds.index(FrameResult)
    (learned,) = (event for event in events if isinstance(event, Learned))
    assert set(learned.choices) == {1}
    expected = learned.choices[1].expected_iou
    assert expected is not None
    assert 0.2 < expected < 1
    labels = np.zeros_like(truth)
    for event in events:
        if isinstance(event, FrameResult):
            labels[event.index] = event.labels
    assert mean_iou(labels, truth) > 0.5
    again = segment_stack(stack, truth[2], frame=2, model=load_model("lite"), device="cpu")
    np.testing.assert_array_equal(again, labels)


@pytest.mark.parametrize("shape", [(16, 16), (16, 300), (37, 61)])
def test_frames_of_any_size(sample, shape):
    stack = np.tile(sample[0], (1, 3, 3))[:2, : shape[0], : shape[1]]
    annotation = np.zeros(shape, dtype=np.uint8)
    annotation[:8, :8], annotation[8:, 8:14] = 1, 300 - 45
    labels = segment_stack(stack, annotation, frame=0, device="cpu")
    assert labels.shape == stack.shape
    assert set(np.unique(labels)) <= {0, 1, 255}
