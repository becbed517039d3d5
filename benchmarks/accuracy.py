"""How good is `lite`, by itself and in parts: the measurement behind the benchmarks page.

    VRP_SAM_DATA=... python benchmarks/accuracy.py evaluate --json accuracy.json

The one-slice protocol with every kind of annotation and with one and five references, the latter
two on the same frames. Measured are

- `lite`, as it ships;
- a random forest on classical filters;
- the probe alone;
- VRP alone: the mask decoder with the paper's correlation as pseudo-mask, no probe;
- GP-SAM: points and a box out of the correlation, into the promptable decoder.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, cast

import torch
import typer
from shared_work import Logits, SharedWork
from torch import Tensor

from napari_vrp_sam.annotations.reference import ANNOTATION_KINDS
from napari_vrp_sam.errors import InputError
from napari_vrp_sam.files import write_json
from napari_vrp_sam.models.base import FrameFeatures, Prompts
from napari_vrp_sam.models.calibration import ClassCalibration
from napari_vrp_sam.models.lite.model import LiteModel, PreparedClass
from napari_vrp_sam.models.probe.encoded_shots import PROBE_STRIDE
from napari_vrp_sam.models.sam.geometric_prompts import geometric_prompts
from napari_vrp_sam.models.zoo.registry import load_model
from napari_vrp_sam.research.datasets.open import find_datasets
from napari_vrp_sam.research.protocols.one_slice import Method, evaluate_dataset, mean_over_datasets
from napari_vrp_sam.research.protocols.random_forest import RandomForest

SPARED = 5
"""Frames of a sequence that no run is measured on, whether it learns from them or not."""


def methods_of(model: LiteModel) -> dict[str, Method]:
    """All that is measured; the order tells whose times count."""
    # With the correlation's features beside the probe's it can do both.
    both = LiteModel(model.network, pseudo_mask="correlation")
    shared = SharedWork(both)

    def by_share(share: float | None, *, probe: bool) -> Logits:
        def logits(features: FrameFeatures, prepared: PreparedClass) -> Tensor:
            own = replace(prepared, deepest=()) if probe else prepared
            prompts = both.prompt(features, [own])
            if share is not None:
                prompts = replace(prompts, calibrations=(ClassCalibration(share),))
            return both.decode(features, prompts)

        return logits

    def from_points_and_box(features: FrameFeatures, prepared: PreparedClass) -> Tensor:
        pseudo_mask = both.prompt(features, [prepared]).pseudo_mask
        assert pseudo_mask is not None  # `lite` always has one
        points, labels, boxes = geometric_prompts(pseudo_mask, cell=PROBE_STRIDE)
        sparse, dense = both.network.geometric_prompt(features, points, labels, boxes)
        nothing = torch.zeros_like(pseudo_mask)
        masks, _ = both.network.decode(features, sparse, dense, nothing)
        # Decoded already: a share of 0 brings it to the frame's size.
        done = Prompts((prepared.class_id,), sparse, dense, masks, (ClassCalibration(0.0),))
        return both.decode(features, done)

    return {
        "lite": shared.method(by_share(None, probe=True)),
        "random forest": RandomForest(),
        "probe alone": shared.method(by_share(0.0, probe=True)),
        "VRP alone": shared.method(by_share(1.0, probe=False)),
        "GP-SAM": shared.method(from_points_and_box),
    }


def main(
    data: Annotated[list[str], typer.Argument(help="Data sets; see vrp-sam evaluate one-slice.")],
    json: Annotated[Path, typer.Option(help="Write the results here, after every data set.")],
    kinds: Annotated[
        list[str] | None, typer.Option("--annotation", help="Unless given, all four kinds.")
    ] = None,
    references: Annotated[
        list[int] | None, typer.Option(help="Annotated frames of a class; 1 and 5 unless given.")
    ] = None,
    only: Annotated[
        list[str] | None, typer.Option("--method", help="Unless given, all; 'lite', ...")
    ] = None,
    model: Annotated[str, typer.Option(help="lite, or a weights file of it.")] = "lite",
    max_frames: Annotated[int | None, typer.Option(help="Thin longer sequences out.")] = None,
    max_sequences: Annotated[int | None, typer.Option(help="Sequences of each set.")] = None,
) -> None:
    """Measure every method with every annotation."""
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
            measured: dict[str, dict[str, Any]] = {}
            results["runs"].append({"annotation": kind, "references": count, "datasets": measured})
            for dataset in find_datasets(data):
                try:
                    measured[dataset.name] = evaluate_dataset(
                        dataset,
                        methods,
                        kind=kind,  # type: ignore[arg-type]  # checked where it is used
                        references=count,
                        spared=SPARED,
                        max_frames=max_frames,
                        max_sequences=max_sequences,
                    )
                except InputError as nothing_left:  # a rare class, and most frames spared
                    typer.echo(nothing_left)
                    continue
                for method, scores in measured[dataset.name].items():
                    if method not in {"lite", "random forest"}:  # work was done before
                        del scores["seconds_per_frame"], scores["seconds_to_learn"]
                    del scores["sequences"]
                results["runs"][-1]["mean_iou"] = mean_over_datasets(measured)
                scores = {m: round(r["mean_iou"], 3) for m, r in measured[dataset.name].items()}
                typer.echo(f"{kind}, {count} references, {dataset.name}: {scores}")
                write_json(json, results)
            typer.echo(f"{kind}, {count} references: {results['runs'][-1]['mean_iou']}")


if __name__ == "__main__":
    typer.run(main)
