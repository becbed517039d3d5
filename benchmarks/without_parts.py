"""Benefit of parts of `lite`: the model with and without each of them.

    VRP_SAM_DATA=... python benchmarks/without_parts.py enlarged superalloy_nasa hrf_vessels \
        leaf_veins fundus_exudates weld_defects --json thin-objects.json
    VRP_SAM_DATA=... python benchmarks/without_parts.py enlarged DATASETS... --annotation scribble \
        --json enlarged-scribbles.json
    VRP_SAM_DATA=... python benchmarks/without_parts.py plain-trees train --json plain-trees.json

Runs the one-slice protocol on images of at most 256 pixels, with the same references and targets.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, cast

import typer
from decisions import SmallImages

from napari_vrp_sam.errors import InputError
from napari_vrp_sam.files import write_json
from napari_vrp_sam.models.base import EncodedReference, Masks
from napari_vrp_sam.models.lite.model import LiteModel
from napari_vrp_sam.models.lite.prepared_class import PreparedClass
from napari_vrp_sam.models.zoo.registry import load_model
from napari_vrp_sam.research.datasets.dataset import Dataset
from napari_vrp_sam.research.datasets.open import find_datasets
from napari_vrp_sam.research.protocols.model_method import ModelMethod
from napari_vrp_sam.research.protocols.one_slice import evaluate_dataset, mean_over_datasets


class WithoutZoom(LiteModel):
    """`lite`, which sees frames with thin objects in their own size."""

    def adapt(self, masks: Masks, estimated: Masks = ()) -> None:
        """Do nothing."""


class WithoutPlainTrees(LiteModel):
    """`lite`, whose ensemble is the same in all scenes."""

    def prepare(self, references: Sequence[EncodedReference]) -> list[PreparedClass]:
        """Remove the trees that are fitted without views."""
        return [_without_plain_trees(one) for one in super().prepare(references)]


PARTS: dict[str, type[LiteModel]] = {"enlarged": WithoutZoom, "plain-trees": WithoutPlainTrees}


def _without_plain_trees(prepared: PreparedClass) -> PreparedClass:
    conditioning = prepared.conditioning
    probe = replace(conditioning.probe, plain=None)
    return replace(prepared, conditioning=replace(conditioning, probe=probe))


def main(
    part: Annotated[str, typer.Argument(help=f"One of {', '.join(PARTS)}.")],
    names: Annotated[list[str], typer.Argument(metavar="DATASETS...")],
    kind: Annotated[str, typer.Option("--annotation", help="Kind of annotation.")] = "mask",
    max_frames: Annotated[int, typer.Option(help="Frames of a group, with the annotated one.")] = 5,
    json_path: Annotated[Path | None, typer.Option("--json")] = None,
) -> None:
    """Print the mean IoU of the first group of each dataset, without and with a part."""
    lite = load_model("lite", device="cpu")
    assert isinstance(lite, LiteModel)
    methods = {
        "without": ModelMethod(PARTS[part](lite.network), "cpu"),
        "with": ModelMethod(lite, "cpu"),
    }
    results: dict[str, Any] = {}
    for dataset in find_datasets(names):
        small = cast(Dataset, SmallImages(dataset))
        try:
            found = evaluate_dataset(
                small,
                methods,
                kind=kind,  # type: ignore[arg-type]  # checked where it is used
                max_frames=max_frames,
                max_sequences=1,
            )
        except InputError as error:  # no class with a reference and a target
            typer.echo(str(error))
            continue
        results[dataset.name] = found
        shown = "  ".join(f"{one['mean_iou']:.3f}" for one in found.values())
        typer.echo(f"{dataset.name:24} {shown}")
        if json_path is not None:
            ious = {
                name: {method: one["mean_iou"] for method, one in by_method.items()}
                for name, by_method in results.items()
            }
            means = mean_over_datasets(results)
            write_json(
                json_path,
                {
                    "part": part,
                    "annotation": kind,
                    "max_frames": max_frames,
                    "datasets": ious,
                    "mean_iou": means,
                },
            )
    means = mean_over_datasets(results)
    typer.echo(f"{'mean':24} " + "  ".join(f"{means[method]:.3f}" for method in methods))


if __name__ == "__main__":
    typer.run(main)
