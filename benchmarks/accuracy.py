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
from shared_work import Logits, SharedPredictions
from torch import Tensor

from napari_vrp_sam.annotations.reference import ANNOTATION_KINDS
from napari_vrp_sam.errors import InputError
from napari_vrp_sam.files import write_json
from napari_vrp_sam.models.base import FrameFeatures, Prompts
from napari_vrp_sam.models.calibration import ClassCalibration
from napari_vrp_sam.models.lite.model import LiteModel
from napari_vrp_sam.models.lite.prepared_class import PreparedClass
from napari_vrp_sam.models.probe.encoded_shots import PROBE_STRIDE
from napari_vrp_sam.models.sam.geometric_prompts import geometric_prompts
from napari_vrp_sam.models.zoo.registry import load_model
from napari_vrp_sam.research.datasets.open import find_datasets
from napari_vrp_sam.research.protocols.one_slice import Method, evaluate_dataset, mean_over_datasets
from napari_vrp_sam.research.protocols.random_forest import RandomForest

SPARED = 5
"""Frames that are excluded from the evaluation, regardless of the number of references."""


def methods_of(model: LiteModel) -> dict[str, Method]:
    """Return all methods; only the time of the first one is meaningful."""
    # Encodes features for both the correlation and the probe.
    both = LiteModel(model.network, pseudo_mask="correlation")
    shared = SharedPredictions(both)

    def by_share(share: float | None, *, probe: bool) -> Logits:
        def logits(features: FrameFeatures, prepared: PreparedClass) -> Tensor:
            selected = replace(prepared, correlation_references=()) if probe else prepared
            prompts = both.prompt(features, [selected])
            if share is not None:
                prompts = replace(prompts, calibrations=(ClassCalibration(share),))
            return both.decode(features, prompts)

        return logits

    def from_points_and_box(features: FrameFeatures, prepared: PreparedClass) -> Tensor:
        pseudo_mask = both.prompt(features, [prepared]).pseudo_mask
        assert pseudo_mask is not None  # `lite` always has one
        points, labels, boxes = geometric_prompts(pseudo_mask, cell=PROBE_STRIDE)
        sparse, dense = both.network.geometric_prompt(features, points, labels, boxes)
        no_pseudo_mask = torch.zeros_like(pseudo_mask)
        masks, _ = both.network.decode(features, sparse, dense, no_pseudo_mask)
        # With a decoder share of 0, `decode` only resizes the masks.
        prompts = Prompts((prepared.class_id,), sparse, dense, masks, (ClassCalibration(0.0),))
        return both.decode(features, prompts)

    return {
        "lite": shared.method(by_share(None, probe=True)),
        "random forest": RandomForest(),
        "probe alone": shared.method(by_share(0.0, probe=True)),
        "VRP alone": shared.method(by_share(1.0, probe=False)),
        "GP-SAM": shared.method(from_points_and_box),
    }


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
    results: dict[str, Any] = {
        "spared": SPARED,
        "max_frames": max_frames,
        "max_sequences": max_sequences,
        "runs": [],
    }
    for kind in kinds or ANNOTATION_KINDS:
        for count in references or (1, 5):
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
                        spared=SPARED,
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
