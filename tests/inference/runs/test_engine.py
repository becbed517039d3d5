import threading
import time
from dataclasses import replace

import numpy as np
import pytest
from tests.inference.conftest import GREEN, frame_results

from napari_vrp_sam.inference.frames import Frames
from napari_vrp_sam.inference.objects.find import find_objects
from napari_vrp_sam.inference.prediction.batches import FrameBatches
from napari_vrp_sam.inference.references.gather import gather_references
from napari_vrp_sam.inference.runs.engine import Run, ThreadBackend, ThreadEngine
from napari_vrp_sam.inference.runs.events import (
    Cancelled,
    Done,
    Failed,
    FrameResult,
    Learned,
    Loaded,
    ObjectsFound,
    Progress,
    frame_progress,
)
from napari_vrp_sam.inference.runs.objects_job import ObjectsJob
from napari_vrp_sam.inference.runs.segmentation_job import SegmentationJob


class Gate:
    """A stack that hands out one frame for each `allowed.release()`."""

    def __init__(self, stack):
        self._stack = stack
        self.shape, self.dtype = stack.shape, stack.dtype
        self.asked = threading.Semaphore(0)
        self.allowed = threading.Semaphore(0)

    def __getitem__(self, selection):
        self.asked.release()
        assert self.allowed.acquire(timeout=30)
        return self._stack[selection]


@pytest.fixture
def references(stack, truth):
    return gather_references(Frames(stack[0]), truth[0], reference_frame=0)


@pytest.fixture
def job(stack, references, model):
    return SegmentationJob(stack[0], references=references, model=model, device="cpu")


@pytest.fixture
def gate(stack):
    return Gate(stack[0])


@pytest.fixture
def gated_job(gate, references, model):
    return SegmentationJob(
        gate,
        references=references,
        model=model,
        device="cpu",
        contrast_limits=(0, 255),
        neighbours=False,  # frames are asked for one by one
    )


def test_a_run_from_start_to_end(job):
    events = list(ThreadEngine().submit(job).events())
    results = [event for event in events if isinstance(event, FrameResult)]
    assert [result.index for result in results] == [0, 1, 2, 3]
    for result, expected in zip(results, frame_results(job), strict=True):
        np.testing.assert_array_equal(result.labels, expected.labels)
    assert all(result.probabilities is None for result in results)
    assert events[-2:] == [frame_progress(4, 4), Done(4)]
    done = [event.done for event in events if isinstance(event, Progress)]
    assert done == [0, 0, 0, 0, 1, 2, 3, 4]
    assert all(event.total == 4 for event in events if isinstance(event, Progress))


def test_stages_are_reported_in_their_order(job):
    events = list(ThreadEngine().submit(job).events())
    stages = [event.stage for event in events if isinstance(event, Progress)]
    assert list(dict.fromkeys(stages)) == ["loading", "sampling", "learning", "segmenting"]
    assert [event for event in events if isinstance(event, Loaded)] == [Loaded("cpu", "CPU")]


@pytest.fixture
def tiled_job(references, model):
    stack = np.zeros((2, 600, 600, 3), np.uint8)
    stack[:, :40, :40] = (0, 255, 0)
    return SegmentationJob(
        stack,
        references=references,
        references_on_stack=False,
        axes="ZYXS",
        model=model,
        device="cpu",
        contrast_limits=(0, 255),
        tile_size=320,
    )


def test_tiles_of_large_frames_are_reported(tiled_job):
    events = list(ThreadEngine().submit(tiled_job).events())
    tiles = [event for event in events if isinstance(event, Progress) and event.tiles]
    assert [(event.done, event.tile, event.tiles) for event in tiles] == [
        (done, tile, 9) for done in (0, 1) for tile in range(1, 10)
    ]
    assert tiles[-1].message == "Frame 2 of 2, tile 9 of 9"
    assert events[-1] == Done(2)


def test_cancelling_stops_between_two_tiles(tiled_job, model, monkeypatch):
    encoded = []
    encode = type(model).encode
    run = None

    def counted(self, frames):
        encoded.append(frames.shape)
        if len(encoded) == 1 + len(tiled_job.references) + 2:
            run.cancel()
        return encode(self, frames)

    monkeypatch.setattr(type(model), "encode", counted)
    run = Run(tiled_job, ThreadBackend())
    run.start()
    events = list(run.events())
    assert events[-1] == Cancelled(0)
    assert max(e.tile for e in events if isinstance(e, Progress)) < 5


def test_probabilities_come_on_request(job):
    events = list(ThreadEngine().submit(replace(job, probabilities=True)).events())
    results = [event for event in events if isinstance(event, FrameResult)]
    for result, expected in zip(results, frame_results(job), strict=True):
        assert result.probabilities.dtype == np.float32
        assert result.probabilities.shape == (2, *result.labels.shape)
        green = result.probabilities[1] > np.maximum(0.5, result.probabilities[0])
        np.testing.assert_array_equal(result.labels == GREEN, green)
        np.testing.assert_array_equal(result.labels, expected.labels)


def test_submit_and_poll_do_not_wait(gated_job, gate):
    run = ThreadEngine().submit(gated_job)
    assert gate.asked.acquire(timeout=30)
    before = run.poll()
    assert all(isinstance(event, Progress | Loaded | Learned) for event in before)
    assert run.poll() == []
    for _ in range(4):
        gate.allowed.release()
    rest = list(run.events())
    assert rest[-1] == Done(4)
    assert run.poll() == []
    assert list(run.events()) == []


