"""Averages with neighbouring frames: when they are used, and that they help."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from napari_vrp_sam import Reference, Segmenter
from napari_vrp_sam.inference.frames import Frames
from napari_vrp_sam.inference.prediction.smoothing.neighbours import average, motion, reduced_image
from napari_vrp_sam.inference.runs.control import Control
from napari_vrp_sam.inference.runs.events import FrameResult
from napari_vrp_sam.inference.runs.segmentation_job import SegmentationJob, plan
from napari_vrp_sam.models.base import FrameFeatures, Model, Prompts

NOISE = np.array([40, 40, 5, 5, 5, 40, 40])
"""Standard deviations of the frames' noise; the fourth frame is annotated."""


class Brightness(nn.Module, Model):
    """Model whose logits grow with the brightness."""

    name = "brightness"

    def encode(self, frames):
        return FrameFeatures(tuple(frames.shape[-2:]), frames.mean(dim=1, keepdim=True), ())

    def prepare(self, references):
        return sorted({reference.class_id for reference in references})

    def calibrations(self, prepared):
        return {}

    def prompt(self, features, prepared):
        return Prompts(tuple(prepared), torch.zeros(len(prepared), 1, 1), torch.empty(0))

    def decode(self, features, prompts):
        return (6 * (features.embedding[:, 0] - 0.5)).expand(len(prompts.sparse), -1, -1)


def stack_of(steps=1, seed=0):
    """Frames of a disc that moves by a number of pixels, and its ground truth; some are noisy."""
    rng = np.random.default_rng(seed)
    rows, columns = np.indices((64, 80))
    truth = np.stack([np.hypot(rows - 32, columns - 20 - steps * z) < 14 for z in range(7)])
    texture = 12 * np.sin(rows / 3) * np.cos(columns / 4)
    image = 90 + 70 * truth + texture + rng.normal(0, 1, truth.shape) * NOISE[:, None, None]
    return image.clip(0, 255).astype(np.uint8), truth


def labels(stack, truth, *, frames=None, **settings):
    job = SegmentationJob(
        stack,
        references=[Reference(stack[3], truth[3], frame=3)],
        axes="ZYX",
        model=Brightness().eval(),
        device="cpu",
        contrast_limits=(40, 210),
        frames=frames,
        **settings,
    )
    events = job.events(Control())
    return {e.index: e.labels for e in events if isinstance(e, FrameResult)}


def iou(found, truth):
    return np.mean(
        [(found[z] & t).sum() / (found[z] | t).sum() for z, t in enumerate(truth) if z != 3]
    )


def test_motion_is_followed():
    image = torch.rand(1, 48, 64)
    image = nn.functional.avg_pool2d(image[None], 5, 1, 2)[0].expand(3, -1, -1)
    one, other = (reduced_image(planes) for planes in (image, image.roll(2, dims=2)))
    way = motion(one, other)
    moved = way.move(image.roll(2, dims=2)[:1])
    inner = (slice(None), slice(8, -8), slice(8, -8))
    still = (image.roll(2, dims=2)[:1] - image[:1])[inner].abs().mean()
    assert (moved - image[:1])[inner].abs().mean() < 0.3 * still


def test_missing_pixels_of_a_neighbour_do_not_count():
    image = reduced_image(torch.rand(3, 32, 32))
    way = motion(image, image)
    logits, other = torch.ones(1, 32, 32), torch.ones(1, 32, 32)
    other[:, :, 16:] = -1e4
    np.testing.assert_allclose(average(logits, [(way, other)]), logits)


def test_noisy_frames_gain_by_their_neighbours():
    stack, truth = stack_of()
    alone = labels(stack, truth, neighbours=False)
    together = labels(stack, truth)
    masks = [{z: found > 0 for z, found in run.items()} for run in (alone, together)]
    assert iou(masks[1], truth) > iou(masks[0], truth) + 0.02
    np.testing.assert_array_equal(alone[3], together[3])  # what is annotated stays as predicted


