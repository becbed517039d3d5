"""How many steps there is time for."""

from __future__ import annotations

import threading
import time

import pytest

from napari_vrp_sam.fine_tuning import clock as clocks
from napari_vrp_sam.fine_tuning.clock import Clock, TrainingPlan
from napari_vrp_sam.inference.runs.control import Control


class Time:
    """A clock that is set by hand."""

    now = 100.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def hand(monkeypatch):
    time_by_hand = Time()
    monkeypatch.setattr(clocks, "time", time_by_hand)
    return time_by_hand


def plan_of(steps=1000, validations=4):
    return TrainingPlan(0, steps, validations, 0, 0.0, 2)


def train(hand, plan, clock, step_seconds, validation_seconds=0.0):
    """Do as the loop does; the number of steps before each validation."""
    examined = []
    while plan.step < plan.steps:
        plan.step += 1
        seconds = step_seconds(plan.step)
        hand.now += seconds
        clock.stepped(seconds)
        if plan.due:
            hand.now += validation_seconds
            clock.validated(validation_seconds)
            examined.append(plan.step)
    return examined


def test_given_steps_stand(hand):
    plan = plan_of(steps=10)
    examined = train(hand, plan, Clock(plan, None, hand.now), lambda _: 99.0)
    assert (plan.step, examined) == (10, [3, 5, 8, 10])
    assert plan.seconds == 990


@pytest.mark.parametrize(
    "step_seconds",
    [
        lambda _: 0.5,
        lambda step: 5.0 if step == 1 else 0.5,  # the first step is slow
        lambda step: 0.5 if step < 40 else 1.0,  # the user needs the machine too
        lambda step: 0.5 if step % 2 else 0.1,
    ],
)
def test_the_time_is_kept_and_used(hand, step_seconds):
    plan = plan_of()
    clock = Clock(plan, 60, hand.now - 10)  # loading took some of it
    examined = train(hand, plan, clock, step_seconds, validation_seconds=1.0)
    assert 52 < plan.seconds < 66
    assert 2 <= len(examined) <= 6
    assert examined[-1] == plan.step
    assert clock.seconds_left == pytest.approx(0, abs=2)


def test_a_resumed_run_has_the_time_that_is_left(hand):
    plan = plan_of()
    plan.seconds = 45
    train(hand, plan, Clock(plan, 60, hand.now), lambda _: 0.5)
    assert 58 < plan.seconds < 62
    assert plan.step == pytest.approx(30, abs=3)


def test_no_time_is_time_for_something(hand):
    plan = plan_of()
    examined = train(hand, plan, Clock(plan, 0.01, hand.now), lambda _: 0.5)
    assert 1 <= plan.step <= 4
    assert examined[-1] == plan.step


def test_long_examinations_are_rare(hand):
    plan = plan_of(validations=12)
    clock = Clock(plan, 60, hand.now)
    clock.limit_validations(5.0, 0.25)
    assert plan.validations == 3
    clock.limit_validations(50.0, 0.25)
    assert plan.validations == 2


def test_a_pause_costs_no_time():
    plan, control = plan_of(), Control()
    clock = Clock(plan, 60, time.monotonic())
    control.pause()
    threading.Timer(0.3, control.resume).start()
    start = time.monotonic()
    clock.wait(control)
    assert time.monotonic() - start >= 0.3
    clock.tick()
    assert plan.seconds < 0.2
