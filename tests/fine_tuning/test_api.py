"""The function `fine_tune`."""

from __future__ import annotations

import pytest

from napari_vrp_sam import fine_tune
from napari_vrp_sam.fine_tuning.events import FineTuningResult, TrainingStep, Validation
from napari_vrp_sam.fine_tuning.job import FineTuneJob
from napari_vrp_sam.fine_tuning.verdict import describe_result
from napari_vrp_sam.inference.runs.events import Progress


@pytest.fixture
def submitted(monkeypatch):
    """Replace training by a fixed sequence of events; return the jobs."""
    jobs = []

    def events(job, *_):
        jobs.append(job)
        yield Progress(0, 1, "Loading the model")
        yield Validation(0, 0.5, 0.5)
        yield TrainingStep(1, 4, 0.25, 9.0, 3.0, 12.0)
        yield FineTuningResult(job.output, 0.5, 0.7)

    monkeypatch.setattr(FineTuneJob, "events", events)
    return jobs


def test_progress_is_called_with_done_total_and_message(submitted, stack, ground_truth, tmp_path):
    calls = []
    output = tmp_path / "own.safetensors"
    result = fine_tune(
        stack,
        ground_truth[1],
        output,
        reference_frame=1,
        progress=lambda done, total, message: calls.append((done, total, message)),
    )
    assert result == FineTuningResult(output, 0.5, 0.7)
    assert calls == [
        (0, 1, "Loading the model"),
        (0, 1, "IoU on held-out annotation: 0.500, best 0.500"),
        (1, 4, "Training: 3 s of 12 s, 1 step done"),
        (1, 4, describe_result(result)),
    ]


def test_old_names_of_options_still_work(submitted, stack, ground_truth, tmp_path):
    with pytest.warns(DeprecationWarning, match="renamed") as warned:
        fine_tune(
            stack,
            ground_truth[2],
            tmp_path / "own.safetensors",
            frame=2,
            kind="scribble",
            limits=(0.0, 200.0),
        )
    assert len(warned) == 3
    (job,) = submitted
    assert {(r.frame, r.kind) for r in job.references} == {(2, "scribble")}
    assert job.contrast_limits == (0.0, 200.0)
