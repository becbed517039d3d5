"""Which pseudo-mask, and how much of the mask decoder: the measurement behind the defaults.

    VRP_SAM_DATA=... python benchmarks/mixtures.py evaluate --max-frames 3 --json mixtures.json

Variants of `lite` run side by side by the one-slice protocol: the probe alone, the mask decoder
alone, mixtures of their logits, and the same with the paper's correlation as pseudo-mask.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, cast

import typer
from shared_work import SharedWork
from torch import Tensor

from napari_vrp_sam.files import write_json
from napari_vrp_sam.models.base import FrameFeatures
from napari_vrp_sam.models.calibration import ClassCalibration
from napari_vrp_sam.models.lite.model import LiteModel, PreparedClass
from napari_vrp_sam.models.lite.network import LiteNetwork
from napari_vrp_sam.models.zoo.registry import load_model
from napari_vrp_sam.research.datasets.open import find_datasets
from napari_vrp_sam.research.protocols.one_slice import (
    Frame,
    Method,
    evaluate_dataset,
    mean_over_datasets,
)

SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)
"""Of the mask decoder; the rest is the pseudo-mask's."""


class Variants:
    """Methods that differ in pseudo-mask and mixture, and share all the work before that."""

    def __init__(self, network: LiteNetwork) -> None:
        # This one has the correlation's features beside the probe, so it can make both.
        self.model = LiteModel(network, pseudo_mask="correlation")
        self.shared = SharedWork(self.model, "cpu")
        self.sequence: Sequence[Frame] | None = None
        self.masks: dict[tuple[int, int], dict[str, Tensor]] = {}

    def method(self, variant: str) -> Method:
        """One of the variants that `all_logits` makes."""

        def mask(features: FrameFeatures, prepared: PreparedClass) -> Tensor:
            if self.sequence is not self.shared.sequence:
                self.sequence, self.masks = self.shared.sequence, {}
            key = id(features), id(prepared)
            if key not in self.masks:
                logits = self.all_logits(features, prepared)
                self.masks[key] = {name: values > 0 for name, values in logits.items()}
            return self.masks[key][variant]

        return self.shared.method(mask)

    def all_logits(self, features: FrameFeatures, prepared: PreparedClass) -> dict[str, Tensor]:
        """Logits (1, Y, X) of a frame by every variant."""
        logits = {}
        for name, own in (("probe", replace(prepared, deepest=())), ("correlation", prepared)):
            prompts = self.model.prompt(features, [own])
            for share in SHARES:
                fixed = replace(prompts, calibrations=(ClassCalibration(share),))
                logits[f"{name}, decoder {share:g}"] = self.model.decode(features, fixed)
            logits[f"{name}, decoder by annotation"] = self.model.decode(features, prompts)
        return logits


def main(
    data: Annotated[list[str], typer.Argument(help="Data sets; see vrp-sam evaluate one-slice.")],
    json: Annotated[Path, typer.Option(help="Write the results here.")],
    max_frames: Annotated[int | None, typer.Option(help="Thin longer sequences out.")] = None,
) -> None:
    """Measure every variant on every data set."""
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
