"""Fine-tuning from a job to a file."""

from __future__ import annotations

import json
import shutil
import threading
from dataclasses import replace
from functools import partial
from importlib import metadata
from types import SimpleNamespace

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
from napari_vrp_sam.fine_tuning.loop import TrainingLoop
from napari_vrp_sam.fine_tuning.run import fine_tune_events
from napari_vrp_sam.fine_tuning.tunable.base import FoldEvaluation
from napari_vrp_sam.fine_tuning.tunable.dense_head import TunableDenseHead
from napari_vrp_sam.inference.prediction.predictor_cache import PredictorCache
from napari_vrp_sam.inference.runs.control import Control, StopRunError
from napari_vrp_sam.inference.runs.engine import ThreadEngine
from napari_vrp_sam.inference.runs.events import Done, Progress
from napari_vrp_sam.models.weights.checkpoints import read_checkpoint, write_checkpoint
from napari_vrp_sam.models.weights.downloads import file_sha256


@pytest.fixture
def run(recipe):
    def run(job, control=None, **changes):
        job.check()
        return list(fine_tune_events(job, control or Control(), recipe=replace(recipe, **changes)))

    return run


def cancel_after(job, recipe, step):
    """Cancel a run after a step."""
    control = Control()
    events = fine_tune_events(job, control, recipe=recipe)
    for event in events:
        if isinstance(event, TrainingStep) and event.step == step:
            break
    control.cancel()
    with pytest.raises(StopRunError):
        list(events)


def of_kind(events, kind):
    return [event for event in events if isinstance(event, kind)]


def test_run_reports_its_progress_and_leaves_one_file(run, job_of, base, tmp_path, stack):
    job = job_of(1, 2, preview_frame=3, name="Discs")
    events = run(job)

    steps = of_kind(events, TrainingStep)
    assert [event.step for event in steps] == list(range(1, 7))
    assert {event.steps for event in steps} == {6}
    assert all(np.isfinite(event.loss) and event.seconds_left >= 0 for event in steps)
    assert steps[-1].seconds_left < steps[0].seconds_left
    validations = of_kind(events, Validation)
    assert [event.step for event in validations] == [0, 2, 4, 6]
    assert [event.best for event in validations] == list(
        np.maximum.accumulate([event.iou for event in validations])
    )
    for comparison in of_kind(events, Comparison):
        assert (comparison.frame, comparison.before.shape) == (3, stack.shape[1:])
        assert comparison.after.shape == comparison.before.shape
    result = events[-1]
    assert (result.path, result.iou_before) == (job.output, validations[0].iou)
    assert (result.steps, result.ended_by) == (6, "steps")
    # Nothing is measured before the first step is done.
    order = [type(event) for event in events if not isinstance(event, Progress)]
    assert order[:3] == [TrainingStep, TrainingStep, Validation]
    assert [path.name for path in tmp_path.iterdir()] == ["own.safetensors"]

    card = read_checkpoint(job.output).metadata
    assert card["name"] == "Discs"
    assert card["base_sha256"] == file_sha256(base)
    assert json.loads(card["fine_tuning_data"])["classes"] == [1, 2]
    metrics = json.loads(card["metrics"])
    assert metrics["held_out_iou_before"] == pytest.approx(result.iou_before, abs=1e-4)
    assert metrics["held_out_iou_after"] == pytest.approx(result.iou_after, abs=1e-4)
    assert json.loads(card["fine_tuning"])["steps"] == 6
    assert json.loads(card["versions"])["torch"] == metadata.version("torch")


def test_iou_is_constant_without_learning(run, job_of):
    validations = of_kind(run(job_of(steps=3), learning_rate=0.0, weight_decay=0.0), Validation)
    assert len(validations) == 4
    assert len({event.iou for event in validations}) == 1


@pytest.mark.parametrize("parts", ["decoder", "vrp-encoder"])
def test_only_the_chosen_parts_are_trained(run, job_of, base, rising, parts):
    job = job_of(parts=parts)
    run(job, learning_rate=3e-3)  # visible in half precision
    before, after = read_checkpoint(base).tensors, read_checkpoint(job.output).tensors
    changed = {
        name.partition(".")[0] for name in before if not torch.equal(before[name], after[name])
    }
    decoder = {"neck", "vrp_encoder", "similarity", "decoder", "prompt_encoder", "residual_gain"}
    assert changed == ({"vrp_encoder"} if parts == "vrp-encoder" else decoder)


