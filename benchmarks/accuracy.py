"""Accuracy of `lite` and of its components, as shown on the benchmarks page.

    VRP_SAM_DATA=... python benchmarks/accuracy.py evaluate --json accuracy.json

Runs the one-slice protocol with each kind of annotation and with one and five references, on the
same frames. Methods:

- `lite`, the packaged model;
- a random forest on classical filters;
- the probe alone;
- VRP alone: the mask decoder with the paper's correlation as pseudo-mask, without the probe;
- GP-SAM: points and a box from the correlation, decoded by the promptable mask decoder.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, cast

import torch
import typer
from shared_work import SharedPredictions
from torch import Tensor

from napari_vrp_sam.annotations.reference import ANNOTATION_KINDS
from napari_vrp_sam.errors import InputError
from napari_vrp_sam.files import write_json
from napari_vrp_sam.models.base import FrameFeatures, Prompts
from napari_vrp_sam.models.calibration import ClassCalibration
from napari_vrp_sam.models.decision import shift_to_best_threshold
from napari_vrp_sam.models.lite.model import LiteModel
from napari_vrp_sam.models.lite.prepared_class import PreparedClass
from napari_vrp_sam.models.probe.encoded_shots import PROBE_STRIDE
from napari_vrp_sam.models.sam.geometric_prompts import geometric_prompts
from napari_vrp_sam.models.zoo.registry import load_model
from napari_vrp_sam.research.datasets.open import find_datasets
from napari_vrp_sam.research.protocols.one_slice import Method, evaluate_dataset, mean_over_datasets
from napari_vrp_sam.research.protocols.random_forest import RandomForest


def methods_of(model: LiteModel) -> dict[str, Method]:
    """Return all methods; only the times of the first two are meaningful."""
    shared = SharedPredictions(model)
    correlated = LiteModel(model.network, pseudo_mask="correlation")
    correlated.effort = 0.05  # its probe is not used
    shared_correlation = SharedPredictions(correlated)

    def probe_alone(model: LiteModel, features: FrameFeatures, prepared: PreparedClass) -> Tensor:
        return decode(model, features, replace(model.prompt(features, [prepared]), **share_of(0)))

    def vrp_alone(model: LiteModel, features: FrameFeatures, prepared: PreparedClass) -> Tensor:
        return decode(model, features, replace(model.prompt(features, [prepared]), **share_of(1)))

    def gp_sam(model: LiteModel, features: FrameFeatures, prepared: PreparedClass) -> Tensor:
        network = model.network
        pseudo_mask = model.prompt(features, [prepared]).pseudo_mask
        assert pseudo_mask is not None  # `lite` always has one
        points, boxes = geometric_prompts(pseudo_mask, cell=PROBE_STRIDE)
        labels = points.new_ones(points.shape[:2])
        sparse, dense = network.geometric_prompt(features, points, labels, boxes)
        masks, _ = network.decode(features, sparse, dense, torch.zeros_like(pseudo_mask))
        # With a decoder share of 0, `decode` only resizes the masks.
        prompts = Prompts((prepared.class_id,), sparse, dense, masks, **share_of(0))
        return decode(model, features, prompts)

    return {
        "lite": shared.whole(),
        "random forest": RandomForest(),
        "probe alone": shared.method(probe_alone),
        "VRP alone": shared_correlation.method(vrp_alone),
        "GP-SAM": shared_correlation.method(gp_sam),
    }


def share_of(decoder: float) -> dict[str, Any]:
    """Return the calibration of one class in which the mask decoder has a share."""
    return {"calibrations": (ClassCalibration(decoder),), "similarities": (1.0,)}


def decode(model: LiteModel, features: FrameFeatures, prompts: Prompts) -> Tensor:
    """Return logits whose best threshold is 0, as in a run."""
    return shift_to_best_threshold(model.decode(features, prompts))


def main(
    data: Annotated[list[str], typer.Argument(help="Datasets; see vrp-sam evaluate one-slice.")],
    json: Annotated[Path, typer.Option(help="Write the results to this file, after each dataset.")],
    kinds: Annotated[
        list[str] | None, typer.Option("--annotation", help="Annotation kinds. Default: all four.")
    ] = None,
    references: Annotated[
        list[int] | None, typer.Option(help="References per class. Default: 1 and 5.")
    ] = None,
    only: Annotated[
        list[str] | None, typer.Option("--method", help="Methods. Default: all.")
    ] = None,
    model: Annotated[str, typer.Option(help="lite, or a weights file based on it.")] = "lite",
    max_frames: Annotated[int | None, typer.Option(help="Frames per sequence.")] = None,
    max_sequences: Annotated[int | None, typer.Option(help="Sequences per dataset.")] = None,
) -> None:
    """Evaluate all methods with each annotation."""
    methods = methods_of(cast(LiteModel, load_model(model)))
    methods = {name: methods[name] for name in only or methods}
    counts = references or [1, 5]
    # Frames that are excluded from the evaluation, regardless of the number of references.
    spared = max(counts)
    results: dict[str, Any] = {
        "spared": spared,
        "max_frames": max_frames,
        "max_sequences": max_sequences,
        "runs": [],
    }
    for kind in kinds or ANNOTATION_KINDS:
        for count in counts:
            results_by_dataset: dict[str, dict[str, Any]] = {}
            results["runs"].append(
                {"annotation": kind, "references": count, "datasets": results_by_dataset}
            )
            for dataset in find_datasets(data):
                try:
                    results_by_dataset[dataset.name] = evaluate_dataset(
                        dataset,
                        methods,
                        kind=kind,  # type: ignore[arg-type]  # checked where it is used
                        references=count,
                        spared=spared,
                        max_frames=max_frames,
                        max_sequences=max_sequences,
                    )
                except InputError as error:  # no frames are left to evaluate
                    typer.echo(error)
                    continue
                for method, scores in results_by_dataset[dataset.name].items():
                    if method not in {"lite", "random forest"}:  # they reuse predictions
                        del scores["seconds_per_frame"], scores["seconds_to_learn"]
                    del scores["sequences"]
                results["runs"][-1]["mean_iou"] = mean_over_datasets(results_by_dataset)
                scores = {
                    m: round(r["mean_iou"], 3) for m, r in results_by_dataset[dataset.name].items()
                }
                typer.echo(f"{kind}, {count} references, {dataset.name}: {scores}")
                write_json(json, results)
            typer.echo(f"{kind}, {count} references: {results['runs'][-1]['mean_iou']}")


if __name__ == "__main__":
    typer.run(main)
