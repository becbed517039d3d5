import gc
import os
import signal
import sys
import threading
import time

import numpy as np
import pytest
from tests.inference.conftest import frame_results

from napari_vrp_sam.inference.frames import Frames
from napari_vrp_sam.inference.objects.find import find_objects
from napari_vrp_sam.inference.objects.settings import ObjectSettings
from napari_vrp_sam.inference.references.gather import gather_references
from napari_vrp_sam.inference.runs.events import (
    Cancelled,
    Done,
    Failed,
    FrameResult,
    ObjectsFound,
    frame_progress,
)
from napari_vrp_sam.inference.runs.objects_job import ObjectsJob, ObjectsPreviewJob
from napari_vrp_sam.inference.runs.process.channel import SetControl
from napari_vrp_sam.inference.runs.process.engine import ProcessEngine
from napari_vrp_sam.inference.runs.segmentation_job import SegmentationJob

# Worker processes learn as those of users.
pytestmark = pytest.mark.full_learning


class LocalStack:
    """An array that cannot travel to another process, and counts what is read of it."""

    def __init__(self, stack):
        self._stack = stack
        self._lock = threading.Lock()  # as file handles, locks cannot be pickled
        self.shape, self.dtype = stack.shape, stack.dtype
        self.read = 0
        self.asked = threading.Event()
        self.gate = threading.Event()
        self.gate.set()

    def __getitem__(self, selection):
        self.asked.set()
        assert self.gate.wait(timeout=60)
        with self._lock:
            part = self._stack[selection]
            self.read = max(self.read, part.nbytes)
            return part


@pytest.fixture
def local_stack(stack):
    return LocalStack(stack[0])


@pytest.fixture
def job(local_stack, stack, truth):
    references = gather_references(Frames(stack[0]), truth[0], reference_frame=1)
    return SegmentationJob(
        local_stack, references=references, device="cpu", contrast_limits=(0, 255), effort=0.1
    )


@pytest.fixture(scope="module")
def engine():
    """For all tests: a process takes seconds to start."""
    engine = ProcessEngine()
    yield engine
    engine.close()


@pytest.fixture
def fresh_engine():
    """For a test that ends the process: its jobs do not load PyTorch, which takes five seconds."""
    engine = ProcessEngine()
    yield engine
    engine.close()


def test_the_other_process_gives_the_same_labels(engine, job, local_stack, stack):
    events = list(engine.submit(job).events())

    results = [event for event in events if isinstance(event, FrameResult)]
    assert [result.index for result in results] == [1, 0, 2, 3]
    for result, expected in zip(results, frame_results(job), strict=True):
        np.testing.assert_array_equal(result.labels, expected.labels)
    assert events[-2:] == [frame_progress(4, 4), Done(4)]
    assert local_stack.read == stack[0, 0].nbytes  # never more than a frame at once


def test_objects_of_one_frame_are_found_in_the_other_process(engine, truth):
    job = ObjectsPreviewJob(truth[0], axes="ZYX", index=2)
    preview, end = engine.submit(job).events()
    assert (preview.index, end) == (2, Done(1))
    whole = find_objects(truth[0], axes="ZYX").labels[2]
    np.testing.assert_array_equal(preview.labels > 0, whole > 0)
    assert preview.labels.max() == len(np.unique(whole)) - 1


@pytest.mark.slow
def test_a_process_that_died_at_rest_is_replaced(engine, job):
    process = engine.warm_up().process
    process.kill()  # by hand, or by a system that is short of memory
    process.wait()

    assert list(engine.submit(job).events())[-1] == Done(4)
    assert engine.warm_up().process is not process


@pytest.mark.slow
def test_a_garbage_collected_engine_leaves_no_process():
    engine = ProcessEngine()
    process = engine.warm_up().process
    del engine
    gc.collect()

    assert process.returncode is not None


@pytest.mark.slow
def test_jobs_wait_for_each_other(engine, job, local_stack):
    local_stack.gate.clear()
    first, second = engine.submit(job), engine.submit(job)
    assert local_stack.asked.wait(timeout=120)
    time.sleep(0.2)
    assert second.poll() == []
    third = engine.submit(job)
    third.cancel()  # it was not begun
    assert list(third.events()) == [Cancelled(0)]
    local_stack.gate.set()

    assert list(first.events())[-1] == Done(4)
    assert list(second.events())[-1] == Done(4)


def test_cancelling_between_frames_keeps_the_process(fresh_engine, counting, local_stack):
    process = fresh_engine.warm_up().process
    run = fresh_engine.submit(counting.Count(local_stack, last=10**6))
    events = run.events()
    while not isinstance(next(events), counting.Counted):
        pass
    run.cancel()

    rest = list(events)
    assert isinstance(rest[-1], Cancelled)
    assert list(fresh_engine.submit(counting.Count(local_stack, last=4)).events())[-1] == Done(0)
    assert fresh_engine.warm_up().process is process


