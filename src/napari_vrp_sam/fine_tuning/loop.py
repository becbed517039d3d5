"""The training itself: folds in turn, a step at a time."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch

from napari_vrp_sam.errors import InputError
from napari_vrp_sam.fine_tuning.clock import Clock, TrainingPlan
from napari_vrp_sam.fine_tuning.events import TrainingStep, Validation
from napari_vrp_sam.fine_tuning.interrupted.checkpoint import Checkpoint, Scores
from napari_vrp_sam.fine_tuning.recipe import FineTuningRecipe
from napari_vrp_sam.fine_tuning.tunable.base import FoldEvaluation, BatchStream, TunableModel
from napari_vrp_sam.fine_tuning.tunable.candidate import Candidate
from napari_vrp_sam.inference.runs.control import Control
from napari_vrp_sam.inference.runs.events import JobEvent


class TrainingLoop:
    """One candidate for each fold; they take turns, so that one curve tells of all.

    Parameters
    ----------
    subject : TunableModel
    streams : sequence of BatchStream
        Of each candidate.
    exams : sequence of FoldEvaluation
        Of each fold.
    candidates : sequence of Candidate
        Of each fold; a further one learns from everything.
    turns : sequence of int
        Which candidate learns at a step: these numbers over and over.
    plan : TrainingPlan
    scores : Scores
    clock : Clock
    checkpoint : Checkpoint
    recipe : FineTuningRecipe
    seed : int
        Of dropout.
    device : torch.device
    """

    def __init__(
        self,
        subject: TunableModel,
        streams: Sequence[BatchStream],
        exams: Sequence[FoldEvaluation],
        candidates: Sequence[Candidate],
        *,
        turns: Sequence[int],
        plan: TrainingPlan,
        scores: Scores,
        clock: Clock,
        checkpoint: Checkpoint,
        recipe: FineTuningRecipe,
        seed: int,
        device: torch.device,
    ) -> None:
        self._subject = subject
        self._streams = streams
        self._exams = exams
        self._candidates = candidates
        self._turns = turns
        self._plan, self._scores, self._clock = plan, scores, clock
        self._checkpoint = checkpoint
        self._recipe = recipe
        self._seed = seed
        self._device = device
        self._saved = time.monotonic()

    def events(self, control: Control) -> Iterator[JobEvent]:
        """Train to the end of the plan, or until nothing is gained any more."""
        plan = self._plan
        while plan.step < plan.steps and not self._waited:
            try:
                self._clock.wait(control)
            except BaseException:
                self._save()
                raise
            start = time.monotonic()
            loss = self._step(plan.step)
            plan.step += 1
            self._clock.stepped(time.monotonic() - start)
            yield TrainingStep(plan.step, plan.steps, loss, self._clock.seconds_left)
            if plan.due:
                start = time.monotonic()
                yield self._validate()
                self._clock.validated(time.monotonic() - start)
            if time.monotonic() - self._saved > self._recipe.checkpoint_seconds:
                self._save()
        self._save()

    @property
    def _waited(self) -> bool:
        """Whether nothing is gained any more; new weights are good at the end of the decay."""
        patient = self._subject.trains_on_all_frames
        return not patient and self._scores.since >= self._recipe.patience

    def _save(self) -> None:
        self._clock.tick()
        self._checkpoint.save(self._plan, self._scores, self._candidates)
        self._saved = time.monotonic()

    def held_out_iou(self) -> float:
        """Mean over the folds, each with the weights that have not seen what it holds out."""
        ious = []
        # Who learns from everything cannot be examined.
        for evaluation, candidate in zip(self._exams, self._candidates, strict=False):
            candidate.enter()
            ious.append(evaluation.iou())
        return float(np.mean(ious))

    def _validate(self) -> Validation:
        iou = self.held_out_iou()
        scores = self._scores
        if iou > scores.best:
            scores.best, scores.best_step, scores.since = iou, self._plan.step, 0
            for candidate in self._candidates:
                candidate.keep()
        else:
            scores.since += 1
        return Validation(self._plan.step, iou, scores.best)

    def _step(self, number: int) -> float:
        """One step of the fold whose turn it is; the mean loss of its episodes."""
        # Dropout too is a function of seed and step: a resumed run repeats an undisturbed one.
        torch.manual_seed(int(np.random.default_rng([self._seed, number]).integers(2**62)))
        turn = self._turns[number % len(self._turns)]
        candidate = self._candidates[turn]
        candidate.enter()
        batch = self._streams[turn].batch(number)
        while True:
            try:
                loss = self._accumulate(batch)
                break
            except RuntimeError as error:
                if not is_out_of_memory(error):
                    raise
                self._halve()
        candidate.learn(learning_rate_factor(number, self._plan.steps, self._recipe.warm_up))
        return loss

    def _accumulate(self, batch: dict[str, Any]) -> float:
        """Gradients of a batch, in as many parts as memory asks for."""
        count, total = len(batch["kinds"]), 0.0
        for parameter in self._subject.parameters.values():
            parameter.grad = None
        for start in range(0, count, self._plan.micro_batch):
            part = _part(batch, start, start + self._plan.micro_batch, self._device)
            loss = self._subject.loss(part) * len(part["kinds"]) / count
            loss.backward()  # type: ignore[no-untyped-call]
            total += float(loss.detach())
        return total

    def _halve(self) -> None:
        if self._plan.micro_batch <= 1:
            raise InputError(
                "Memory does not suffice to train this model, even with one episode at a time: "
                "close other programs, or choose a smaller model or the device 'cpu'."
            )
        self._plan.micro_batch //= 2
        if self._device.type == "cuda":
            torch.cuda.empty_cache()


def learning_rate_factor(step: int, steps: int, warm_up: int) -> float:
    """Learning rate of a step as a share of its peak: a short rise, then a cosine to 0."""
    rise = min(1.0, (step + 1) / warm_up) if warm_up else 1.0
    return rise * 0.5 * (1 + math.cos(math.pi * min(1.0, step / max(steps, 1))))


def is_out_of_memory(error: RuntimeError) -> bool:
    """Whether an error says that memory ran out, on whatever device."""
    text = str(error).lower()
    return "out of memory" in text or "can't allocate memory" in text


def _part(batch: dict[str, Any], start: int, stop: int, device: torch.device) -> dict[str, Any]:
    """Some episodes of a batch, on the device."""
    return {
        key: value[start:stop].to(device)
        if isinstance(value, torch.Tensor)
        else value[start:stop]
        if isinstance(value, list)
        else value
        for key, value in batch.items()
    }
