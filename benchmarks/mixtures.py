"""Which pseudo-mask, and how much of the mask decoder: the measurement behind the defaults.

    VRP_SAM_DATA=... python benchmarks/mixtures.py evaluate --max-frames 3 --json mixtures.json

Variants of `lite` run side by side by the one-slice protocol: the probe alone, the mask decoder
alone, mixtures of their logits, and the same with the paper's correlation as pseudo-mask.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, cast

import typer

from napari_vrp_sam.evaluation.model_method import ModelMethod
from napari_vrp_sam.evaluation.one_slice import evaluate_dataset, mean_over_datasets
from napari_vrp_sam.io.atomic import write_json
from napari_vrp_sam.io.datasets import find_datasets
from napari_vrp_sam.models.lite import LiteModel
from napari_vrp_sam.models.registry import load_model

MIXTURES = (0.0, 0.25, 0.5, 0.75, 1.0)


def main(
    data: Annotated[list[str], typer.Argument(help="Data sets; see vrp-sam evaluate one-slice.")],
    json: Annotated[Path, typer.Option(help="Write the results here.")],
    max_frames: Annotated[int | None, typer.Option(help="Thin longer sequences out.")] = None,
) -> None:
    """Measure every variant on every data set."""
    methods = {}
    probe = cast(LiteModel, load_model("lite"))
    for mixture in MIXTURES:
        model = LiteModel(probe.network, mixture=mixture)
        methods[f"probe, decoder {mixture:g}"] = ModelMethod(model, "cpu")
    correlation = LiteModel(probe.network, pseudo_mask="correlation", mixture=1.0)
    methods["correlation, decoder 1"] = ModelMethod(correlation, "cpu")
    results: dict[str, Any] = {}
    for dataset in find_datasets(data):
        results[dataset.name] = evaluate_dataset(dataset, methods, max_frames=max_frames)
        scores = {name: round(r["mean_iou"], 3) for name, r in results[dataset.name].items()}
        typer.echo(f"{dataset.name}: {scores}")
        write_json(
            json,
            {
                "max_frames": max_frames,
                "datasets": {
                    name: {method: score["mean_iou"] for method, score in of_set.items()}
                    for name, of_set in results.items()
                },
                "mean_iou": mean_over_datasets(results),
            },
        )


if __name__ == "__main__":
    typer.run(main)
