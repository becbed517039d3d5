"""Memory that is full on a worker: a task is tried again, then the run ends with one sentence."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from napari_vrp_sam.errors import InputError
from napari_vrp_sam.inference.frames import Frames
from napari_vrp_sam.inference.references.gather import gather_references
from napari_vrp_sam.inference.runs.dask import tasks
from napari_vrp_sam.inference.runs.dask.engine import DaskEngine
from napari_vrp_sam.inference.runs.dask.full_memory import try_twice
from napari_vrp_sam.inference.runs.events import Failed, FrameResult
from napari_vrp_sam.inference.runs.segmentation_job import SegmentationJob

FULL = [MemoryError(), torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB.")]


class Task:
    """A task that fails a number of times."""

    def __init__(self, error: Exception, failures: int) -> None:
        self.error, self.failures, self.released = error, failures, 0

    def __call__(self) -> str:
        if self.failures:
            self.failures -= 1
            raise self.error
        return "done"

    def release(self) -> None:
        self.released += 1


@pytest.mark.parametrize("error", FULL)
def test_a_task_is_tried_again(error, caplog):
    task = Task(error, 1)
    assert try_twice(task, task.release) == "done"
    assert task.released == 1
    assert "its task is tried again" in caplog.text


@pytest.mark.parametrize("error", FULL)
def test_a_task_that_fails_again_is_one_sentence(error):
    task = Task(error, 2)
    with pytest.raises(InputError, match="not enough memory on a worker: use smaller tiles") as why:
        try_twice(task, task.release)
    assert "\n" not in str(why.value)
    assert task.failures == 0
    # What the error holds can be released.
    assert why.value.__cause__ is why.value.__context__ is None


def test_other_errors_are_not_tried_again():
    task = Task(RuntimeError("a bug"), 1)
    with pytest.raises(RuntimeError, match="a bug"):
        try_twice(task, task.release)
    assert task.released == 0


@pytest.fixture(scope="module")
def job() -> SegmentationJob:
    """A frame of three tiles."""
    frame = np.random.default_rng(0).integers(0, 40, (40, 640), dtype=np.uint8)
    frame[7:27, 12::64] += 160
    drawn = np.zeros((40, 640), np.uint8)
    drawn[7:27, 12::64] = 1
    references = gather_references(Frames(frame[None, :, :64]), drawn[:, :64], reference_frame=0)
    references = [replace(one, frame=None) for one in references]
    return SegmentationJob(
        frame[None], references=references, device="cpu", tile_size=256, effort=0.2
    )


@pytest.mark.slow
@pytest.mark.parametrize("failures", [1, 9])
def test_full_memory_of_a_tile(job, monkeypatch, failures):
    from distributed import LocalCluster

    compute = tasks.tile_logits
    left = [failures]

    def limited(*arguments):
        if left[0]:
            left[0] -= 1
            raise MemoryError
        return compute(*arguments)

    monkeypatch.setattr(tasks, "tile_logits", limited)
    options = {"dashboard_address": None, "processes": False, "threads_per_worker": 1}
    with (
        LocalCluster(1, **options) as cluster,
        DaskEngine(scheduler=cluster.scheduler_address) as engine,
    ):
        events = list(engine.submit(job).events())
    results = [event for event in events if isinstance(event, FrameResult)]
    if failures == 1:
        assert len(results) == 1
    else:
        assert results == []
        assert isinstance(events[-1], Failed)
        assert events[-1].message.startswith("There is not enough memory on a worker")
        assert events[-1].detail == ""
