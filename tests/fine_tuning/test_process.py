"""A fine-tuning in the working process: paused and cancelled within a second."""

from __future__ import annotations

import time

import pytest

from napari_vrp_sam.fine_tuning.events import FineTuningResult, TrainingStep
from napari_vrp_sam.fine_tuning.job import interrupted_runs
from napari_vrp_sam.inference.runs.events import Cancelled, Done
from napari_vrp_sam.inference.runs.process import ProcessEngine

pytestmark = pytest.mark.slow


@pytest.fixture
def engine():
    engine = ProcessEngine()
    yield engine
    engine.close()


def wait_for_step(run):
    return next(event for event in run.events() if isinstance(event, TrainingStep))


def test_paused_cancelled_and_gone_on_with(engine, job_of, tmp_path):
    job = job_of(1, 2, model="lite", steps=10_000)
    run = engine.submit(job)
    wait_for_step(run)
    process = engine.warm_up().process

    run.pause()
    time.sleep(1)
    run.poll()
    time.sleep(1)
    assert run.poll() == []
    run.resume()
    begun = time.monotonic()
    paused_at = wait_for_step(run).step
    assert time.monotonic() - begun < 2

    begun = time.monotonic()
    run.cancel()
    *_, end = run.events()
    assert end == Cancelled(0)
    assert time.monotonic() - begun < 1.5
    assert interrupted_runs(tmp_path) == [job.output]
    if engine.warm_up().process is process:  # it had the time to save where it was
        again = engine.submit(job)
        assert wait_for_step(again).step > paused_at
        again.cancel()
        assert list(again.events())[-1] == Cancelled(0)


def test_done_in_the_process(engine, job_of):
    *_, tuned, end = engine.submit(job_of(1, 2, steps=2)).events()
    assert isinstance(tuned, FineTuningResult)
    assert end == Done(0)
