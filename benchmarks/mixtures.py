"""Choice of pseudo-mask and decoder share, on which the defaults of `lite` are based.

    VRP_SAM_DATA=... python benchmarks/mixtures.py evaluate --max-frames 3 --json mixtures.json

Runs the one-slice protocol with variants of `lite`: the probe alone, the mask decoder alone,
mixtures of their logits, and the same with the paper's correlation as pseudo-mask.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, cast

import typer
from shared_work import SharedPredictions, write_scores
from torch import Tensor

from napari_vrp_sam.models.base import FrameFeatures
from napari_vrp_sam.models.calibration import ClassCalibration
from napari_vrp_sam.models.lite.model import LiteModel
from napari_vrp_sam.models.lite.network import LiteNetwork
from napari_vrp_sam.models.lite.prepared_class import PreparedClass
from napari_vrp_sam.models.zoo.registry import load_model
from napari_vrp_sam.research.datasets.open import find_datasets
from napari_vrp_sam.research.protocols.one_slice import (
    Frame,
    Method,
    evaluate_dataset,
)

SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)
"""Shares of the mask decoder in the logits; the rest is the pseudo-mask."""


class Variants:
    """Methods that differ in pseudo-mask and mixture, and share all computations before that."""

    def __init__(self, network: LiteNetwork) -> None:
        # Encodes features for both the correlation and the probe.
        model = LiteModel(network, pseudo_mask="correlation")
        self.shared = SharedPredictions(model, "cpu")
        self.sequence: Sequence[Frame] | None = None
        self.masks: dict[tuple[int, int], dict[str, Tensor]] = {}

    def method(self, variant: str) -> Method:
        """Return one of the variants of `all_logits` as a method."""

        def mask(model: LiteModel, features: FrameFeatures, prepared: PreparedClass) -> Tensor:
            if self.sequence is not self.shared.sequence:
                self.sequence, self.masks = self.shared.sequence, {}
            key = id(features), id(prepared)
            if key not in self.masks:
                logits = self.all_logits(model, features, prepared)
                self.masks[key] = {name: values > 0 for name, values in logits.items()}
            return self.masks[key][variant]

        return self.shared.method(mask)

    @staticmethod
    def all_logits(
        model: LiteModel, features: FrameFeatures, prepared: PreparedClass
    ) -> dict[str, Tensor]:
        """Compute the logits (1, Y, X) of a frame by each variant."""
        logits = {}
        for name, selected in (
            ("probe", replace(prepared, correlation_references=())),
            ("correlation", prepared),
        ):
            prompts = model.prompt(features, [selected])
            for share in SHARES:
                fixed = replace(prompts, calibrations=(ClassCalibration(share),))
                logits[f"{name}, decoder {share:g}"] = model.decode(features, fixed)
            logits[f"{name}, decoder by annotation"] = model.decode(features, prompts)
        return logits


def main(
    data: Annotated[list[str], typer.Argument(help="Datasets; see vrp-sam evaluate one-slice.")],
    json: Annotated[Path, typer.Option(help="Write the results to this file.")],
    max_frames: Annotated[int | None, typer.Option(help="Frames per sequence.")] = None,
) -> None:
    """Evaluate each variant on each dataset."""
    variants = Variants(cast(LiteModel, load_model("lite")).network)
    methods = {
        name: variants.method(name)
        for name in (
            f"{pseudo_mask}, decoder {share}"
            for pseudo_mask in ("probe", "correlation")
            for share in (*(f"{s:g}" for s in SHARES), "by annotation")
        )
    }
    results: dict[str, Any] = {}
    for dataset in find_datasets(data):
        results[dataset.name] = evaluate_dataset(dataset, methods, max_frames=max_frames)
        scores = {name: round(r["mean_iou"], 3) for name, r in results[dataset.name].items()}
        typer.echo(f"{dataset.name}: {scores}")
        write_scores(json, results, max_frames)


if __name__ == "__main__":
    typer.run(main)
