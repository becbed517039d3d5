"""Progress and result of a fine-tuning in words, the same in all interfaces."""

from __future__ import annotations

from napari_vrp_sam.fine_tuning.events import FineTuningResult, TrainingStep
from napari_vrp_sam.fine_tuning.recipe import RECIPE
from napari_vrp_sam.inference.runs.reporting import format_elapsed


def describe_step(step: TrainingStep) -> str:
    """Return the progress of a training: steps, and time used of the budget or time left."""
    if step.budget is None:
        done = f"step {step.step} of {step.steps}"
        return f"Training: {done}, about {format_elapsed(step.seconds_left)} left"
    used = format_elapsed(min(step.seconds, step.budget))
    steps = "1 step" if step.step == 1 else f"{step.step} steps"
    return f"Training: {used} of {format_elapsed(step.budget)}, {steps} done"


def describe_result(result: FineTuningResult, minimum: int = RECIPE.minimum_steps) -> str:
    """Return whether the new model is better, and what limited the training.

    Parameters
    ----------
    result : FineTuningResult
    minimum : int
        Number of steps that a verdict needs.

    Returns
    -------
    str
        One to four sentences.
    """
    ious = f"IoU on held-out annotation: {result.iou_before:.3f} before, {result.iou_after:.3f}"
    few = result.steps < minimum
    if result.path is not None:
        verdict = f"The new model is better ({ious} after)."
        if few:
            reason = "the model was still improving" if result.improving else "the run was short"
            return f"{verdict} {_count(result)}: {reason}. {_advice(result)}"
        if result.improving and result.ended_by != "converged":
            return f"{verdict} It was still improving at the end. {_advice(result)}"
        return verdict
    slightly = result.iou_after > result.iou_before
    verdict = (
        f"The new model is {'only slightly' if slightly else 'not'} better ({ious} after) "
        "and was not saved."
    )
    if few:
        return f"{verdict} {_count(result)}, too few to judge. {_advice(result)}"
    if result.improving and result.ended_by != "converged":
        return f"{verdict} It was still improving at the end. {_advice(result)}"
    return f"{verdict} Annotate another frame: more training is unlikely to help."


def _count(result: FineTuningResult) -> str:
    return f"Only {result.steps} {'step was' if result.steps == 1 else 'steps were'} done"


def _advice(result: FineTuningResult) -> str:
    if result.ended_by == "steps":
        return "More steps may help."
    return "A longer time or a GPU may help."
