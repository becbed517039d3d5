"""Datasets with thin objects, with and without frames that are enlarged for `lite`.

    VRP_SAM_DATA=... python benchmarks/thin_objects.py superalloy_nasa hrf_vessels leaf_veins \
        fundus_exudates weld_defects --json thin-objects.json

Runs the one-slice protocol on images of at most 256 pixels, with the same references and targets.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, cast

import numpy as np
import typer
from decisions import SmallImages
from numpy.typing import NDArray

from napari_vrp_sam.files import write_json
from napari_vrp_sam.models.lite.model import LiteModel
from napari_vrp_sam.models.zoo.registry import load_model
from napari_vrp_sam.research.datasets.dataset import Dataset
from napari_vrp_sam.research.datasets.open import find_datasets
from napari_vrp_sam.research.protocols.model_method import ModelMethod
from napari_vrp_sam.research.protocols.one_slice import evaluate_dataset, mean_over_datasets


class PlainLite(LiteModel):
    """`lite`, which sees all frames in their own size."""

    def adapt(self, masks: Sequence[NDArray[np.bool_]]) -> None:
        """Do nothing."""


def main(
    names: Annotated[list[str], typer.Argument(metavar="DATASETS...")],
    max_frames: Annotated[int, typer.Option(help="Frames of a group, with the annotated one.")] = 5,
    json_path: Annotated[Path | None, typer.Option("--json")] = None,
) -> None:
    """Print the mean IoU of the first group of each dataset, without and with the rule."""
    lite = load_model("lite", device="cpu")
    assert isinstance(lite, LiteModel)
    methods = {
        "frames as they are": ModelMethod(PlainLite(lite.network), "cpu"),
        "thin objects enlarged": ModelMethod(lite, "cpu"),
    }
    results: dict[str, Any] = {}
    for dataset in find_datasets(names):
        small = cast(Dataset, SmallImages(dataset))
        found = evaluate_dataset(small, methods, max_frames=max_frames, max_sequences=1)
        results[dataset.name] = found
        shown = "  ".join(f"{one['mean_iou']:.3f}" for one in found.values())
        typer.echo(f"{dataset.name:24} {shown}")
        if json_path is not None:
            ious = {
                name: {method: one["mean_iou"] for method, one in by_method.items()}
                for name, by_method in results.items()
            }
            means = mean_over_datasets(results)
            write_json(json_path, {"max_frames": max_frames, "datasets": ious, "mean_iou": means})
    typer.echo(
        f"{'mean':24} " + "  ".join(f"{m:.3f}" for m in mean_over_datasets(results).values())
    )


if __name__ == "__main__":
    typer.run(main)
