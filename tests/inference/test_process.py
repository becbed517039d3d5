import threading

import numpy as np
import pytest

from napari_vrp_sam.inference.engine import Cancelled, Done, Failed, FrameResult, Job, Progress
from napari_vrp_sam.inference.frames import Frames
from napari_vrp_sam.inference.process import ProcessEngine
from napari_vrp_sam.inference.segment import gather_references, iter_segment


class LocalStack:
    """An array that cannot travel to another process, and counts what is read of it."""

    def __init__(self, stack):
        self._stack = stack
        self._lock = threading.Lock()  # as file handles, locks cannot be pickled
        self.shape, self.dtype = stack.shape, stack.dtype
        self.read = 0
        self.asked = threading.Event()

    def __getitem__(self, selection):
        with self._lock:
            part = self._stack[selection]
            self.read = max(self.read, part.nbytes)
            self.asked.set()
            return part


@pytest.fixture
def local_stack(stack):
    return LocalStack(stack[0])


@pytest.fixture
def job(local_stack, stack, truth):
    references = gather_references(Frames(stack[0]), truth[0], frame=1)
    return Job(local_stack, references=references, device="cpu", limits=(0, 255))


def test_the_other_process_gives_the_same_labels(job, local_stack, stack):
    run = ProcessEngine().submit(job)
    events = list(run.events())

    results = [event for event in events if isinstance(event, FrameResult)]
    assert [result.index for result in results] == [1, 0, 2, 3]
    for result, (_, labels, _) in zip(results, iter_segment(job), strict=True):
        np.testing.assert_array_equal(result.labels, labels)
    assert events[-2:] == [Progress(4, 4, "Frame 4 of 4"), Done(4)]
    assert local_stack.read == stack[0, 0].nbytes  # never more than a frame at once
    run._thread.join(timeout=10)
    assert run._process.returncode is not None


def test_a_spare_process_is_used_once_and_ended(job):
    engine = ProcessEngine()
    engine.warm_up()
    spare = engine._spare
    engine.warm_up()
    assert engine._spare is spare

    spare.kill()  # by hand, or by a system that is short of memory
    spare.wait()
    engine.warm_up()
    assert engine._spare is not spare
    run = engine.submit(job)
    assert engine._spare is None
    run.cancel()
    assert list(run.events()) == [Cancelled(0)]

    engine.warm_up()
    spare = engine._spare
    engine.close()
    assert spare.returncode is not None


def test_a_spare_process_ends_with_its_parent():
    engine = ProcessEngine()
    engine.warm_up()
    engine._spare.stdin.close()  # all that is left of a parent that crashed

    assert engine._spare.wait(timeout=120) == 0
    engine.close()


def test_cancelling_does_not_wait_for_the_frame_in_work(job, local_stack):
    run = ProcessEngine().submit(job)
    assert local_stack.asked.wait(timeout=120)

    run.cancel()
    run._thread.join(timeout=5)

    assert not run._thread.is_alive()
    assert run._process.returncode is not None
    assert isinstance(list(run.events())[-1], Cancelled)


def test_a_mistake_arrives_as_its_sentence(job, stack):
    wrong = Job(stack[0], references=job.references, model="lost.safetensors", device="cpu")
    event = list(ProcessEngine().submit(wrong).events())[-1]

    assert isinstance(event, Failed)
    assert "lost.safetensors" in event.message
    assert not event.detail


def test_what_is_no_stack_is_refused_here(job):
    wrong = Job(np.zeros(5), references=job.references)

    assert isinstance(list(ProcessEngine().submit(wrong).events())[-1], Failed)


def test_a_stack_that_cannot_be_read_is_told(job, local_stack):
    del local_stack._stack
    event = list(ProcessEngine().submit(job).events())[-1]

    assert isinstance(event, Failed)
    assert "could not be read" in event.message


def test_a_process_that_dies_is_told(job, local_stack):
    run = ProcessEngine().submit(job)
    assert local_stack.asked.wait(timeout=120)
    run._process.kill()  # as the system does when memory runs out

    event = list(run.events())[-1]
    assert isinstance(event, Failed)
    assert "ended early" in event.message
