"""A fine-tuning from its job to its file."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from importlib import metadata

import numpy as np
import pytest
import torch

from napari_vrp_sam import load_model, segment_stack
from napari_vrp_sam.annotations.reference import Reference
from napari_vrp_sam.errors import InputError
from napari_vrp_sam.fine_tuning import loop
from napari_vrp_sam.fine_tuning.events import (
    Comparison,
    FineTuningResult,
    TrainingStep,
    Validation,
)
from napari_vrp_sam.fine_tuning.job import interrupted_runs
from napari_vrp_sam.fine_tuning.run import fine_tune_events
from napari_vrp_sam.inference.runs.control import Control, StopRunError
from napari_vrp_sam.inference.runs.engine import ThreadEngine
from napari_vrp_sam.inference.runs.events import Done, Progress
from napari_vrp_sam.models.weights.checkpoints import read_checkpoint
from napari_vrp_sam.models.weights.downloads import file_sha256


@pytest.fixture
def run(recipe):
    def run(job, control=None, **changes):
        job.check()
        return list(fine_tune_events(job, control or Control(), recipe=replace(recipe, **changes)))

    return run


def break_off(job, recipe, at):
    """Cancel a run after a step."""
    control = Control()
    events = fine_tune_events(job, control, recipe=recipe)
    for event in events:
        if isinstance(event, TrainingStep) and event.step == at:
            break
    control.cancel()
    with pytest.raises(StopRunError):
        next(events)


def of_kind(events, kind):
    return [event for event in events if isinstance(event, kind)]


def test_it_tells_steps_iou_and_comparisons_and_leaves_one_file(run, job_of, base, tmp_path, stack):
    job = job_of(1, 2, preview_frame=3, name="Discs")
    events = run(job)

    steps = of_kind(events, TrainingStep)
    assert [event.step for event in steps] == list(range(1, 7))
    assert {event.steps for event in steps} == {6}
    assert all(np.isfinite(event.loss) and event.seconds_left >= 0 for event in steps)
    assert steps[-1].seconds_left < steps[0].seconds_left
    validated = of_kind(events, Validation)
    assert [event.step for event in validated] == [0, 2, 4, 6]
    assert [event.best for event in validated] == list(
        np.maximum.accumulate([event.iou for event in validated])
    )
    for compared in of_kind(events, Comparison):
        assert (compared.frame, compared.before.shape) == (3, stack.shape[1:])
        assert compared.after.shape == compared.before.shape
    tuned = events[-1]
    assert tuned == FineTuningResult(job.output, validated[0].iou, validated[-1].best)
    assert [path.name for path in tmp_path.iterdir()] == ["own.safetensors"]

    card = read_checkpoint(job.output).metadata
    assert card["name"] == "Discs"
    assert card["base_sha256"] == file_sha256(base)
    assert json.loads(card["fine_tuning_data"])["classes"] == [1, 2]
    metrics = json.loads(card["metrics"])
    assert metrics["held_out_iou_before"] == pytest.approx(tuned.iou_before, abs=1e-4)
    assert metrics["held_out_iou_after"] == pytest.approx(tuned.iou_after, abs=1e-4)
    assert json.loads(card["fine_tuning"])["steps"] == 6
    assert json.loads(card["versions"])["torch"] == metadata.version("torch")


def test_the_base_model_is_measured_in_the_same_way(run, job_of):
    """Without learning nothing changes, at any step."""
    validated = of_kind(run(job_of(), learning_rate=0.0, weight_decay=0.0), Validation)
    assert len(validated) == 4
    assert len({event.iou for event in validated}) == 1


@pytest.mark.parametrize("parts", ["decoder", "vrp-encoder"])
def test_only_the_chosen_part_learns(run, job_of, base, rising, parts):
    job = job_of(parts=parts)
    run(job)
    before, after = read_checkpoint(base).tensors, read_checkpoint(job.output).tensors
    changed = {
        name.partition(".")[0] for name in before if not torch.equal(before[name], after[name])
    }
    decoder = {"neck", "vrp_encoder", "similarity", "decoder", "prompt_encoder", "residual_gain"}
    assert changed == ({"vrp_encoder"} if parts == "vrp-encoder" else decoder)


def test_a_model_that_is_no_better_is_not_kept(run, job_of, tmp_path):
    events = run(job_of(), gain=1.0)
    assert events[-1].path is None
    assert events[-1].iou_after < events[-1].iou_before + 1
    assert list(tmp_path.iterdir()) == []


def test_it_ends_when_nothing_is_gained_any_more(run, job_of):
    job = job_of(steps=60, parts="decoder")
    events = run(job, learning_rate=0.0, weight_decay=0.0, validations=30, patience=3)
    assert of_kind(events, TrainingStep)[-1].step == 6
    assert isinstance(events[-1], FineTuningResult)


def test_the_same_job_gives_the_same_file_to_the_bit(run, job_of, tmp_path):
    jobs = [job_of(1, 2, output=tmp_path / f"{n}.safetensors") for n in range(2)]
    for job in jobs:
        run(job)
    first, second = (read_checkpoint(job.output).tensors for job in jobs)
    for name, tensor in first.items():
        assert torch.equal(tensor, second[name]), name


def test_a_cancelled_run_is_gone_on_with(run, job_of, recipe, tmp_path):
    whole, broken = (job_of(1, 2, output=tmp_path / f"{n}.safetensors") for n in range(2))
    run(whole)
    break_off(broken, recipe, at=3)
    assert not broken.output.exists()
    assert interrupted_runs(tmp_path) == [broken.output]
    events = run(broken)
    assert [event.step for event in of_kind(events, TrainingStep)] == [4, 5, 6]
    first, second = (read_checkpoint(job.output).tensors for job in (whole, broken))
    for name, tensor in first.items():
        assert torch.equal(tensor, second[name]), name
    assert interrupted_runs(tmp_path) == []


def test_another_jobs_folder_is_refused(run, job_of, recipe):
    job = job_of(seed=1)
    break_off(job, recipe, at=1)
    with pytest.raises(InputError, match="holds a run with another seed: go on with the same"):
        run(job_of(seed=2))
    with pytest.raises(InputError, match="another annotations and parts"):
        run(job_of(2, seed=1, parts="vrp-encoder"))
    (job.folder / "checkpoint.safetensors").write_bytes(b"torn")
    with pytest.raises(InputError, match="cannot be read: delete that folder"):
        run(job)
    (job.folder / "job.json").write_text("{")
    with pytest.raises(InputError, match="cannot be read: delete that folder"):
        run(job)


def test_a_folder_that_is_no_run_is_left_alone(run, job_of):
    job = job_of()
    job.folder.mkdir()
    (job.folder / "thesis.txt").write_text("...")
    with pytest.raises(InputError, match="is no run of ours"):
        run(job)
    assert (job.folder / "thesis.txt").read_text() == "..."


def test_killed_after_the_file_was_there(run, job_of, recipe, monkeypatch):
    """The next start finds its own file, tells of it, and clears up."""
    job = job_of()
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "rmtree", lambda *_, **__: None)
        told = run(job)[-1]
    assert job.folder.is_dir()
    (again,) = run(job)
    assert again.path == told.path
    assert again.iou_after == pytest.approx(told.iou_after, abs=1e-4)
    assert not job.folder.exists()


def test_the_file_loads_elsewhere(run, job_of, stack, ground_truth, tmp_path):
    job = job_of(1, 2)
    run(job)
    here = segment_stack(
        stack, ground_truth[1], frame=1, axes="ZYX", model=job.output, device="cpu"
    )
    moved = tmp_path / "elsewhere" / "renamed.safetensors"
    moved.parent.mkdir()
    job.output.rename(moved)
    there = segment_stack(stack, ground_truth[1], frame=1, axes="ZYX", model=moved, device="cpu")
    np.testing.assert_array_equal(here, there)
    assert load_model(moved).name == "lite"


def test_several_kinds_and_sizes_at_once(run, job_of, stack, ground_truth):
    """Masks, boxes and scribbles on frames of different sizes."""
    box = np.zeros(ground_truth[0].shape, np.float32)
    box[8:32, 8:32] = 1
    stroke = np.zeros(ground_truth[0].shape, np.float32)
    stroke[20, 14:26] = 1
    other = np.zeros(ground_truth[0].shape, np.float32)
    other[36, 10:70] = 1
    references = [
        Reference(stack[0], box, 1, "box"),
        Reference(stack[1], ground_truth[1] == 1, 1, "mask", 1),
        Reference(stack[2], stroke, 1, "scribble", 2),
        Reference(stack[2], other, 2, "scribble", 2),
        Reference(stack[3][:60, :70], ground_truth[3][:60, :70] == 1, 1, "mask"),
    ]
    events = run(job_of(references=references), shots=3, folds=4)
    assert isinstance(events[-1], FineTuningResult)


def test_too_little_to_hold_anything_out(run, job_of, stack):
    dot = np.zeros(stack[0].shape, np.float32)
    dot[20, 20] = 1
    with pytest.raises(InputError, match="Too little is annotated"):
        run(job_of(references=[Reference(stack[0], dot, frame=0)]))


def test_lora_is_refused_for_lite_whatever_its_file(run, job_of):
    with pytest.raises(InputError, match="'lite' has none"):
        run(job_of(parts="lora"))


def test_short_memory_halves_the_batch_and_changes_little(run, job_of, monkeypatch):
    taken = []
    whole = loop.TrainingLoop._accumulate

    def short(self, batch):
        taken.append(self._plan.micro_batch)
        if self._plan.micro_batch > 1:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return whole(self, batch)

    plenty = of_kind(run(job_of()), TrainingStep)
    job_of().output.unlink()
    monkeypatch.setattr(loop.TrainingLoop, "_accumulate", short)
    scarce = of_kind(run(job_of()), TrainingStep)
    assert taken[:3] == [2, 1, 1]
    assert set(taken[1:]) == {1}
    assert [event.step for event in scarce] == [event.step for event in plenty]

    def never(self, batch):
        raise torch.OutOfMemoryError("CUDA out of memory.")

    job_of().output.unlink()
    monkeypatch.setattr(loop.TrainingLoop, "_accumulate", never)
    with pytest.raises(InputError, match="Memory does not suffice"):
        run(job_of())


def test_an_engine_does_it(job_of):
    events = list(ThreadEngine().submit(job_of(steps=2)).events())
    assert isinstance(events[0], Progress)
    assert isinstance(events[-2], FineTuningResult)
    assert events[-1] == Done(0)
