"""Jobs of interrupted runs, loaded without the original annotation."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from napari_vrp_sam.errors import InputError
from napari_vrp_sam.fine_tuning.events import FineTuningResult, TrainingStep, Validation
from napari_vrp_sam.fine_tuning.interrupted.checkpoint import run_settings
from napari_vrp_sam.fine_tuning.interrupted.saved_job import load_job
from napari_vrp_sam.fine_tuning.job import JOB_FILE, interrupted_runs
from napari_vrp_sam.fine_tuning.run import fine_tune_events
from napari_vrp_sam.inference.runs.control import Control
from napari_vrp_sam.models.zoo.digests import weights_digest


@pytest.fixture
def recipe(recipe):
    return replace(recipe, checkpoint_seconds=0.0)


@pytest.fixture
def interrupted(job_of, recipe, rising):
    """A job that was interrupted after its third step, when the second was the last saved one."""
    job = job_of(1, 2, name="discs", seed=3, steps=3, contrast_limits=(0.0, 200.0))
    for event in fine_tune_events(job, Control(), recipe=recipe):
        if isinstance(event, TrainingStep) and event.step == 3:
            break
    return job


def test_loaded_job_is_equal_and_resumes(interrupted, recipe, tmp_path):
    assert interrupted_runs(tmp_path) == [interrupted.output]
    job = load_job(interrupted.output, interrupted.data)
    digest = weights_digest(job.model)
    assert run_settings(job, recipe, digest) == run_settings(interrupted, recipe, digest)
    assert (job.name, job.device, job.axes) == ("discs", "cpu", "ZYX")

    events = list(fine_tune_events(job, Control(), recipe=recipe))
    # The IoU of the base model is reported again, not measured again.
    order = [event for event in events if isinstance(event, (Validation, TrainingStep))]
    assert (order[0].step, order[0].iou) == (0, 0.0)
    assert min(event.step for event in events if isinstance(event, TrainingStep)) > 1
    assert isinstance(events[-1], FineTuningResult)
    assert interrupted_runs(tmp_path) == []


def test_missing_annotations_are_saved_again(interrupted, recipe):
    (interrupted.folder / "references.json").unlink()
    with pytest.raises(InputError, match="is damaged: discard it"):
        load_job(interrupted.output, interrupted.data)
    for event in fine_tune_events(interrupted, Control(), recipe=recipe):
        if isinstance(event, TrainingStep):
            break
    assert len(load_job(interrupted.output, interrupted.data).references) == 4


def test_stack_of_another_shape_and_damaged_job_file_are_rejected(interrupted):
    with pytest.raises(InputError, match="on an image of 4 x 72 x 80, not 3 x 72 x 80: choose"):
        load_job(interrupted.output, interrupted.data[:3])
    (interrupted.folder / JOB_FILE).write_text(json.dumps({"settings": {}}))
    with pytest.raises(InputError, match="The saved fine-tuning of 'own' is damaged"):
        load_job(interrupted.output, interrupted.data)