def test_polled_to_the_end(job):
    run = ThreadEngine().submit(job)
    events, deadline = [], time.monotonic() + 30
    while not (events and isinstance(events[-1], Done)):
        assert time.monotonic() < deadline
        events += run.poll()
        time.sleep(0.005)
    assert list(run.events()) == []


def test_cancelling_keeps_the_frame_in_work_and_starts_no_other(gated_job, gate):
    run = ThreadEngine().submit(gated_job)
    for _ in range(2):
        assert gate.asked.acquire(timeout=30)
        gate.allowed.release()
    assert gate.asked.acquire(timeout=30)
    run.cancel()
    gate.allowed.release()
    events = list(run.events())
    assert [event.index for event in events if isinstance(event, FrameResult)] == [0, 1, 2]
    assert events[-1] == Cancelled(3)
    assert not gate.asked.acquire(timeout=0.05)


def test_reading_stops_before_the_end_is_reported(stack, references, model, monkeypatch):
    long, reads = np.concatenate([stack[0]] * 10), []

    class Slow:
        shape, dtype = long.shape, long.dtype

        def __getitem__(self, selection):
            time.sleep(0.02)
            reads.append(selection)
            return long[selection]

    # As on a GPU: a thread reads ahead.
    monkeypatch.setattr(FrameBatches, "size", 2)
    job = SegmentationJob(
        Slow(), references=references, model=model, device="cpu", contrast_limits=(0, 255)
    )
    run = ThreadEngine().submit(job)
    for event in run.events():
        if isinstance(event, FrameResult):
            run.cancel()
    assert isinstance(event, Cancelled)
    known = len(reads)
    time.sleep(0.1)
    assert len(reads) == known
    assert "vrp-sam-reader" not in {thread.name for thread in threading.enumerate()}


def test_cancelled_before_the_first_frame(stack, references, model):
    class SlowToLearn(type(model)):
        def prepare(self, references):
            learning.set()
            assert go_on.wait(30)
            return super().prepare(references)

    learning, go_on = threading.Event(), threading.Event()
    job = SegmentationJob(stack[0], references=references, model=SlowToLearn(), device="cpu")
    run = ThreadEngine().submit(job)
    assert learning.wait(30)
    run.cancel()
    go_on.set()
    events = list(run.events())
    assert events[-1] == Cancelled(0)
    assert not any(isinstance(event, FrameResult) for event in events)


def test_cancelled_after_the_end_changes_nothing(job):
    run = ThreadEngine().submit(job)
    events = list(run.events())
    run.cancel()
    assert events[-1] == Done(4)
    assert run.poll() == []


def test_an_error_that_the_user_can_fix_is_one_sentence(stack, references, model):
    job = SegmentationJob(stack[0], references=references, axes="QQ", model=model)
    assert list(ThreadEngine().submit(job).events()) == [
        Failed(
            "'QQ' names 2 axes, but the image has the shape (4, 40, 48, 3): give one letter for "
            "each axis.",
            "",
        )
    ]


def test_an_internal_error_has_a_traceback_and_keeps_finished_frames(stack, references, model):
    class Torn:
        shape, dtype = stack[0].shape, stack.dtype

        def __getitem__(self, selection):
            if selection[0] == 2:
                raise OSError("disk on fire")
            return stack[0][selection]

    job = SegmentationJob(
        Torn(),
        references=references,
        model=model,
        device="cpu",
        contrast_limits=(0, 255),
        neighbours=False,
    )
    events = list(ThreadEngine().submit(job).events())
    assert [event.index for event in events if isinstance(event, FrameResult)] == [0, 1]
    assert isinstance(events[-1], Failed)
    assert "disk on fire" in events[-1].message
    assert "Traceback" in events[-1].detail


def test_runs_work_side_by_side(job):
    engine = ThreadEngine()
    runs = [engine.submit(job) for _ in range(3)]
    assert [list(run.events())[-1] for run in runs] == [Done(4)] * 3


def test_the_work_is_done_in_another_thread(stack, references, model):
    threads = set()

    class Witness:
        shape, dtype = stack[0].shape, stack.dtype

        def __getitem__(self, selection):
            threads.add(threading.current_thread())
            return stack[0][selection]

    job = SegmentationJob(Witness(), references=references, model=model, device="cpu")
    list(ThreadEngine().submit(job).events())
    assert len(threads) == 1
    assert threading.main_thread() not in threads
    assert threads.pop().daemon


def test_objects_come_with_progress_and_an_end(stack, truth):
    job = ObjectsJob(stack[0], labels=truth[0], axes="ZYXS")
    *progress, found, end = ThreadEngine().submit(job).events()
    assert all(isinstance(event, Progress) for event in progress)
    assert [event.done for event in progress] == list(range(12))  # sampled, split, measured
    assert isinstance(found, ObjectsFound)
    np.testing.assert_array_equal(
        found.objects.labels, find_objects(truth[0], stack[0], axes="ZYXS").labels
    )
    assert end == Done(0)


def test_an_invalid_objects_job_fails(stack, truth):
    job = ObjectsJob(stack[0], labels=truth[0, :2], axes="ZYXS")
    (end,) = ThreadEngine().submit(job).events()
    assert isinstance(end, Failed)
    assert "the image needs" in end.message
    assert not end.detail


def test_finding_objects_can_be_cancelled(gate, truth):
    gated = ObjectsJob(gate, labels=truth[0], axes="ZYXS")
    run = ThreadEngine().submit(gated)
    assert gate.asked.acquire(timeout=30)
    run.cancel()
    gate.allowed.release(100)
    events = list(run.events())
    assert isinstance(events[-1], Cancelled)
    assert not any(isinstance(event, ObjectsFound) for event in events)
