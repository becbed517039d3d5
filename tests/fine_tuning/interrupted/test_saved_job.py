"""What is left of a run that was broken off, when only its stack is still there."""

from __future__ import annotations

import json

import pytest

from napari_vrp_sam.errors import InputError
from napari_vrp_sam.fine_tuning.events import FineTuningResult, TrainingStep
from napari_vrp_sam.fine_tuning.interrupted.checkpoint import run_settings
from napari_vrp_sam.fine_tuning.interrupted.saved_job import load_job
from napari_vrp_sam.fine_tuning.job import JOB_FILE, interrupted_runs
from napari_vrp_sam.fine_tuning.run import fine_tune_events
from napari_vrp_sam.inference.runs.control import Control
from napari_vrp_sam.models.zoo.digests import weights_digest


@pytest.fixture
def broken_off(job_of, recipe, rising):
    """A job that ended after its second step."""
    job = job_of(1, 2, name="discs", seed=3, contrast_limits=(0.0, 200.0))
    for event in fine_tune_events(job, Control(), recipe=recipe):
        if isinstance(event, TrainingStep) and event.step == 2:
            break
    return job


def test_it_is_the_same_job_and_goes_on(broken_off, recipe, tmp_path):
    assert interrupted_runs(tmp_path) == [broken_off.output]
    job = load_job(broken_off.output, broken_off.data)
    digest = weights_digest(job.model)
    assert run_settings(job, recipe, digest) == run_settings(broken_off, recipe, digest)
    assert (job.name, job.device, job.axes) == ("discs", "cpu", "ZYX")

    events = list(fine_tune_events(job, Control(), recipe=recipe))
    assert min(event.step for event in events if isinstance(event, TrainingStep)) > 1
    assert isinstance(events[-1], FineTuningResult)
    assert interrupted_runs(tmp_path) == []


def test_annotations_cut_short_are_written_again(broken_off, recipe):
    (broken_off.folder / "references.json").unlink()
    with pytest.raises(InputError, match="cannot be read: discard it"):
        load_job(broken_off.output, broken_off.data)
    for event in fine_tune_events(broken_off, Control(), recipe=recipe):
        if isinstance(event, TrainingStep):
            break
    assert len(load_job(broken_off.output, broken_off.data).references) == 4


def test_another_stack_is_refused(broken_off):
    with pytest.raises(InputError, match="about an image of 4 x 72 x 80, not 3 x 72 x 80: choose"):
        load_job(broken_off.output, broken_off.data[:3])


def test_a_damaged_record_is_refused(broken_off):
    (broken_off.folder / JOB_FILE).write_text(json.dumps({"settings": {}}))
    with pytest.raises(InputError, match="The run of 'own' cannot be read"):
        load_job(broken_off.output, broken_off.data)
