"""Seconds of fine-tuning by part, before and after: the plain way, and that of the package.

    python benchmarks/training_step.py --json training-step.json

Both ways are measured in turn in one process, so that other load affects both alike; seconds are
those of the CPU. The plain way measures the base model and segments a preview before the first
step, trains a dense head on three crops of 192 pixels, and encodes every episode of the decoder.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import typer
from torch import Tensor

from napari_vrp_sam.annotations.labels import references_from_labels
from napari_vrp_sam.files import write_json
from napari_vrp_sam.fine_tuning.data.annotated_frames import annotated_frames, make_folds
from napari_vrp_sam.fine_tuning.job import FineTuneJob, TrainableParts
from napari_vrp_sam.fine_tuning.preview import FramePreview
from napari_vrp_sam.fine_tuning.recipe import RECIPE, FineTuningRecipe
from napari_vrp_sam.fine_tuning.run import tunable_model
from napari_vrp_sam.fine_tuning.tunable.base import BatchStream, FoldEvaluation, TunableModel
from napari_vrp_sam.fine_tuning.tunable.candidate import Candidate
from napari_vrp_sam.inference.frames import Frames
from napari_vrp_sam.inference.normalisation import Normalisation
from napari_vrp_sam.io.samples import sample_stack
from napari_vrp_sam.models.zoo.registry import load_model
from napari_vrp_sam.training.objective import episodic_loss

PLAIN = replace(
    RECIPE,
    head_crop=192,
    head_batch=3,
    lite_pool=10**9,
    validation_side=768,
    validation_references=10**9,
)
Seconds = dict[str, list[float]]


class Measured:
    """A model in training, one of the two ways."""

    def __init__(
        self, stack: Any, labels: Any, parts: TrainableParts, recipe: FineTuningRecipe
    ) -> None:
        references = [
            r for f in (1, 2) for r in references_from_labels(labels[f], stack[f], frame=f)
        ]
        job = FineTuneJob(
            stack, references=references, output=Path("tuned.safetensors"), axes="ZYX", parts=parts
        )
        self.recipe = recipe
        self.normalisation = Normalisation.fit(Frames(stack, "ZYX"))
        self.frames = annotated_frames(references, self.normalisation)
        self.image = self.normalisation.apply(Frames(stack, "ZYX")[3])
        self.tunable: TunableModel = tunable_model(
            load_model("lite"), job, recipe, self.normalisation
        )
        self.candidate = Candidate(self.tunable.parameters, recipe, self.tunable.learning_rate)
        self.candidate.activate()
        self.stream: BatchStream = self.tunable.stream(self.frames, 0)
        self.seconds: Seconds = {}

    def measure_before_training(self) -> None:
        """Measure what the plain way does before its first step."""
        device = torch.device("cpu")
        (fold,) = make_folds(self.frames, 1)
        with self._timed("measure the base model"):
            FoldEvaluation(self.tunable, fold, self.recipe, device).iou()
        with self._timed("segment the preview"):
            FramePreview(self.tunable, self.frames, self.image, 3, self.recipe, device)

    def step(self, number: int, loss: Callable[[dict[str, Any]], Tensor]) -> None:
        """Measure the parts of a step."""
        with self._timed("batch"):
            batch = self.stream.batch(number)
        with self._timed("forward"):
            value = loss(batch)
        with self._timed("backward"):
            value.backward()
        with self._timed("update"):
            self.candidate.update(1.0)

    @contextmanager
    def _timed(self, part: str) -> Iterator[None]:
        start = time.process_time()
        yield
        self.seconds.setdefault(part, []).append(time.process_time() - start)

    def first_step(self) -> float:
        """Return the seconds of the first step, which has no measurement before it."""
        return sum(self.seconds[part][0] for part in ("batch", "forward", "backward", "update"))

    def medians(self, skipped: int) -> dict[str, float]:
        """Return the median seconds of each part, without the first steps."""
        parts = {
            part: float(np.median(values[skipped:] if len(values) > skipped else values))
            for part, values in self.seconds.items()
        }
        step = sum(parts[part] for part in ("batch", "forward", "backward", "update"))
        return {**parts, "step": step}


def plain_loss(measured: Measured, parts: TrainableParts) -> Callable[[dict[str, Any]], Tensor]:
    """Return the loss of the plain way: episodes of the decoder are encoded at every step."""
    if parts == "head":
        return measured.tunable.loss
    network = measured.tunable.model.network  # type: ignore[attr-defined]

    def loss(batch: dict[str, Any]) -> Tensor:
        network.train()
        value: Tensor = episodic_loss(network, batch)[0]
        network.eval()
        return value

    return loss


def main(
    json: Annotated[Path, typer.Option(help="Write the results to this file.")],
    size: Annotated[int, typer.Option(help="Height and width of the frames.")] = 512,
    steps: Annotated[int, typer.Option(help="Measured steps.")] = 12,
    pool_steps: Annotated[
        int, typer.Option(help="Steps before measuring; they fill the pool of episodes.")
    ] = 40,
) -> None:
    """Measure the dense head and the decoder of `lite`."""
    torch.set_num_threads(1)
    stack, labels = sample_stack(size=size, frames=6)
    results: dict[str, Any] = {"size": size, "steps": steps, "threads": 1}
    choices: tuple[TrainableParts, ...] = ("head", "decoder")
    for parts in choices:
        before = Measured(stack, labels, parts, PLAIN)
        after = Measured(stack, labels, parts, RECIPE)
        before.measure_before_training()
        after.measure_before_training()
        skipped = 2 if parts == "head" else pool_steps
        for number in range(skipped + steps):
            if number >= skipped - 2:
                before.step(number, plain_loss(before, parts))
            after.step(number, after.tunable.loss)
        plain, fast = before.medians(2), after.medians(skipped)
        evaluation = ("measure the base model", "segment the preview")
        first = sum(plain[part] for part in evaluation) + plain["step"]
        results[parts] = {
            "before": plain,
            "after": fast,
            "seconds_to_first_step": {"before": first, "after": after.first_step()},
            "ratios": {part: fast[part] / plain[part] for part in plain},
        }
        typer.echo(f"{parts}: {results[parts]}")
        write_json(json, results)


if __name__ == "__main__":
    typer.run(main)
