"""What fine-tuning brings: the default before and after, against a U-Net trained on the same.

    export VRP_SAM_DATA=...
    python benchmarks/fine_tuning.py evaluate --references 1 --json one.json
    python benchmarks/fine_tuning.py evaluate --references 5 --unet-minutes 30 --json five.json

The one-slice protocol: the middle frame of each sequence is annotated (or five frames are), with
all classes; the fine-tuning sees nothing else of the sequence's labels. `minutes` is what a user
waits; `seconds_to_learn` holds the whole of it, validation and probe included.
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
    Segment,
    evaluate_dataset,
    mean_over_datasets,
)

SPARED = 5


class FineTunedLite:
    """`lite`, fine-tuned on the references before it segments; a one-slice method."""

    def __init__(self, minutes: float | None, steps: int | None, device: str) -> None:
        self.minutes = minutes
        self.steps = steps
        self.device = device
        self.outcomes: list[dict[str, Any]] = []
        """Of each fine-tuning: whether the new model was kept, and the held-out IoU."""

    def __call__(self, frames: Sequence[Frame], references: Sequence[Reference]) -> Segment:
        """Fine-tune, then set the references; see `evaluation.one_slice.Method`."""
        height, width = (min(f.shape[axis] for f in frames) for axis in (0, 1))
        with tempfile.TemporaryDirectory() as folder:
            job = FineTuneJob(
                # Frames of a group may differ in size; only their intensities are looked at.
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
    data: Annotated[list[str], typer.Argument(help="Data sets; see vrp-sam evaluate one-slice.")],
    json: Annotated[Path, typer.Option(help="Write the results here, after every data set.")],
    references: Annotated[int, typer.Option(help="Annotated frames of a class.")] = 1,
    minutes: Annotated[
        float | None, typer.Option(help="To fine-tune; 3 on a CPU, 1 on a GPU.")
    ] = None,
    steps: Annotated[int | None, typer.Option(help="Instead of minutes.")] = None,
    unet_minutes: Annotated[
        float, typer.Option(help="Train a U-Net too, so long at most; 0 for none.")
    ] = 0,
    max_frames: Annotated[int | None, typer.Option(help="Thin longer sequences out.")] = 8,
    max_sequences: Annotated[int | None, typer.Option(help="Sequences of each set.")] = 1,
    device: Annotated[str, typer.Option(help="Of all methods: cpu, cuda or mps.")] = "cpu",
) -> None:
    """Measure the default, its fine-tuned self, and perhaps a U-Net."""
    tuned = FineTunedLite(minutes, steps, device)
    methods: dict[str, Method] = {
        "lite": ModelMethod(load_model("lite"), device),
        "fine-tuned": tuned,
    }
    if unet_minutes:
        from unet import MonaiUNet

        methods["U-Net"] = MonaiUNet(minutes=unet_minutes, device=device)
    measured: dict[str, Any] = {}
    for dataset in find_datasets(data):
        tuned.outcomes.clear()
        measured[dataset.name] = evaluate_dataset(
            dataset,
            methods,
            references=references,
            spared=SPARED if references > 1 else 1,
            max_frames=max_frames,
            max_sequences=max_sequences,
        )
        for scores in measured[dataset.name].values():
            del scores["confidences"]
        measured[dataset.name]["fine-tuned"]["outcomes"] = list(tuned.outcomes)
        means = {m: r["mean_iou"] for m, r in measured[dataset.name].items()}
        typer.echo(f"{dataset.name}: {means}")
        write_json(
            json,
            {
                "references": references,
                "max_frames": max_frames,
                "max_sequences": max_sequences,
                "device": device,
                "mean_iou": mean_over_datasets(measured),
                "datasets": measured,
            },
        )


if __name__ == "__main__":
    typer.run(main)
