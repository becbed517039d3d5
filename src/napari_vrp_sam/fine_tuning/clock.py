"""How many steps there is time for."""

from __future__ import annotations

import time
from dataclasses import dataclass

from napari_vrp_sam.inference.runs.control import Control


@dataclass
class TrainingPlan:
    """How far a run is and how far it is to go; kept in its checkpoint.

    Attributes
    ----------
    step, steps : int
        Steps done, and steps in all.
    validations, validated : int
        Examinations in all, and those done; that of the base model does not count.
    seconds : float
        Spent until now, by all starts of the run together; pauses do not count.
    micro_batch : int
        Episodes that memory takes at once.
    """

    step: int
    steps: int
    validations: int
    validated: int
    seconds: float
    micro_batch: int

    @property
    def due(self) -> bool:
        """Whether the model is to be examined now."""
        return self.step * self.validations >= (self.validated + 1) * self.steps


class Clock:
    """Measures a run, and plans the rest of it where time is what the user gave.

    Parameters
    ----------
    plan : TrainingPlan
    budget : float, optional
        Seconds in all; without, the steps of the plan stand.
    start : float
        When this start of the run began, as `time.monotonic` says it.
    """

    def __init__(self, plan: TrainingPlan, budget: float | None, start: float) -> None:
        self._plan = plan
        self._budget = budget
        self._before = plan.seconds
        self._start = start
        self._per_step = 0.0
        self._steps_measured = 0
        self._per_validation = 0.0

    def wait(self, control: Control) -> None:
        """Wait while paused, which costs none of the time; raises where the run is cancelled."""
        before = time.monotonic()
        control.check()
        self._start += time.monotonic() - before

    def tick(self) -> None:
        """Bring the plan's seconds up to now."""
        self._plan.seconds = self._before + time.monotonic() - self._start

    def stepped(self, seconds: float) -> None:
        """Take note of a step, and plan the rest anew where it is time to."""
        self._steps_measured += 1
        # The latest count most: a machine has other things to do now and then.
        share = max(1 / self._steps_measured, 0.05)
        self._per_step += share * (seconds - self._per_step)
        self.tick()
        if self._budget is not None and self._steps_measured in (2, 4, 8, 16):
            self._replan()

    def validated(self, seconds: float) -> None:
        """Take note of a validation, and plan the rest anew."""
        self._plan.validated += 1
        self._per_validation = seconds
        self.tick()
        if self._budget is not None and self._plan.step < self._plan.steps:
            self._replan()

    def limit_validations(self, seconds: float, share: float) -> None:
        """Have fewer validations where one takes long."""
        self._per_validation = seconds
        if self._budget is not None:
            affordable = int(share * self._budget / max(seconds, 1e-3))
            self._plan.validations = max(2, min(self._plan.validations, affordable))

    @property
    def seconds_left(self) -> float:
        """Until the end, about."""
        left = self._plan.steps - self._plan.step
        return left * self._per_step + self._validations_left * self._per_validation

    @property
    def _validations_left(self) -> int:
        return max(0, self._plan.validations - self._plan.validated)

    def _replan(self) -> None:
        assert self._budget is not None
        plan = self._plan
        left = self._budget - plan.seconds - self._validations_left * self._per_validation
        plan.steps = plan.step + max(1, int(left / max(self._per_step, 1e-6)))
