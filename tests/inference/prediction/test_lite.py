"""The shipped model in the whole chain: stack, annotation, engine, labels."""

import numpy as np
import pytest
import torch

from napari_vrp_sam import Reference, load_model, segment_stack
from napari_vrp_sam.inference.frames import Frames
from napari_vrp_sam.inference.normalisation import Normalisation
from napari_vrp_sam.inference.prediction.predictor import Predictor
from napari_vrp_sam.inference.references.gather import gather_references
from napari_vrp_sam.inference.runs.engine import ThreadEngine
from napari_vrp_sam.inference.runs.events import Done, FrameResult, Learned
from napari_vrp_sam.inference.runs.segmentation_job import SegmentationJob
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
    job = SegmentationJob(
        stack,
        references=gather_references(Frames(stack), truth, reference_frame=2),
        device="cpu",
    )
    events = list(ThreadEngine().submit(job).events())
    assert events[-1] == Done(5)
    kinds = [type(event) for event in events]
    assert kinds.index(Learned) < kinds.index(FrameResult)
    (learned,) = (event for event in events if isinstance(event, Learned))
    assert set(learned.calibrations) == {1}
    expected = learned.calibrations[1].expected_iou
    assert expected is not None
    assert 0.2 < expected < 1
    labels = np.zeros_like(truth)
    for event in events:
        if isinstance(event, FrameResult):
            labels[event.index] = event.labels
    assert mean_iou(labels, truth) > 0.5


@pytest.mark.parametrize("shape", [(16, 16), (16, 300), (37, 61)])
def test_frames_of_any_size(sample, shape):
    stack = np.tile(sample[0], (1, 3, 3))[:2, : shape[0], : shape[1]]
    annotation = np.zeros(shape, dtype=np.uint8)
    annotation[:8, :8], annotation[8:, 8:14] = 1, 250
    labels = segment_stack(stack, annotation, reference_frame=0, device="cpu", effort=0.2)
    assert labels.shape == stack.shape
    assert set(np.unique(labels)) <= {0, 1, 250}


def test_a_frame_without_the_class_is_a_negative_example():
    """Squares are wanted, discs are not; one frame with discs alone is told to be empty."""
    rng = np.random.default_rng(0)
    rows, columns = np.indices((96, 128))
    stack = rng.normal(0.2, 0.03, (4, 96, 128))
    truth = np.zeros(stack.shape, dtype=np.uint8)
    for z in range(4):
        if z != 2:
            truth[z, 10 + 8 * z : 34 + 8 * z, 10:34] = 1
        for x in (70, 104):
            stack[z][(rows - 30 - 9 * z) ** 2 + (columns - x) ** 2 < 130] += 0.45 * (z >= 2)
    stack += 0.6 * truth
    shown = Reference(stack[0], truth[0], frame=0)
    nowhere = Reference(stack[2], truth[2], frame=2)

    alone, together = (
        segment_stack(stack, references, device="cpu", effort=0.3)
        for references in ([shown], [shown, nowhere])
    )
    discs = (truth == 0) & (stack > 0.5)
    assert together[2:][discs[2:]].mean() < 0.5 * alone[2:][discs[2:]].mean()
    assert mean_iou(together[[1, 3]], truth[[1, 3]]) > 0.8


@pytest.mark.slow
@pytest.mark.parametrize("tile", [None, 256])
def test_half_precision_changes_little(tile):
    stack, truth = sample_stack(size=320, frames=5)
    reference = Reference(stack[2], truth[2] == 1, 1, frame=2)
    found = []
    for precision in ("float32", "bfloat16"):
        predictor = Predictor(load_model("lite"), device="cpu", tile_size=tile, precision=precision)
        predictor.set_references([reference], Normalisation((0,), (255,)))
        features = predictor.encode(stack[4])
        assert features.embedding.dtype == torch.float32
        probabilities = predictor.predict(stack[4])
        assert probabilities.dtype == np.float32
        found.append(probabilities[0])
    assert not np.array_equal(*found)
    single, half = (probabilities > 0.5 for probabilities in found)
    assert (single & half).sum() > 0.97 * (single | half).sum()
