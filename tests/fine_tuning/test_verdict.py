"""Progress and result of a fine-tuning in words."""

from __future__ import annotations

from pathlib import Path

import pytest

from napari_vrp_sam.fine_tuning.events import FineTuningResult, TrainingStep
from napari_vrp_sam.fine_tuning.verdict import describe_result, describe_step

SAVED = Path("own.safetensors")


def test_progress_is_time_used_of_the_budget():
    step = TrainingStep(1, 60, 0.5, 354.0, 6.0, 360.0)
    assert describe_step(step) == "Training: 6 s of 6 min, 1 step done"
    step = TrainingStep(41, 60, 0.5, 90.0, 364.0, 360.0)
    assert describe_step(step) == "Training: 6 min of 6 min, 41 steps done"


def test_progress_is_the_step_if_their_number_is_given():
    step = TrainingStep(3, 60, 0.5, 125.0, 6.0)
    assert describe_step(step) == "Training: step 3 of 60, about 2 min 5 s left"


@pytest.mark.parametrize(
    ("result", "said"),
    [
        (
            FineTuningResult(SAVED, 0.5, 0.7, 56, "time", improving=True),
            "Only 56 steps were done: the model was still improving. A longer time or a GPU may",
        ),
        (
            FineTuningResult(None, 0.5, 0.5, 1, "time"),
            "Only 1 step was done, too few to judge. A longer time or a GPU may help.",
        ),
        (
            FineTuningResult(SAVED, 0.5, 0.7, 600, "time", improving=True),
            "It was still improving at the end. A longer time or a GPU may help.",
        ),
        (
            FineTuningResult(None, 0.5, 0.503, 600, "steps", improving=True),
            "and was not saved. It was still improving at the end. More steps may help.",
        ),
        (
            FineTuningResult(None, 0.5, 0.4, 600, "converged"),
            "and was not saved. Annotate another frame: more training is unlikely to help.",
        ),
    ],
)
def test_verdict_says_what_limited_the_training(result, said):
    assert said in describe_result(result)


def test_verdict_of_a_complete_training_is_one_sentence():
    result = FineTuningResult(SAVED, 0.5, 0.7, 600, "time")
    assert describe_result(result) == (
        "The new model is better (IoU on held-out annotation: 0.500 before, 0.700 after)."
    )