def test_unrelated_frames_are_left_alone():
    stack, truth = stack_of()
    for z in (0, 2, 4, 6):
        stack[z], truth[z] = stack[z, ::-1, ::-1].copy(), truth[z, ::-1, ::-1].copy()
    alone, together = labels(stack, truth, neighbours=False), labels(stack, truth)
    for z in range(7):
        np.testing.assert_array_equal(alone[z], together[z])


def test_a_range_of_frames_gives_the_labels_of_the_whole():
    stack, truth = stack_of()
    whole = labels(stack, truth)
    assert not np.array_equal(whole[1], labels(stack, truth, neighbours=False)[1])
    for part in ((0, 2), (4, 7)):
        for z, found in labels(stack, truth, frames=part).items():
            np.testing.assert_array_equal(found, whole[z])


def test_another_stack_is_not_averaged():
    stack, truth = stack_of()
    other = stack_of(seed=1)[0]
    found = []
    for neighbours in (False, True):
        segmenter = Segmenter(Brightness().eval(), device="cpu", neighbours=neighbours)
        segmenter.fit(stack, truth[3], axes="ZYX", reference_frame=3)
        found.append(segmenter.predict(other).labels)
    np.testing.assert_array_equal(*found)


def test_a_fitted_segmenter_recognises_its_stack():
    stack, truth = stack_of()
    expected = labels(stack, truth)
    segmenter = Segmenter(Brightness().eval(), device="cpu", contrast_limits=(40, 210))
    segmenter.fit(stack, truth[3], axes="ZYX", reference_frame=3)
    found = segmenter.predict(stack).labels
    for z, one in expected.items():
        np.testing.assert_array_equal(found[z], one)


@pytest.mark.parametrize(
    ("axes", "shape", "index", "expected"),
    [
        ("ZYX", (4, 16, 16), 0, [1]),
        ("TZYX", (2, 3, 16, 16), 4, [3, 5]),
        ("TZYX", (2, 3, 16, 16), 3, [4]),
        ("ZTYX", (3, 2, 16, 16), 2, [0, 4]),
        ("TZYX", (3, 1, 16, 16), 1, [0, 2]),
        ("YX", (16, 16), 0, []),
    ],
)
def test_neighbours_lie_along_z_or_time(axes, shape, index, expected):
    assert Frames(np.zeros(shape, np.uint8), axes).neighbours(index) == expected


class Damaged:
    """A lazy stack with a frame that cannot be read."""

    def __init__(self, stack, frame):
        self.stack, self.frame = stack, frame
        self.shape, self.dtype = stack.shape, stack.dtype

    def __getitem__(self, selection):
        if selection[0] == self.frame:
            raise OSError("checksum of the chunk is wrong")
        return self.stack[selection]


@pytest.mark.parametrize("damaged", [1, 2, 5])
def test_a_frame_that_cannot_be_read_fails_alone(damaged):
    stack, truth = stack_of()
    job = SegmentationJob(
        Damaged(stack, damaged),
        references=[Reference(stack[3], truth[3], frame=3)],
        axes="ZYX",
        model=Brightness().eval(),
        device="cpu",
        contrast_limits=(40, 210),
    )
    found = {}

    def run(frames):
        for event in replace(job, frames=frames).events(Control()):
            if isinstance(event, FrameResult):
                found[event.index] = event.labels

    run((0, damaged))
    run((damaged + 1, 7))
    assert sorted(found) == [z for z in range(7) if z != damaged]
    whole = labels(stack, truth)
    for z, result in found.items():
        if abs(z - damaged) > 2:  # it has not been among the frames around this one
            np.testing.assert_array_equal(result, whole[z])
    found.clear()
    with pytest.raises(OSError, match="checksum"):
        run(None)
    earlier = plan(job)[1]
    assert list(found) == earlier[: earlier.index(damaged)]
