"""Training loop over the folds."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from napari_vrp_sam.errors import InputError
from napari_vrp_sam.fine_tuning.clock import TrainingPlan
from napari_vrp_sam.fine_tuning.data.ahead import BatchesAhead
from napari_vrp_sam.fine_tuning.data.annotated_frames import Fold
from napari_vrp_sam.fine_tuning.events import TrainingStep, Validation
from napari_vrp_sam.fine_tuning.interrupted.checkpoint import Checkpoint, Scores
from napari_vrp_sam.fine_tuning.recipe import FineTuningRecipe
from napari_vrp_sam.fine_tuning.tunable.base import BatchStream, FoldEvaluation, TunableModel
from napari_vrp_sam.fine_tuning.tunable.candidate import Candidate, set_weights
from napari_vrp_sam.inference.runs.control import Control, StopRunError
from napari_vrp_sam.inference.runs.events import Event, Progress
from napari_vrp_sam.models.devices import is_out_of_memory


@dataclass(eq=False)
class TrainingLoop:
    """Train one candidate per fold in turn, so that a single curve shows the progress of all.

    There is one stream per candidate. A candidate beyond the number of folds trains on all frames.
    `turns` lists the candidates to train, step by step, repeatedly. `scores` are None until the
    base model, whose weights are `base`, was measured, which is done before the first validation.
    """

    tunable: TunableModel
    base: Mapping[str, torch.Tensor]
    streams: Sequence[BatchStream]
    folds: Sequence[Fold]
    candidates: Sequence[Candidate]
    turns: Sequence[int]
    plan: TrainingPlan
    scores: Scores | None
    checkpoint: Checkpoint
    recipe: FineTuningRecipe
    seed: int
    device: torch.device
    _evaluations: list[FoldEvaluation] = field(default_factory=list)

    def events(self, control: Control) -> Iterator[Event]:
        """Train to the end of the plan, or until the held-out IoU no longer improves."""
        try:
            with BatchesAhead(self._make_batch) as batches:
                yield from self._train(control, batches)
        except StopRunError:
            self._save()
            raise
        self._save()

    def _train(self, control: Control, batches: BatchesAhead) -> Iterator[Event]:
        plan = self.plan
        saved = time.monotonic()
        while True:
            # Before the step: a run may have been cancelled when a validation was due.
            if plan.validation_due:
                yield from self._validate(control)
            if plan.finished or self.converged:
                return
            control.check()
            start = time.monotonic()
            loss = self._step(plan.step, batches.batch(plan.step))
            plan.record_step(time.monotonic() - start)
            yield TrainingStep(
                plan.step, plan.expected_steps, loss, plan.seconds_left, plan.seconds, plan.budget
            )
            if time.monotonic() - saved > self.recipe.checkpoint_seconds:
                self._save()
                saved = time.monotonic()

    def measure_base(self, control: Control) -> Iterator[Event]:
        """Prepare the validation, unless it is prepared, and measure the base model."""
        if self._evaluations:
            return
        yield Progress(0, 1, "Measuring the base model on held-out annotation", "evaluating")
        evaluations = []
        for fold in self.folds:
            control.check()
            # The probes and encoded references are those of the base model.
            set_weights(self.tunable.parameters, self.base)
            evaluations.append(FoldEvaluation(self.tunable, fold, self.recipe, self.device))
        self._evaluations = evaluations
        if self.scores is None:
            start = time.monotonic()
            before = self.mean_iou()
            seconds = time.monotonic() - start
            self.plan.limit_validations(seconds, self.recipe.validation_share)
            self.scores = Scores(before, before)
            yield Validation(0, before, before)

    def held_out_iou(self) -> float:
        """Return the mean IoU over the folds, each with the weights of its own candidate."""
        ious = []
        # A candidate that trains on all frames has no held-out frame.
        for evaluation, candidate in zip(self._evaluations, self.candidates, strict=False):
            candidate.activate()
            ious.append(evaluation.iou())
        return float(np.mean(ious))

    def mean_iou(self) -> float:
        """Return the mean IoU over the folds with the present weights of the model."""
        return float(np.mean([evaluation.iou() for evaluation in self._evaluations]))

    @property
    def converged(self) -> bool:
        """True if the held-out IoU no longer improves."""
        # Randomly initialised weights are best at the end of the learning rate's decay.
        if self.tunable.trains_on_all_frames or self.scores is None:
            return False
        return self.scores.since >= self.recipe.patience

    def _make_batch(self, number: int) -> dict[str, Any]:
        return self.streams[self.turns[number % len(self.turns)]].batch(number)

    def _save(self) -> None:
        self.checkpoint.save(self.plan, self.scores, self.candidates)

    def _validate(self, control: Control) -> Iterator[Event]:
        yield from self.measure_base(control)
        if not self.plan.validation_due:  # validations turned out to be slow
            return
        assert self.scores is not None
        iou, scores = self.held_out_iou(), self.scores
        if iou > scores.best:
            scores.best, scores.best_step, scores.since = iou, self.plan.step, 0
            for candidate in self.candidates:
                candidate.save_best()
        else:
            scores.since += 1
        self.plan.record_validation()
        yield Validation(self.plan.step, iou, scores.best)

    def _step(self, number: int, batch: dict[str, Any]) -> float:
        """Train one candidate on a batch, and return its mean loss."""
        # Seeding each step makes dropout the same in a resumed run.
        torch.manual_seed(int(np.random.default_rng([self.seed, number]).integers(2**62)))
        turn = self.turns[number % len(self.turns)]
        candidate = self.candidates[turn]
        candidate.activate()
        while True:
            try:
                loss = self._accumulate(batch)
                break
            except RuntimeError as error:
                if not is_out_of_memory(error):
                    raise
                self._halve_micro_batch()
        candidate.update(learning_rate_factor(number, self.plan.progress, self.recipe.warm_up))
        return loss

    def _accumulate(self, batch: dict[str, Any]) -> float:
        """Accumulate the gradients of a batch in micro-batches that fit into memory."""
        count, total = len(batch["kinds"]), 0.0
        for parameter in self.tunable.parameters.values():
            parameter.grad = None
        for start in range(0, count, self.plan.micro_batch):
            micro_batch = {
                key: _slice(value, start, start + self.plan.micro_batch, self.device)
                for key, value in batch.items()
            }
            loss = self.tunable.loss(micro_batch) * len(micro_batch["kinds"]) / count
            loss.backward()
            total += float(loss.detach())
        return total

    def _halve_micro_batch(self) -> None:
        if self.plan.micro_batch <= 1:
            raise InputError(
                "There is not enough memory to train this model, even with one episode at a time: "
                "close other programs, or choose a smaller model or the device 'cpu'."
            )
        self.plan.micro_batch //= 2
        if self.device.type == "cuda":
            torch.cuda.empty_cache()


def learning_rate_factor(step: int, progress: float, warm_up: int) -> float:
    """Return the learning rate as a share of its peak: linear warm-up, then cosine decay to 0.

    `step` is the number of steps done, `progress` the share of the run that is done.
    """
    rise = min(1.0, (step + 1) / warm_up) if warm_up else 1.0
    return rise * 0.5 * (1 + math.cos(math.pi * progress))


def _slice(value: Any, start: int, stop: int, device: torch.device) -> Any:
    if isinstance(value, torch.Tensor):
        return value[start:stop].to(device)
    return value[start:stop] if isinstance(value, list) else value
