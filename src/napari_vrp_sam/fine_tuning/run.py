"""A fine-tuning from its job to its file."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from napari_vrp_sam.annotations.labels import class_ids_of
from napari_vrp_sam.errors import InputError
from napari_vrp_sam.fine_tuning.clock import Clock, TrainingPlan
from napari_vrp_sam.fine_tuning.data.annotated_frames import annotated_frames, make_folds
from napari_vrp_sam.fine_tuning.events import FineTuningResult, Validation
from napari_vrp_sam.fine_tuning.interrupted.checkpoint import (
    Checkpoint,
    Scores,
    settings_digest,
    run_settings,
)
from napari_vrp_sam.fine_tuning.interrupted.run_lock import lock_run
from napari_vrp_sam.fine_tuning.interrupted.saved_job import save_job
from napari_vrp_sam.fine_tuning.job import FineTuneJob
from napari_vrp_sam.fine_tuning.loop import TrainingLoop
from napari_vrp_sam.fine_tuning.preview import FramePreview
from napari_vrp_sam.fine_tuning.recipe import RECIPE, FineTuningRecipe
from napari_vrp_sam.fine_tuning.result import (
    model_card,
    read_result,
    write_result,
)
from napari_vrp_sam.fine_tuning.tunable.base import FoldEvaluation, TunableModel
from napari_vrp_sam.fine_tuning.tunable.candidate import Candidate, mean, put
from napari_vrp_sam.fine_tuning.tunable.dense_head import TunableDenseHead
from napari_vrp_sam.fine_tuning.tunable.full_size import TunableFullSizeModel
from napari_vrp_sam.fine_tuning.tunable.lite import TunableLite
from napari_vrp_sam.inference.frames import Frames
from napari_vrp_sam.inference.normalisation import Normalisation
from napari_vrp_sam.inference.prediction.predictor_cache import PredictorCache
from napari_vrp_sam.inference.prediction.tiling import DEFAULT_TILE
from napari_vrp_sam.inference.runs.control import Control
from napari_vrp_sam.inference.runs.events import Event, Progress
from napari_vrp_sam.inference.runs.reporting import ReportProgress, reported
from napari_vrp_sam.models.devices import resolve_device
from napari_vrp_sam.models.lite.model import LiteModel
from napari_vrp_sam.models.sam.full_size_model import FullSizeModel
from napari_vrp_sam.models.weights.downloads import text_progress
from napari_vrp_sam.models.zoo.digests import weights_digest
from napari_vrp_sam.models.zoo.registry import load_model

UNPLANNED = 10_000
"""Steps until it is known how long one takes."""


def fine_tune_events(
    job: FineTuneJob,
    control: Control,
    cache: PredictorCache | None = None,
    *,
    recipe: FineTuningRecipe = RECIPE,
) -> Iterator[Event]:
    """Train, and tell of it.

    Parameters
    ----------
    job : FineTuneJob
    control : Control
    cache : PredictorCache, optional
        Emptied before the training, which needs the memory.
    recipe : FineTuningRecipe

    Yields
    ------
    Event
        `Progress` in words, `TrainingStep`, `Validation`, `Comparison`, and at last `FineTuningResult`.

    Raises
    ------
    InputError
        If the job cannot be done as it stands, or the result cannot be written.
    """
    job.check()
    if cache is not None:
        cache.clear()
    # Two that write the same checkpoints would spoil both.
    with lock_run(job.folder):
        yield from _run(job, control, recipe)


def _loaded(
    job: FineTuneJob, device: torch.device, control: Control
) -> Generator[Event, None, Any]:
    """Load the base model and report its download."""

    def load(report: ReportProgress) -> Any:
        return load_model(
            job.model,
            device=device,
            progress=text_progress(lambda message: report(Progress(0, 1, message))),
        )

    return (yield from reported(load, control))


def _run(job: FineTuneJob, control: Control, recipe: FineTuningRecipe) -> Iterator[Event]:
    """See `fine_tune_events`."""
    output = Path(job.output)
    settings = run_settings(job, recipe, weights_digest(job.model))
    run = settings_digest(settings)
    checkpoint = Checkpoint(job.folder, settings)
    if output.exists():
        # Killed after the file was there and before the checkpoints were gone.
        done = read_result(output, run)
        if done is None:
            raise InputError(f"{output} is there already: choose another name.")
        checkpoint.remove()
        yield done
        return

    start = time.monotonic()
    yield _doing("Loading the model")
    device = resolve_device(job.device)
    torch.manual_seed(job.seed)  # of what is added to the model
    model = yield from _loaded(job, device, control)
    subject = tunable_model(model, job, recipe)
    base = {name: p.detach().clone() for name, p in subject.parameters.items()}
    control.check()
    yield _doing("Sampling intensities")
    frames = Frames(job.data, job.axes, job.channels)
    normalisation = _normalisation(job, frames)
    annotated = annotated_frames(job.references, normalisation)
    folds = make_folds(
        annotated, recipe.head_folds if subject.trains_on_all_frames else recipe.folds
    )
    learners = [fold.learned for fold in folds]
    turns = list(range(len(folds)))
    if subject.trains_on_all_frames:
        own = [len(folds)] * recipe.head_turns
        turns = [turn for number in turns for turn in (*own, number)]
        learners.append(tuple(annotated))

    candidates = [Candidate(subject.parameters, recipe, subject.rate) for _ in learners]
    stored = checkpoint.load(candidates)
    minutes = recipe.minutes_cpu if device.type == "cpu" else recipe.minutes_gpu
    budget = None if job.steps is not None else 60 * (job.minutes or minutes)
    fresh = TrainingPlan(0, job.steps or UNPLANNED, recipe.validations, 0, 0.0, recipe.batch_size)
    plan = stored[0] if stored else fresh
    clock = Clock(plan, budget, start)
    save_job(job, settings)

    def final(sets: Sequence[Mapping[str, torch.Tensor]]) -> Mapping[str, torch.Tensor]:
        """The weights that are the result: of who learns from everything, or all folds' mean."""
        return sets[-1] if subject.trains_on_all_frames else mean(sets, base, recipe.keep_base)

    put(subject.parameters, base)
    exams = []
    for number, fold in enumerate(folds, start=1):
        control.check()
        yield _doing(f"Examining the model, {number} of {len(folds)}")
        exams.append(FoldEvaluation(subject, fold, recipe.validation_side, device))
    view = None
    # A frame that is segmented in tiles takes too long to be shown again and again.
    if job.preview_frame is not None and max(frames.frame_shape) <= DEFAULT_TILE:
        control.check()
        yield _doing("Segmenting the frame in view")
        view = FramePreview(
            subject,
            annotated,
            normalisation.apply(frames[job.preview_frame]),
            job.preview_frame,
            device,
        )
    if stored:
        scores = stored[1]
    else:
        begun = time.monotonic()
        before = mean_iou(exams)
        clock.limit_validations(time.monotonic() - begun, recipe.validation_share)
        scores = Scores(before, before)
    yield Validation(0, scores.before, scores.before)

    training = TrainingLoop(
        subject,
        [subject.stream(frames, plan.steps, job.seed) for frames in learners],
        exams,
        candidates,
        turns=turns,
        plan=plan,
        scores=scores,
        clock=clock,
        checkpoint=checkpoint,
        recipe=recipe,
        seed=job.seed,
        device=device,
    )
    for event in training.events(control):
        yield event
        if view is not None and isinstance(event, Validation) and scores.since == 0:
            put(subject.parameters, final([c.weights for c in candidates]))
            yield view.compared()

    # New weights are best at the end of the decay; tuned ones where they did best.
    last = subject.trains_on_all_frames
    after = subject.calibrate(training.held_out_iou) if last else scores.best
    put(subject.parameters, final([c.weights if last else c.best for c in candidates]))
    # The final weights have seen all frames: what they reach tells no more than that they are
    # sound. What to expect is what each fold reached where it had not learned.
    sound = mean_iou(exams) >= scores.before + min(recipe.gain, 0)
    better = sound and after >= scores.before + recipe.gain
    if better:
        clock.tick()
        facts = {
            "iou_before": scores.before,
            "iou_after": after,
            "steps": plan.step,
            "best_step": scores.best_step,
            "seconds": round(plan.seconds, 1),
            "device": device.type,
        }
        write_result(output, subject, model_card(job, subject, settings, run, facts))
    checkpoint.remove()
    yield FineTuningResult(output if better else None, scores.before, after)


