"""Number of steps that fit into a time budget."""

from __future__ import annotations

import pytest

from napari_vrp_sam.fine_tuning import clock as clock_module
from napari_vrp_sam.fine_tuning.clock import Clock, TrainingPlan


class ManualTime:
    """Replacement of the `time` module."""

    now = 100.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def time(monkeypatch):
    manual = ManualTime()
    monkeypatch.setattr(clock_module, "time", manual)
    return manual


def new_plan(steps=1000, validations=4):
    return TrainingPlan(0, steps, validations, 0, 0.0, 2)


def train(time, plan, clock, step_seconds, validation_seconds=0.0):
    """Simulate the training loop; return the steps after which it validates."""
    validated = []
    while plan.step < plan.steps:
        plan.step += 1
        seconds = step_seconds(plan.step)
        time.now += seconds
        clock.record_step(seconds)
        if plan.validation_due:
            time.now += validation_seconds
            clock.record_validation(validation_seconds)
            validated.append(plan.step)
    return validated


def test_number_of_steps_is_fixed_without_a_budget(time):
    plan = new_plan(steps=10)
    validated = train(time, plan, Clock(plan, None, time.now), lambda _: 99.0)
    assert (plan.step, validated) == (10, [3, 5, 8, 10])
    assert plan.seconds == 990


@pytest.mark.parametrize(
    "step_seconds",
    [
        lambda _: 0.5,
        lambda step: 5.0 if step == 1 else 0.5,  # slow first step
        lambda step: 0.5 if step < 40 else 1.0,  # another program starts
        lambda step: 0.5 if step % 2 else 0.1,
    ],
)
def test_run_uses_its_budget(time, step_seconds):
    plan = new_plan()
    clock = Clock(plan, 60, time.now - 10)  # the loading of the model counts
    validated = train(time, plan, clock, step_seconds, validation_seconds=1.0)
    assert 52 < plan.seconds < 66
    assert 2 <= len(validated) <= 6
    assert validated[-1] == plan.step
    assert clock.seconds_left == pytest.approx(0, abs=2)


def test_resumed_run_uses_the_rest_of_its_budget(time):
    plan = new_plan()
    plan.seconds = 45
    train(time, plan, Clock(plan, 60, time.now), lambda _: 0.5)
    assert 58 < plan.seconds < 62
    assert plan.step == pytest.approx(30, abs=3)


def test_tiny_budget_allows_a_few_steps_and_a_validation(time):
    plan = new_plan()
    validated = train(time, plan, Clock(plan, 0.01, time.now), lambda _: 0.5)
    assert 1 <= plan.step <= 4
    assert validated[-1] == plan.step


def test_slow_validations_are_rare(time):
    plan = new_plan(validations=12)
    clock = Clock(plan, 60, time.now)
    clock.limit_validations(5.0, 0.25)
    assert plan.validations == 3
    clock.limit_validations(50.0, 0.25)
    assert plan.validations == 2


def test_pauses_do_not_count(time):
    class PausedControl:
        def check(self):
            time.now += 30

    plan = new_plan()
    clock = Clock(plan, 60, time.now)
    time.now += 2
    clock.wait(PausedControl())
    clock.tick()
    assert plan.seconds == 2