def test_model_that_is_not_better_is_not_saved(run, job_of, tmp_path):
    events = run(job_of(steps=1), gain=1.0)
    assert events[-1].path is None
    assert events[-1].iou_after < events[-1].iou_before + 1
    assert list(tmp_path.iterdir()) == []


def test_training_stops_without_improvement(run, job_of):
    job = job_of(steps=60, parts="decoder")
    events = run(job, learning_rate=0.0, weight_decay=0.0, validations=30, patience=3)
    assert of_kind(events, TrainingStep)[-1].step == 6
    assert events[-1].ended_by == "converged"


def test_run_ends_when_its_budget_is_used_up(run, job_of, monkeypatch):
    """Each step takes 2 s by a clock of the test, and everything else a minute."""
    now = [0.0]
    step = TrainingLoop._step

    def slow_step(self, *arguments):
        now[0] += 2.0
        return step(self, *arguments)

    def slow_validation(self):
        now[0] += 60
        return 0.5

    monkeypatch.setattr(loop, "time", SimpleNamespace(monotonic=lambda: now[0]))
    monkeypatch.setattr(TrainingLoop, "_step", slow_step)
    monkeypatch.setattr(FoldEvaluation, "iou", slow_validation)
    events = run(job_of(steps=None, minutes=0.2))
    steps = of_kind(events, TrainingStep)
    assert [(event.seconds, event.budget) for event in steps] == [
        (2.0 * (number + 1), 12.0) for number in range(6)
    ]
    assert {event.steps for event in steps} == {6}
    assert all(event.seconds + event.seconds_left == event.budget for event in steps)
    # Validations that slow are done only twice.
    assert [event.step for event in of_kind(events, Validation)] == [0, 3, 6]
    assert (events[-1].steps, events[-1].ended_by) == (6, "time")


def test_run_is_reproducible_to_the_bit(run, job_of, tmp_path):
    jobs = [job_of(1, 2, steps=3, output=tmp_path / f"{n}.safetensors") for n in range(2)]
    for job in jobs:
        run(job)
    first, second = (read_checkpoint(job.output).tensors for job in jobs)
    for name, tensor in first.items():
        assert torch.equal(tensor, second[name]), name


@pytest.mark.slow
def test_resumed_run_ends_with_the_same_weights(run, job_of, recipe, tmp_path):
    whole, interrupted = (
        job_of(1, 2, steps=4, output=tmp_path / f"{n}.safetensors") for n in range(2)
    )
    run(whole)
    cancel_after(interrupted, recipe, 2)
    assert not interrupted.output.exists()
    assert interrupted_runs(tmp_path) == [interrupted.output]
    events = run(interrupted)
    assert [event.step for event in of_kind(events, TrainingStep)] == [3, 4]
    first, second = (read_checkpoint(job.output).tensors for job in (whole, interrupted))
    for name, tensor in first.items():
        assert torch.equal(tensor, second[name]), name
    assert interrupted_runs(tmp_path) == []


def test_paused_run_waits_before_its_next_step(job_of, recipe):
    waiting = threading.Event()
    order = []

    class PausedControl(Control):
        def check(self):
            if self.paused:
                waiting.set()
            super().check()

    def resume():
        assert waiting.wait(60)
        order.append("resumed")
        control.resume()

    control = PausedControl()
    events = fine_tune_events(job_of(steps=2), control, recipe=recipe)
    for event in events:
        if isinstance(event, TrainingStep):
            break
    thread = threading.Thread(target=resume)
    control.pause()
    thread.start()
    order += ["trained" for event in events if isinstance(event, TrainingStep)]
    waiting.set()
    thread.join()
    assert order == ["resumed", "trained"]


