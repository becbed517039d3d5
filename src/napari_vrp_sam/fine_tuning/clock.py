"""Time budget of a training run."""

from __future__ import annotations

import time
from dataclasses import dataclass

from napari_vrp_sam.inference.runs.control import Control


@dataclass
class TrainingPlan:
    """Position in a training run and its planned length; part of the checkpoint.

    Attributes
    ----------
    step, steps : int
        Steps done, and steps in total.
    validations, validated : int
        Validations in total, and validations done; that of the base model does not count.
    seconds : float
        Time spent so far by all starts of the run, without pauses.
    micro_batch : int
        Episodes that fit into memory at once.
    """

    step: int
    steps: int
    validations: int
    validated: int
    seconds: float
    micro_batch: int

    @property
    def validation_due(self) -> bool:
        """True if the next validation should run now."""
        return self.step * self.validations >= (self.validated + 1) * self.steps


class Clock:
    """Measure a training run, and fit its number of steps to a budget of seconds, if any.

    The plan is updated in place. `start` is the `time.monotonic` at the start of this process's
    share of the run.
    """

    def __init__(self, plan: TrainingPlan, budget: float | None, start: float) -> None:
        self._plan = plan
        self._budget = budget
        self._seconds_before = plan.seconds
        self._start = start
        self._step_seconds = 0.0
        self._steps_measured = 0
        self._validation_seconds = 0.0

    def wait(self, control: Control) -> None:
        """Block while the run is paused, off the clock; raise if it is cancelled."""
        before = time.monotonic()
        control.check()
        self._start += time.monotonic() - before

    def tick(self) -> None:
        """Update the elapsed time of the plan."""
        self._plan.seconds = self._seconds_before + time.monotonic() - self._start

    def record_step(self, seconds: float) -> None:
        """Record the duration of a step."""
        self._steps_measured += 1
        # A moving average: the load of the machine changes.
        weight = max(1 / self._steps_measured, 0.05)
        self._step_seconds += weight * (seconds - self._step_seconds)
        self.tick()
        if self._steps_measured in (2, 4, 8, 16):
            self._replan()

    def record_validation(self, seconds: float) -> None:
        """Record the duration of a validation."""
        self._plan.validated += 1
        self._validation_seconds = seconds
        self.tick()
        if self._plan.step < self._plan.steps:
            self._replan()

    def limit_validations(self, seconds: float, share: float) -> None:
        """Reduce the number of validations to a share of the budget if one takes `seconds`."""
        self._validation_seconds = seconds
        if self._budget is not None:
            affordable = int(share * self._budget / max(seconds, 1e-3))
            self._plan.validations = max(2, min(self._plan.validations, affordable))

    @property
    def seconds_left(self) -> float:
        """Estimated time to the end of the run."""
        return (self._plan.steps - self._plan.step) * self._step_seconds + self._validation_time

    @property
    def _validation_time(self) -> float:
        left = max(0, self._plan.validations - self._plan.validated)
        return left * self._validation_seconds

    def _replan(self) -> None:
        if self._budget is not None:
            plan = self._plan
            left = self._budget - plan.seconds - self._validation_time
            plan.steps = plan.step + max(1, int(left / max(self._step_seconds, 1e-6)))
