"""Plan of a training run: a number of steps, or a budget of training time."""

from __future__ import annotations

from dataclasses import dataclass

WEIGHT = 0.05
"""Weight of a new step in the moving average of their durations: the load of a machine changes."""


@dataclass
class TrainingPlan:
    """Position in a training run, and its length; part of the checkpoint.

    The run ends after a number of steps or, if `steps` is None, when the budget is used up. Only
    training steps count: not the loading of the model, the validations and pauses.

    Attributes
    ----------
    steps : int or None
        Steps in total.
    budget : float or None
        Seconds of training in total; None if the number of steps is given.
    validations : int
        Validations in total; that of the base model does not count.
    micro_batch : int
        Episodes that fit into memory at once.
    step : int
        Steps done.
    validated : int
        Validations done.
    seconds : float
        Duration of all steps so far, by all starts of the run.
    step_seconds : float
        Moving average of the duration of a step.
    """

    steps: int | None
    budget: float | None
    validations: int
    micro_batch: int
    step: int = 0
    validated: int = 0
    seconds: float = 0.0
    step_seconds: float = 0.0

    @property
    def finished(self) -> bool:
        """True after the last step; there is at least one."""
        if self.steps is not None:
            return self.step >= self.steps
        assert self.budget is not None
        # Half a step too early is as good as half a step too late.
        return self.step > 0 and self.seconds + self.step_seconds / 2 >= self.budget

    @property
    def progress(self) -> float:
        """Share of the run that is done, 0..1."""
        if self.finished:
            return 1.0
        if self.steps is not None:
            return self.step / self.steps
        assert self.budget is not None
        return self.seconds / self.budget

    @property
    def validation_due(self) -> bool:
        """True if the next validation should run now."""
        return self.progress * self.validations >= self.validated + 1

    @property
    def expected_steps(self) -> int:
        """Steps in total, estimated from the budget as soon as a step was measured."""
        if self.steps is not None:
            return self.steps
        if self.finished or not self.step_seconds:
            return max(self.step, 1)
        return self.step + max(1, round(self.seconds_left / self.step_seconds))

    @property
    def seconds_left(self) -> float:
        """Estimated training time that is left; never more than is left of the budget."""
        if self.steps is not None:
            return (self.steps - self.step) * self.step_seconds
        assert self.budget is not None
        return 0.0 if self.finished else self.budget - self.seconds

    def record_step(self, seconds: float) -> None:
        """Record a step and its duration."""
        self.step += 1
        self.seconds += seconds
        # First steps are slower, so the average starts as a plain mean.
        self.step_seconds += max(1 / self.step, WEIGHT) * (seconds - self.step_seconds)

    def record_validation(self) -> None:
        """Record a validation."""
        # A long step may reach beyond several due validations: one is enough for all of them.
        self.validated = max(self.validated + 1, int(self.progress * self.validations))

    def limit_validations(self, seconds: float, share: float) -> None:
        """Reduce the number of validations of `seconds` each to a share of the budget, if any."""
        if self.budget is not None:
            affordable = int(share * self.budget / max(seconds, 1e-3))
            self.validations = max(2, min(self.validations, affordable))
