"""Fine-tuning in the worker process."""

from __future__ import annotations

import pytest

from napari_vrp_sam.fine_tuning.events import FineTuningResult, TrainingStep
from napari_vrp_sam.fine_tuning.job import interrupted_runs
from napari_vrp_sam.inference.runs.events import Cancelled, Done
from napari_vrp_sam.inference.runs.process.engine import ProcessEngine

pytestmark = pytest.mark.slow


@pytest.fixture
def engine():
    engine = ProcessEngine()
    yield engine
    engine.close()


def wait_for_step(run):
    return next(event for event in run.events() if isinstance(event, TrainingStep))


def test_run_is_paused_cancelled_and_resumed(engine, job_of, tmp_path):
    job = job_of(1, 2, steps=10_000)
    run = engine.submit(job)
    wait_for_step(run)
    process = engine.warm_up().process
    run.pause()
    run.resume()
    cancelled_at = wait_for_step(run).step
    run.cancel()
    assert list(run.events())[-1] == Cancelled(0)
    assert interrupted_runs(tmp_path) == [job.output]
    if engine.warm_up().process is process:  # else it was killed before it saved a checkpoint
        again = engine.submit(job)
        assert wait_for_step(again).step > cancelled_at
        again.cancel()
        assert list(again.events())[-1] == Cancelled(0)


def test_run_ends_with_its_result(engine, job_of):
    *_, result, end = engine.submit(job_of(1, 2, steps=2)).events()
    assert isinstance(result, FineTuningResult)
    assert end == Done(0)
