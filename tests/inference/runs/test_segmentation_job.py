import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_vrp_sam.annotations.reference import Reference
from napari_vrp_sam.errors import InputError
from napari_vrp_sam.inference.runs.segmentation_job import SegmentationJob, plan

SIDE = 16


def reference(frame=None):
    return Reference(np.zeros((SIDE, SIDE)), np.eye(SIDE), frame=frame)


def job_of(lead_shape, *annotated, **settings):
    data = np.zeros((*lead_shape, SIDE, SIDE))
    settings.setdefault("axes", "TZYX"[4 - data.ndim :])
    references = [reference(frame) for frame in annotated]
    return SegmentationJob(data, references=references, **settings)


@pytest.mark.parametrize(
    ("job", "order"),
    [
        (job_of((6,), 0), [0, 1, 2, 3, 4, 5]),
        (job_of((6,), 3), [3, 2, 4, 1, 5, 0]),
        (job_of((6,), 1, 4), [1, 4, 0, 2, 3, 5]),
        (job_of((6,), 3, frames=(0, 3)), [2, 1, 0]),
        (job_of((6,), 3, frames=(None, 3)), [2, 1, 0]),
        (job_of((6,), 3, frames=(4, None)), [4, 5]),
        (job_of((6,), None), [0, 1, 2, 3, 4, 5]),
        (job_of((), 0), [0]),
        (job_of((6,), 3, first_frame=0), [0, 3, 2, 4, 1, 5]),
        (job_of((6,), 3, first_frame=5, frames=(0, 4)), [3, 2, 1, 0]),
        (job_of((6,), 3, first_frame=2, accepted={2}), [3, 4, 1, 5, 0]),
        # The next time point (7, 1) is as near as the next plane (5, 3).
        (job_of((3, 3), 4), [4, 1, 3, 5, 7, 0, 2, 6, 8]),
    ],
)
def test_nearest_frames_first(job, order):
    assert plan(job)[1] == order


@given(st.integers(1, 5), st.integers(1, 5), st.data())
def test_every_frame_is_planned_once(t, z, data):
    annotated = data.draw(st.lists(st.integers(0, t * z - 1), min_size=1, max_size=4))
    job = job_of((t, z), *annotated)
    frames, nearest = plan(job)
    assert sorted(nearest) == list(range(t * z))
    assert set(nearest[: len(set(annotated))]) == set(annotated)
    assert frames.lead_shape == (t, z)


def covered(kind, class_id=1):
    return Reference(np.zeros((SIDE, SIDE)), np.ones((SIDE, SIDE)), class_id, kind, frame=0)


@pytest.mark.parametrize("kind", ["mask", "box"])
def test_a_class_that_covers_everything(kind):
    stack = np.zeros((2, SIDE, SIDE))
    with pytest.raises(InputError, match="Class 2 covers everything"):
        plan(SegmentationJob(stack, references=[reference(1), covered(kind, class_id=2)]))


def test_background_may_come_from_another_frame_or_be_unknown():
    stack = np.zeros((2, SIDE, SIDE))
    assert plan(SegmentationJob(stack, references=[covered("mask"), reference(1)]))[1] == [0, 1]
    assert plan(SegmentationJob(stack, references=[covered("scribble")]))[1] == [0, 1]


def nowhere(class_id=1, frame=0):
    return Reference(np.zeros((SIDE, SIDE)), np.zeros((SIDE, SIDE)), class_id, frame=frame)


def test_a_class_may_be_missing_from_some_frames_but_not_from_all():
    stack = np.zeros((2, SIDE, SIDE))
    assert plan(SegmentationJob(stack, references=[reference(0), nowhere(frame=1)]))[1] == [0, 1]
    with pytest.raises(InputError, match="class 2 is empty"):
        plan(SegmentationJob(stack, references=[reference(0), nowhere(class_id=2, frame=1)]))


@pytest.mark.parametrize(
    ("job", "sentence"),
    [
        (job_of((6,)), "no annotation"),
        (job_of((6,), 6), "on frame 6, but the stack has the frames 0 to 5"),
        (job_of((6,), -1), "on frame -1"),
        (job_of((6,), 0, frames=(2, 2)), "range 2:2"),
        (job_of((6,), 0, frames=(-2, None)), "range -2:6"),
        (job_of((6,), 0, frames=(0, 7)), "choose a range within 0:6"),
        (job_of((6,), 0, axes="YX"), "names 2 axes"),
        (job_of((3,), 0, accepted={0, 1, 2}), "All frames are accepted"),
    ],
)
def test_bad_input(job, sentence):
    with pytest.raises(InputError, match=sentence):
        plan(job)


def test_labels_of_objects_are_distinguished_from_classes():
    references = [Reference(np.zeros((SIDE, SIDE)), np.eye(SIDE), n, frame=0) for n in range(1, 41)]
    with pytest.raises(InputError, match=r"40 different values.*one_class"):
        plan(SegmentationJob(np.zeros((2, SIDE, SIDE)), references=references))