def test_checkpoint_of_another_job_is_rejected(run, job_of, recipe):
    job = job_of(seed=1)
    cancel_after(job, recipe, 1)
    with pytest.raises(InputError, match=r"has different settings \(seed\): use the same"):
        run(job_of(seed=2))
    with pytest.raises(InputError, match=r"\(annotations, parts\)"):
        run(job_of(2, seed=1, parts="vrp-encoder"))
    (job.folder / "checkpoint.safetensors").write_bytes(b"torn")
    with pytest.raises(InputError, match="is damaged: delete that folder"):
        run(job)
    (job.folder / "job.json").write_text("{")
    with pytest.raises(InputError, match="is damaged: delete that folder"):
        run(job)


def test_folder_with_other_files_is_not_touched(run, job_of):
    job = job_of()
    job.folder.mkdir()
    (job.folder / "thesis.txt").write_text("...")
    with pytest.raises(InputError, match="contains files that are not part of a run"):
        run(job)
    assert (job.folder / "thesis.txt").read_text() == "..."


def test_run_killed_after_writing_its_file_is_completed(run, job_of, monkeypatch):
    job = job_of(steps=1)
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "rmtree", lambda *_, **__: None)
        result = run(job)[-1]
    assert job.folder.is_dir()
    written = job.output.read_bytes()
    write_checkpoint(job.output, {"weight": torch.zeros(1)}, {"run": "another one"})
    with pytest.raises(InputError, match="already exists: choose another name"):
        run(job)
    job.output.write_bytes(written)
    (again,) = run(job)
    assert again.path == result.path
    assert again.iou_after == pytest.approx(result.iou_after, abs=1e-4)
    assert not job.folder.exists()


@pytest.mark.slow
def test_saved_model_can_be_moved_and_loaded(run, job_of, stack, ground_truth, tmp_path):
    job = job_of(1, 2, steps=1)
    run(job)
    options = {"axes": "ZYX", "device": "cpu", "frames": (0, 1)}
    references = job.references[:2]
    here = segment_stack(stack, references, model=job.output, **options)
    moved = tmp_path / "elsewhere" / "renamed.safetensors"
    moved.parent.mkdir()
    job.output.rename(moved)
    there = segment_stack(stack, references, model=moved, **options)
    np.testing.assert_array_equal(here, there)
    assert load_model(moved).name == "lite"


def test_annotations_of_several_kinds_and_sizes(run, job_of, stack, ground_truth):
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
    events = run(job_of(references=references, steps=4), shots=3, folds=4)
    assert isinstance(events[-1], FineTuningResult)


def test_too_small_annotation_is_rejected(run, job_of, stack):
    dot = np.zeros(stack[0].shape, np.float32)
    dot[20, 20] = 1
    with pytest.raises(InputError, match="The annotation is too small"):
        run(job_of(references=[Reference(stack[0], dot, frame=0)]))


def test_batch_is_halved_when_memory_runs_out(run, job_of, monkeypatch):
    sizes = []
    loss = TunableDenseHead.loss

    def limited_loss(self, batch):
        sizes.append(len(batch["kinds"]))
        if sizes[-1] > 1:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return loss(self, batch)

    monkeypatch.setattr(TunableDenseHead, "loss", limited_loss)
    steps = of_kind(run(job_of(steps=2)), TrainingStep)
    assert sizes[0] == 2
    assert set(sizes[1:]) == {1}
    assert [event.step for event in steps] == [1, 2]

    def failing_loss(self, batch):
        raise torch.OutOfMemoryError("CUDA out of memory.")

    job_of().output.unlink()
    monkeypatch.setattr(TunableDenseHead, "loss", failing_loss)
    with pytest.raises(InputError, match="There is not enough memory"):
        run(job_of())


def test_engine_runs_the_job(job_of, recipe, monkeypatch):
    quick = partial(fine_tune_events, recipe=recipe)
    monkeypatch.setattr("napari_vrp_sam.fine_tuning.run.fine_tune_events", quick)
    engine = ThreadEngine(PredictorCache())  # as that of the worker process
    events = list(engine.submit(job_of(steps=1)).events())
    assert isinstance(events[0], Progress)
    assert isinstance(events[-2], FineTuningResult)
    assert events[-1] == Done(0)
