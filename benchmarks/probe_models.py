"""Probe models on the backbone of `lite`, against the probe of `lite` itself.

    VRP_SAM_DATA=... python benchmarks/probe_models.py dsb2018_nuclei --json probe-models.json

Both have the same features, so that the family of probe models must reach the same accuracy. Runs
the one-slice protocol on images of at most 256 pixels.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, cast

import torch
import typer
from decisions import SmallImages
from shared_work import write_scores

from napari_vrp_sam.models.backbones.dense_features import DenseBackbone
from napari_vrp_sam.models.backbones.model import ProbeModel
from napari_vrp_sam.models.calibration import ClassCalibration
from napari_vrp_sam.models.decision import USUAL_EDGE_SHARE
from napari_vrp_sam.models.lite.model import LiteModel
from napari_vrp_sam.models.lite.network import Conditioning
from napari_vrp_sam.models.lite.parts import INTENSITIES
from napari_vrp_sam.models.probe.cross_validation import FOLD_EFFORT, Predict, cross_validate
from napari_vrp_sam.models.zoo.registry import load_model
from napari_vrp_sam.research.datasets.dataset import Dataset
from napari_vrp_sam.research.datasets.open import find_datasets
from napari_vrp_sam.research.protocols.model_method import ModelMethod
from napari_vrp_sam.research.protocols.one_slice import evaluate_dataset


class ProbeOfLite(LiteModel):
    """`lite` without its mask decoder, but with the calibration of the probe."""

    def _calibrate(self, conditioning: Conditioning) -> ClassCalibration:
        def learn(shots: Any, views: Any) -> Predict:
            learned = self.network.condition(shots, views, effort=FOLD_EFFORT)
            return lambda shot: self.network.prompt(shot.features, learned)[2]

        estimates = cross_validate(
            conditioning.shots,
            conditioning.views,
            learn,
            lambda shot: shot.features.semantic[INTENSITIES],
        )
        return ClassCalibration(0.0, *(estimates or (USUAL_EDGE_SHARE,)))


def wrapped(lite: LiteModel) -> ProbeModel:
    """Return a probe model on the backbone of `lite`, loaded through timm."""
    backbone = DenseBackbone("tf_efficientnet_lite0")
    state = lite.network.backbone.state_dict()
    backbone.network.load_state_dict(state, strict=False)
    backbone.mean, backbone.std = (torch.full((3, 1, 1), 0.5) for _ in range(2))
    return ProbeModel("wrapped", backbone)


def main(
    data: Annotated[list[str], typer.Argument(help="Datasets; see vrp-sam evaluate one-slice.")],
    json: Annotated[Path, typer.Option(help="Write the results to this file.")],
    max_frames: Annotated[int, typer.Option(help="Frames per sequence.")] = 4,
) -> None:
    """Evaluate both on each dataset."""
    lite = cast(LiteModel, load_model("lite", device="cpu"))
    alone = ProbeOfLite(lite.network)
    methods = {
        "probe of lite": ModelMethod(alone, "cpu"),
        "wrapped backbone": ModelMethod(wrapped(lite), "cpu"),
    }
    results: dict[str, Any] = {}
    for dataset in find_datasets(data):
        small = cast(Dataset, SmallImages(dataset))
        results[dataset.name] = evaluate_dataset(small, methods, max_frames=max_frames)
        scores = {name: score["mean_iou"] for name, score in results[dataset.name].items()}
        typer.echo(f"{dataset.name}: {scores}")
        write_scores(json, results, max_frames)


if __name__ == "__main__":
    typer.run(main)