def tunable_model(model: Any, job: FineTuneJob, recipe: FineTuningRecipe) -> TunableModel:
    """A model as it is tuned.

    Raises
    ------
    InputError
        If it has no such parts.
    """
    if isinstance(model, FullSizeModel):
        return TunableFullSizeModel(model, job.parts or "decoder", recipe)
    if not isinstance(model, LiteModel):
        raise InputError(f"The model '{model.name}' cannot be fine-tuned.")
    if job.parts in (None, "head"):
        class_ids = class_ids_of(job.references)
        return TunableDenseHead(model, class_ids, recipe)
    return TunableLite(model, job.parts, recipe)


def mean_iou(exams: Sequence[FoldEvaluation]) -> float:
    """Mean over the folds, with the present weights."""
    return float(np.mean([evaluation.iou() for evaluation in exams]))


def _normalisation(job: FineTuneJob, frames: Frames) -> Normalisation:
    """That of the stack, as segmenting it has it."""
    if job.contrast_limits:
        return Normalisation.from_limits(job.contrast_limits, len(frames.channels))
    if any(reference.mask.shape != frames.frame_shape for reference in job.references):
        # Images of their own rather than frames of the stack.
        return Normalisation.fit([reference.image for reference in job.references])
    return Normalisation.fit(frames)


def _doing(message: str) -> Progress:
    return Progress(0, 1, message)
