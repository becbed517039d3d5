"""Length of a training run: a number of steps, or a budget of training time."""

from __future__ import annotations

import pytest

from napari_vrp_sam.fine_tuning.clock import TrainingPlan


def train(plan, step_seconds):
    """Train to the end; return the steps after which a validation was due."""
    validated = []
    while not plan.finished:
        plan.record_step(step_seconds(plan.step + 1))
        if plan.validation_due:
            plan.record_validation()
            validated.append(plan.step)
    return validated


def test_number_of_steps_is_fixed_without_a_budget():
    plan = TrainingPlan(10, None, 4, 2)
    assert train(plan, lambda _: 99.0) == [3, 5, 8, 10]
    assert (plan.step, plan.seconds) == (10, 990)


@pytest.mark.parametrize(
    "step_seconds",
    [
        lambda _: 0.5,
        lambda step: 5.0 if step == 1 else 0.5,  # slow first step
        lambda step: 0.5 if step < 40 else 1.0,  # another program starts
        lambda step: 0.5 if step % 2 else 0.1,
        lambda _: 7.0,
    ],
)
def test_run_uses_its_budget_and_no_estimate_exceeds_it(step_seconds):
    plan = TrainingPlan(None, 60.0, 4, 2)
    assert plan.seconds_left == 60
    validated = []
    while not plan.finished:
        plan.record_step(step_seconds(plan.step + 1))
        assert plan.seconds + plan.seconds_left <= max(60, plan.seconds)
        assert plan.step <= plan.expected_steps <= 2 * 60 / 0.1
        if plan.validation_due:
            plan.record_validation()
            validated.append(plan.step)
    assert 56 < plan.seconds < 64
    assert 2 <= len(validated) <= 4
    assert validated[-1] == plan.step == plan.expected_steps
    assert (plan.seconds_left, plan.progress) == (0, 1)


def test_estimate_after_the_first_step_follows_from_the_budget():
    plan = TrainingPlan(None, 360.0, 10, 2)
    plan.record_step(6.0)
    assert plan.expected_steps == 60  # not 10,000
    assert plan.seconds_left == 354


def test_resumed_run_uses_the_rest_of_its_budget():
    plan = TrainingPlan(None, 60.0, 4, 2, step=80, seconds=45.0, validated=3, step_seconds=0.5)
    assert train(plan, lambda _: 0.5) == [110]
    assert 58 < plan.seconds < 62


def test_tiny_budget_allows_a_step_and_a_validation():
    plan = TrainingPlan(None, 0.01, 10, 2)
    assert train(plan, lambda _: 0.5) == [1]


def test_slow_validations_are_rare():
    plan = TrainingPlan(None, 60.0, 12, 2)
    plan.limit_validations(5.0, 0.25)
    assert plan.validations == 3
    plan.limit_validations(50.0, 0.25)
    assert plan.validations == 2
    steps = TrainingPlan(100, None, 12, 2)
    steps.limit_validations(50.0, 0.25)
    assert steps.validations == 12
