"""Prompts per object with the mask decoder of `lite`, against its probe alone.

    VRP_SAM_DATA=... python benchmarks/object_prompts.py dsb2018_nuclei --json object-prompts.json

The weights of SAM are not needed: `lite` was trained to segment single objects from points and
boxes too, so its mask decoder can take SAM's place. Runs the one-slice protocol on images of at
most 256 pixels.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, cast

import torch
import typer
from decisions import SmallImages
from shared_work import SharedPredictions
from torch import Tensor

from napari_vrp_sam.files import write_json
from napari_vrp_sam.models.base import FrameFeatures
from napari_vrp_sam.models.calibration import ClassCalibration
from napari_vrp_sam.models.decision import shift_to_best_threshold
from napari_vrp_sam.models.lite.model import LiteModel
from napari_vrp_sam.models.lite.network import STRIDE, Conditioning
from napari_vrp_sam.models.lite.parts import LOGIT_LIMIT
from napari_vrp_sam.models.lite.prepared_class import PreparedClass
from napari_vrp_sam.models.lite.zoom import reduce_logits
from napari_vrp_sam.models.padding import resize_to_frame
from napari_vrp_sam.models.probe.cross_validation import FOLD_EFFORT, Predict
from napari_vrp_sam.models.probe.encoded_shots import Shot
from napari_vrp_sam.models.probe.probe import Probe
from napari_vrp_sam.models.sam.objects.prompts import class_candidates, merge_objects
from napari_vrp_sam.models.sam.objects.share import calibrate_share
from napari_vrp_sam.models.zoo.registry import load_model
from napari_vrp_sam.research.datasets.dataset import Dataset
from napari_vrp_sam.research.datasets.open import find_datasets
from napari_vrp_sam.research.protocols.one_slice import evaluate_dataset, mean_over_datasets

CELL = STRIDE / 4
"""Pixels per cell of the pseudo-mask."""


class ObjectLite(LiteModel):
    """`lite`, with a second calibration of each class for prompts per object."""

    shares: dict[Probe, ClassCalibration]

    def _calibrate(self, conditioning: Conditioning) -> ClassCalibration:
        def learn(shots: Any, views: Any) -> Predict:
            learned = self.network.condition(shots, views, effort=FOLD_EFFORT)
            return lambda shot: logits_of(shot, learned.probe)

        def logits_of(shot: Shot, probe: Probe) -> Tensor:
            return self.probe_logits(shot.features, probe)

        self.shares[conditioning.probe] = calibrate_share(
            conditioning.shots,
            learn,
            lambda shot: logits_of(shot, conditioning.probe),
            lambda shot, logits: self.objects(shot.features, logits),
            conditioning.views,
        )
        return super()._calibrate(conditioning)

    def probe_logits(self, features: FrameFeatures, probe: Probe) -> Tensor:
        """Return the logits of a probe, shape (1, 1, 4 h, 4 w)."""
        height, width = features.embedding.shape[-2:]
        logits = probe.logits(features.semantic, (4 * height, 4 * width))
        return logits.clamp(-LOGIT_LIMIT, LOGIT_LIMIT)

    @torch.no_grad()
    def objects(self, features: FrameFeatures, logits: Tensor) -> Tensor:
        """Return the merged logits of the objects in a pseudo-mask (1, 1, h, w)."""

        def decode(points: Tensor, boxes: Tensor, prompts: Tensor) -> tuple[Tensor, Tensor]:
            labels = torch.ones(len(points), 1)
            centres = (points[:, None] + 0.5) * CELL
            sparse, _ = self.network.geometric_prompt(features, centres, labels, boxes * CELL)
            dense = self.network.prompt_encoder.mask_downscaling(prompts / LOGIT_LIMIT)
            return self.network.decode(features, sparse, dense, prompts)

        return merge_objects(logits, class_candidates(logits, [1.0]), decode)


def variants(
    model: ObjectLite, features: FrameFeatures, prepared: PreparedClass
) -> dict[str, Tensor]:
    """Return the logits (1, Y, X) of each variant for one class of a frame."""
    probe = model.probe_logits(features, prepared.conditioning.probe)
    objects = model.objects(features, probe)
    share = model.shares[prepared.conditioning.probe]
    found = {"lite": model.decode(features, model.prompt(features, [prepared]))}
    for name, weight in (("probe", 0.0), ("objects", 1.0), ("calibrated", share.decoder_share)):
        mixed = torch.lerp(probe, objects, weight) + share.offset
        found[name] = reduce_logits(resize_to_frame(mixed, features.size)[:, 0], model.zoom)
    return {name: shift_to_best_threshold(logits.clone()) for name, logits in found.items()}


def main(
    data: Annotated[list[str], typer.Argument(help="Datasets; see vrp-sam evaluate one-slice.")],
    json: Annotated[Path, typer.Option(help="Write the results to this file.")],
    max_frames: Annotated[int, typer.Option(help="Frames per sequence.")] = 5,
) -> None:
    """Evaluate each variant on each dataset."""
    loaded = cast(LiteModel, load_model("lite", device="cpu"))
    model = ObjectLite(loaded.network)
    model.shares = {}
    shared = SharedPredictions(model, "cpu")
    masks: dict[tuple[int, int], dict[str, Tensor]] = {}

    def method(name: str) -> Any:
        def mask(model: LiteModel, features: FrameFeatures, prepared: PreparedClass) -> Tensor:
            key = id(features), id(prepared)
            if key not in masks:
                masks[key] = variants(cast(ObjectLite, model), features, prepared)
            return masks[key][name]

        return shared.method(mask)

    names = ("probe", "objects", "calibrated", "lite")
    results: dict[str, Any] = {}
    shares: dict[str, list[float]] = {}
    for dataset in find_datasets(data):
        masks.clear()
        model.shares.clear()
        small = cast(Dataset, SmallImages(dataset))
        results[dataset.name] = evaluate_dataset(
            small, {name: method(name) for name in names}, max_frames=max_frames
        )
        shares[dataset.name] = [c.decoder_share for c in model.shares.values()]
        scores = {name: score["mean_iou"] for name, score in results[dataset.name].items()}
        typer.echo(f"{dataset.name}: {scores}, shares {shares[dataset.name]}")
    write_json(
        json,
        {
            "max_frames": max_frames,
            "datasets": {
                name: {method: score["mean_iou"] for method, score in by_method.items()}
                for name, by_method in results.items()
            },
            "shares": shares,
            "mean_iou": mean_over_datasets(results),
        },
    )


if __name__ == "__main__":
    typer.run(main)
