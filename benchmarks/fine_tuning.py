"""Benefit of fine-tuning: the default model before and after, and a U-Net for comparison.

    export VRP_SAM_DATA=...
    python benchmarks/fine_tuning.py evaluate --references 1 --json one.json
    python benchmarks/fine_tuning.py evaluate --references 5 --unet-minutes 30 --json five.json

Runs the one-slice protocol: one or five frames of each sequence are annotated with all classes and
are the only labels for fine-tuning. `seconds_to_learn` includes validation and the probe.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from napari_vrp_sam.annotations.reference import Reference
from napari_vrp_sam.files import write_json
from napari_vrp_sam.fine_tuning.events import FineTuningResult
from napari_vrp_sam.fine_tuning.job import FineTuneJob
from napari_vrp_sam.inference.runs.engine import ThreadEngine
from napari_vrp_sam.inference.runs.events import Failed
from napari_vrp_sam.models.zoo.registry import load_model
from napari_vrp_sam.research.datasets.open import find_datasets
from napari_vrp_sam.research.protocols.model_method import ModelMethod
from napari_vrp_sam.research.protocols.one_slice import (
    Frame,
    Method,
    SegmentFrame,
    evaluate_dataset,
    mean_over_datasets,
)

SPARED = 5


class FineTunedLite:
    """Method of the one-slice protocol that fine-tunes `lite` on the references."""

    def __init__(self, minutes: float | None, steps: int | None, device: str) -> None:
        self.minutes = minutes
        self.steps = steps
        self.device = device
        self.outcomes: list[dict[str, Any]] = []
        """Held-out IoU of each fine-tuning, and whether the new model was accepted (`kept`)."""

    def __call__(self, frames: Sequence[Frame], references: Sequence[Reference]) -> SegmentFrame:
        """Fine-tune, then learn the references; see `one_slice.Method`."""
        height, width = (min(f.shape[axis] for f in frames) for axis in (0, 1))
        with tempfile.TemporaryDirectory() as folder:
            job = FineTuneJob(
                # Frames of a group may differ in size; only their intensities are used.
                np.stack([frame[:height, :width] for frame in frames]),
                references=references,
                output=Path(folder) / "tuned.safetensors",
                axes="TYXC",
                minutes=self.minutes,
                steps=self.steps,
                device=self.device,
            )
            outcome = None
            for event in ThreadEngine().submit(job).events():
                if isinstance(event, Failed):
                    raise RuntimeError(event.message + event.detail)
                if isinstance(event, FineTuningResult):
                    outcome = event
            assert outcome is not None
            self.outcomes.append(
                {
                    "kept": outcome.path is not None,
                    "iou_before": outcome.iou_before,
                    "iou_after": outcome.iou_after,
                }
            )
            model = load_model(outcome.path or "lite")
        return ModelMethod(model, self.device)(frames, references)


def main(
    data: Annotated[list[str], typer.Argument(help="Datasets; see vrp-sam evaluate one-slice.")],
    json: Annotated[Path, typer.Option(help="Write the results to this file, after each dataset.")],
    references: Annotated[int, typer.Option(help="References per class.")] = 1,
    minutes: Annotated[
        float | None, typer.Option(help="Minutes of fine-tuning. Default: 3 on a CPU, 1 on a GPU.")
    ] = None,
    steps: Annotated[
        int | None, typer.Option(help="Steps of fine-tuning, instead of minutes.")
    ] = None,
    unet_minutes: Annotated[
        float, typer.Option(help="Also train a U-Net, for at most these minutes; 0 for none.")
    ] = 0,
    max_frames: Annotated[int | None, typer.Option(help="Frames per sequence.")] = 8,
    max_sequences: Annotated[int | None, typer.Option(help="Sequences per dataset.")] = 1,
    device: Annotated[str, typer.Option(help="cpu, cuda or mps.")] = "cpu",
) -> None:
    """Evaluate the default model, the fine-tuned model and, optionally, a U-Net."""
    tuned = FineTunedLite(minutes, steps, device)
    methods: dict[str, Method] = {
        "lite": ModelMethod(load_model("lite"), device),
        "fine-tuned": tuned,
    }
    if unet_minutes:
        from unet import MonaiUNet

        methods["U-Net"] = MonaiUNet(minutes=unet_minutes, device=device)
    results: dict[str, Any] = {}
    for dataset in find_datasets(data):
        tuned.outcomes.clear()
        results[dataset.name] = evaluate_dataset(
            dataset,
            methods,
            references=references,
            spared=SPARED if references > 1 else 1,
            max_frames=max_frames,
            max_sequences=max_sequences,
        )
        for scores in results[dataset.name].values():
            del scores["confidences"]
        results[dataset.name]["fine-tuned"]["outcomes"] = list(tuned.outcomes)
        means = {m: r["mean_iou"] for m, r in results[dataset.name].items()}
        typer.echo(f"{dataset.name}: {means}")
        write_json(
            json,
            {
                "references": references,
                "max_frames": max_frames,
                "max_sequences": max_sequences,
                "device": device,
                "mean_iou": mean_over_datasets(results),
                "datasets": results,
            },
        )


if __name__ == "__main__":
    typer.run(main)
