"""Execution of a fine-tuning job."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping, Sequence
from typing import Any

import torch

from napari_vrp_sam.annotations.labels import class_ids_of
from napari_vrp_sam.errors import InputError
from napari_vrp_sam.fine_tuning.clock import TrainingPlan
from napari_vrp_sam.fine_tuning.data.annotated_frames import (
    AnnotatedFrame,
    annotated_frames,
    make_folds,
)
from napari_vrp_sam.fine_tuning.events import EndReason, FineTuningResult, Validation
from napari_vrp_sam.fine_tuning.interrupted.checkpoint import (
    Checkpoint,
    Scores,
    run_settings,
    settings_digest,
)
from napari_vrp_sam.fine_tuning.interrupted.saved_job import lock_run, save_job
from napari_vrp_sam.fine_tuning.job import FineTuneJob
from napari_vrp_sam.fine_tuning.loop import TrainingLoop
from napari_vrp_sam.fine_tuning.preview import FramePreview
from napari_vrp_sam.fine_tuning.recipe import RECIPE, FineTuningRecipe
from napari_vrp_sam.fine_tuning.result import model_card, read_result
from napari_vrp_sam.fine_tuning.tunable.base import TunableModel
from napari_vrp_sam.fine_tuning.tunable.candidate import Candidate, mean_weights, set_weights
from napari_vrp_sam.fine_tuning.tunable.dense_head import TunableDenseHead
from napari_vrp_sam.fine_tuning.tunable.full_size import TunableFullSizeModel
from napari_vrp_sam.fine_tuning.tunable.lite import TunableLite
from napari_vrp_sam.inference.frames import Frames
from napari_vrp_sam.inference.normalisation import Normalisation, fit_normalisation
from napari_vrp_sam.inference.prediction.frame_encoder import FrameEncoder
from napari_vrp_sam.inference.prediction.learned_model import adapt_model
from napari_vrp_sam.inference.prediction.predictor_cache import PredictorCache
from napari_vrp_sam.inference.prediction.tiles.tiling import DEFAULT_TILE
from napari_vrp_sam.inference.runs.control import Control
from napari_vrp_sam.inference.runs.events import Event, Progress
from napari_vrp_sam.inference.runs.reporting import ReportProgress, progress_events
from napari_vrp_sam.models.backbones.model import ProbeModel
from napari_vrp_sam.models.devices import resolve_device
from napari_vrp_sam.models.lite.model import LiteModel
from napari_vrp_sam.models.sam.full_size_model import FullSizeModel
from napari_vrp_sam.models.weights.checkpoints import write_checkpoint
from napari_vrp_sam.models.weights.downloads import text_progress
from napari_vrp_sam.models.zoo.digests import weights_digest
from napari_vrp_sam.models.zoo.registry import load_model


def fine_tune_events(
    job: FineTuneJob,
    control: Control,
    cache: PredictorCache | None = None,
    *,
    recipe: FineTuningRecipe = RECIPE,
) -> Iterator[Event]:
    """Fine-tune a model, after clearing the cache to free memory.

    Yields
    ------
    Event
        `Progress`, `TrainingStep`, `Validation` and `Comparison`; the last is a
        `FineTuningResult`.

    Raises
    ------
    InputError
        If the job cannot be done, or the result cannot be written.
    """
    job.check()
    if cache is not None:
        cache.clear()
    # Two processes would overwrite each other's checkpoints.
    with lock_run(job.folder):
        yield from _run(job, control, recipe)


def _run(job: FineTuneJob, control: Control, recipe: FineTuningRecipe) -> Iterator[Event]:
    settings = run_settings(job, recipe, weights_digest(job.model))
    run = settings_digest(settings)
    checkpoint = Checkpoint(job.folder, settings)
    if job.output.exists():
        # The process ended between the writing of the file and the removal of the checkpoint.
        result = read_result(job.output, run)
        if result is None:
            raise InputError(f"{job.output} already exists: choose another name.")
        checkpoint.remove()
        yield result
        return

    yield Progress(0, 1, "Loading the model", "loading")
    device = resolve_device(job.device)
    torch.manual_seed(job.seed)  # for randomly initialised additions to the model
    model = yield from _load_model(job, device, control)
    control.check()
    yield Progress(0, 1, "Sampling intensities", "sampling")
    frames = job.view()
    normalisation = _normalisation(job, frames)
    tunable = tunable_model(model, job, recipe, normalisation)
    base = {name: p.detach().clone() for name, p in tunable.parameters.items()}
    annotated = annotated_frames(job.references, normalisation)
    to_end = tunable.trains_on_all_frames
    folds = make_folds(annotated, recipe.head_folds if to_end else recipe.folds)
    training_sets: list[Sequence[AnnotatedFrame]] = [fold.training for fold in folds]
    turns = list(range(len(folds)))
    if to_end:
        turns = [turn for fold in turns for turn in (*[len(folds)] * recipe.head_turns, fold)]
        training_sets.append(annotated)

    candidates = [
        Candidate(tunable.parameters, recipe, tunable.learning_rate) for _ in training_sets
    ]
    stored = checkpoint.load(candidates)
    minutes = recipe.minutes_cpu if device.type == "cpu" else recipe.minutes_gpu
    budget = None if job.steps is not None else 60 * (job.minutes or minutes)
    plan = TrainingPlan(job.steps, budget, recipe.validations, recipe.batch_size)
    scores: Scores | None = None
    if stored:
        plan, scores = stored
    save_job(job, settings)

    def set_final(sets: Sequence[Mapping[str, torch.Tensor]]) -> None:
        """Set the weights of the result, given those of all candidates."""
        final = sets[-1] if to_end else mean_weights(sets, base, recipe.keep_base)
        set_weights(tunable.parameters, final)

    if scores is not None:
        yield Validation(0, scores.before, scores.before)
    yield Progress(0, 1, "Preparing the first training step", "training")
    training = TrainingLoop(
        tunable=tunable,
        base=base,
        streams=[tunable.stream(frames, job.seed) for frames in training_sets],
        folds=folds,
        candidates=candidates,
        turns=turns,
        plan=plan,
        scores=scores,
        checkpoint=checkpoint,
        recipe=recipe,
        seed=job.seed,
        device=device,
    )
    # Frames that are segmented in tiles would take too long.
    shows = job.preview_frame is not None and max(frames.frame_shape) <= DEFAULT_TILE
    preview = None
    for event in training.events(control):
        yield event
        improved = isinstance(event, Validation) and event.step and event.iou == event.best
        if not improved or not shows:
            continue
        if preview is None:
            assert job.preview_frame is not None
            yield Progress(0, 1, "Segmenting the frame in view with both models", "segmenting")
            set_weights(tunable.parameters, base)
            image = normalisation.apply(frames[job.preview_frame])
            preview = FramePreview(tunable, annotated, image, job.preview_frame, recipe, device)
        set_final([candidate.weights for candidate in candidates])
        yield preview.compare()

    yield Progress(0, 1, "Measuring the new model on held-out annotation", "evaluating")
    yield from training.measure_base(control)
    scores = training.scores
    assert scores is not None  # the last step was validated
    after = tunable.calibrate(training.held_out_iou) if to_end else scores.best
    set_final([candidate.weights if to_end else candidate.best for candidate in candidates])
    # The final weights were trained on all frames, so their own IoU only shows that they are
    # sound. The expected IoU is that of the folds.
    sound = training.mean_iou() >= scores.before + min(recipe.gain, 0)
    ended_by: EndReason = "steps" if plan.budget is None else "time"
    if training.converged:
        ended_by = "converged"
    better = sound and after >= scores.before + recipe.gain
    if better:
        measured = {
            "iou_before": scores.before,
            "iou_after": after,
            "steps": plan.step,
            "best_step": scores.best_step,
            "seconds": round(plan.seconds, 1),
            "device": device.type,
            "ended_by": ended_by,
            "improving": scores.since == 0 and scores.best_step > 0,
        }
        card = {**tunable.card(), **model_card(job, settings, run, measured)}
        write_checkpoint(job.output, tunable.tensors(), card)
    checkpoint.remove()
    yield FineTuningResult(
        job.output if better else None,
        scores.before,
        after,
        plan.step,
        ended_by,
        scores.since == 0 and scores.best_step > 0,
    )


def _load_model(
    job: FineTuneJob, device: torch.device, control: Control
) -> Generator[Event, None, Any]:
    """Load the base model; yield the progress of its download."""

    def load(report: ReportProgress) -> Any:
        progress = text_progress(lambda message: report(Progress(0, 1, message, "downloading")))
        return load_model(job.model, device=device, progress=progress)

    return (yield from progress_events(load, control))


def tunable_model(
    model: Any, job: FineTuneJob, recipe: FineTuningRecipe, normalisation: Normalisation
) -> TunableModel:
    """Select the parts of a model to train; raise `InputError` if it does not have them."""
    if isinstance(model, FullSizeModel):
        return TunableFullSizeModel(model, job.parts or "decoder", recipe)
    if isinstance(model, ProbeModel):
        if job.parts not in (None, "head"):
            raise InputError(
                f"'{model.name}' is a probe model, which has a dense head only: choose 'head'."
            )
    elif not isinstance(model, LiteModel):
        raise InputError(
            f"The model '{model.name}' cannot be fine-tuned: choose 'lite', a probe model or a SAM "
            "model."
        )
    encoder = FrameEncoder(model, next(model.parameters()).device)
    encoder.normalisation = normalisation
    adapt_model(model, job.references, encoder.encode_references)
    if job.parts in (None, "head"):
        return TunableDenseHead(model, class_ids_of(job.references), recipe)
    return TunableLite(model, job.parts, recipe)


def _normalisation(job: FineTuneJob, frames: Frames) -> Normalisation:
    """Return the same normalisation that is used to segment the stack."""
    separate = any(reference.mask.shape != frames.frame_shape for reference in job.references)
    if separate and not job.contrast_limits:  # separate images instead of frames of the stack
        images = [reference.image for reference in job.references]
        return Normalisation.fit(images, references=job.references)
    return fit_normalisation(frames, job.contrast_limits, job.references)