def test_cancelling_does_not_wait_for_the_frame_in_work(fresh_engine, counting, local_stack):
    local_stack.gate.clear()
    run = fresh_engine.submit(counting.Count(local_stack, last=10**6))
    assert local_stack.asked.wait(timeout=120)
    local_stack.gate.set()
    process = fresh_engine.warm_up().process
    process.send_signal(signal.SIGSTOP)  # a frame that never ends

    run.cancel()
    assert isinstance(list(run.events())[-1], Cancelled)
    assert process.wait(timeout=60) is not None
    assert list(fresh_engine.submit(counting.Count(local_stack, last=4)).events())[-1] == Done(0)


def test_a_late_cancellation_does_not_touch_the_next_job(engine, job):
    run = engine.submit(job)
    assert list(run.events())[-1] == Done(4)
    worker = engine.warm_up()
    last = next(worker.numbers) - 1
    worker.channel.send(SetControl(last, cancelled=True, paused=False))

    assert list(engine.submit(job).events())[-1] == Done(4)


def test_an_input_error_arrives_as_its_message(engine, job, stack):
    wrong = SegmentationJob(
        stack[0], references=job.references, model="lost.safetensors", device="cpu"
    )
    event = list(engine.submit(wrong).events())[-1]

    assert isinstance(event, Failed)
    assert "lost.safetensors" in event.message
    assert not event.detail
    assert list(engine.submit(job).events())[-1] == Done(4)


def test_invalid_stacks_are_refused_at_once(engine, job):
    wrong = SegmentationJob(np.zeros(5), references=job.references)

    assert isinstance(list(engine.submit(wrong).events())[-1], Failed)


def test_a_stack_that_cannot_be_read_is_reported(engine, job, local_stack):
    del local_stack._stack
    event = list(engine.submit(job).events())[-1]

    assert isinstance(event, Failed)
    assert "could not be read" in event.message


def test_a_dead_process_is_reported_and_replaced(fresh_engine, counting, local_stack):
    run = fresh_engine.submit(counting.Count(local_stack, last=10**6))
    assert local_stack.asked.wait(timeout=120)
    fresh_engine.warm_up().process.kill()  # as the system does when memory runs out

    event = list(run.events())[-1]
    assert isinstance(event, Failed)
    assert "ended early" in event.message
    assert list(fresh_engine.submit(counting.Count(local_stack, last=4)).events())[-1] == Done(0)


def test_a_process_that_dies_at_its_first_request_is_not_replaced(
    fresh_engine, counting, local_stack, monkeypatch
):
    process = fresh_engine.warm_up().process

    def read_and_kill(stack, selection):
        process.kill()
        process.wait()
        return stack._stack[selection]

    monkeypatch.setattr(LocalStack, "__getitem__", read_and_kill)
    event = list(fresh_engine.submit(counting.Count(local_stack, last=10)).events())[-1]
    assert isinstance(event, Failed)
    assert "ended early" in event.message


@pytest.mark.skipif(sys.platform == "win32", reason="there is no fork")
def test_the_end_of_a_process_is_noticed_while_its_child_keeps_the_pipe_open(
    fresh_engine, counting, local_stack
):
    run = fresh_engine.submit(counting.Count(local_stack, last=10**6, forks=True))
    events = run.events()
    child = next(event.number for event in events if isinstance(event, counting.Counted))
    try:
        fresh_engine.warm_up().process.kill()
        assert "ended early" in list(events)[-1].message
    finally:
        os.kill(child, signal.SIGKILL)


def test_objects_are_found_in_the_other_process(engine, local_stack, stack, truth):
    job = ObjectsJob(
        local_stack, labels=truth[0], axes="TYXS", settings=ObjectSettings(linked=True)
    )
    *_, found, end = engine.submit(job).events()
    assert isinstance(found, ObjectsFound)
    assert end == Done(0)
    here = find_objects(truth[0], stack[0], axes="TYXS", settings=ObjectSettings(linked=True))
    np.testing.assert_array_equal(found.objects.labels, here.labels)
    assert found.objects.table.equals(here.table)
    assert local_stack.read == stack[0, 0].nbytes  # never more than a frame at once


def test_the_process_stays_for_the_next_job(engine, job):
    engine.warm_up()
    process = engine.warm_up().process
    first, second = (list(engine.submit(job).events()) for _ in range(2))

    assert engine.warm_up().process is process
    for one, other in zip(
        *([e for e in events if isinstance(e, FrameResult)] for events in (first, second)),
        strict=True,
    ):
        np.testing.assert_array_equal(one.labels, other.labels)


# The last two: each needs the process, and ends it.
def test_a_process_ends_with_its_parent(engine):
    process = engine.warm_up().process
    process.stdin.close()  # all that is left of a parent that crashed

    assert process.wait(timeout=120) == 0


def test_a_closed_engine_leaves_no_process(engine):
    process = engine.warm_up().process
    engine.close()
    assert process.returncode is not None
