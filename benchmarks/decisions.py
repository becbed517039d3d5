"""Ways from logits to masks, on which the decision rule of `lite` is based.

    VRP_SAM_DATA=... python benchmarks/decisions.py train --max-frames 5 --json decisions.json

Runs the one-slice protocol on images of at most 256 pixels with variants of the threshold, of the
offset and of the guided filter, which share everything before.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, cast

import numpy as np
import torch
import typer
from numpy.typing import NDArray
from PIL import Image
from shared_work import SharedPredictions, write_scores
from torch import Tensor

from napari_vrp_sam.models.base import FrameFeatures
from napari_vrp_sam.models.decision import follow_edges, shift_to_best_threshold
from napari_vrp_sam.models.lite.model import LiteModel
from napari_vrp_sam.models.lite.parts import INTENSITIES
from napari_vrp_sam.models.lite.prepared_class import PreparedClass
from napari_vrp_sam.models.lite.zoom import reduce_logits
from napari_vrp_sam.models.padding import resize_to_frame
from napari_vrp_sam.models.zoo.registry import load_model
from napari_vrp_sam.research.datasets.dataset import Dataset
from napari_vrp_sam.research.datasets.open import find_datasets
from napari_vrp_sam.research.protocols.one_slice import evaluate_dataset

SIZE = 256
"""Longest side of the images in pixels."""

Decide = Callable[[Tensor], Tensor]
"""Function from logits (1, Y, X) to logits whose threshold is 0."""

RULES: dict[str, Decide] = {
    "threshold 0": lambda logits: logits,
    "best threshold": lambda logits: shift_to_best_threshold(logits.clone()),
}
OFFSETS = {"no offset": 0.0, "half offset": 0.5, "offset": 1.0}
"""Factors of the offset that cross-validation chooses."""

EDGE_SHARES = (0.0, 0.3, 0.5)


class SmallImages:
    """Dataset whose images are reduced to `SIZE`."""

    def __init__(self, dataset: Dataset) -> None:
        self._dataset = dataset

    def __getattr__(self, name: str) -> Any:
        return getattr(self._dataset, name)

    def image(self, image_id: str) -> NDArray[np.uint8]:
        """See `Dataset.image`."""
        image = self._dataset.image(image_id)
        small = _reduced(image[..., 0] if image.shape[-1] == 1 else image, smooth=True)
        return small[..., None] if small.ndim == 2 else small

    def labels(self, image_id: str) -> NDArray[np.uint8]:
        """See `Dataset.labels`."""
        return _reduced(self._dataset.labels(image_id), smooth=False)


def _reduced(image: NDArray[np.uint8], *, smooth: bool) -> NDArray[np.uint8]:
    height, width = image.shape[:2]
    scale = min(1.0, SIZE / max(height, width))
    size = round(width * scale), round(height * scale)
    how = Image.Resampling.BILINEAR if smooth else Image.Resampling.NEAREST
    return np.asarray(Image.fromarray(image).resize(size, how))


def variants(
    model: LiteModel, features: FrameFeatures, prepared: PreparedClass
) -> dict[str, Tensor]:
    """Return the logits (1, Y, X) of each variant for one class of a frame."""
    prompts = model.prompt(features, [prepared])
    (calibration,) = prompts.calibrations
    assert prompts.pseudo_mask is not None
    decoded, _ = model.network.decode(features, prompts.sparse, prompts.dense, prompts.pseudo_mask)
    mixed = torch.lerp(prompts.pseudo_mask, decoded, calibration.decoder_share)
    found = {"default": shift_to_best_threshold(model.decode(features, prompts).clone())}
    for share in EDGE_SHARES:
        edged = follow_edges(mixed, features.semantic[INTENSITIES], [share])
        logits = reduce_logits(resize_to_frame(edged, features.size)[:, 0], model.zoom)
        for offset_name, factor in OFFSETS.items():
            for rule_name, rule in RULES.items():
                name = f"{rule_name}, {offset_name}, edges {share:g}"
                found[name] = rule(logits + factor * calibration.offset)
    return found


def main(
    data: Annotated[list[str], typer.Argument(help="Datasets; see vrp-sam evaluate one-slice.")],
    json: Annotated[Path, typer.Option(help="Write the results to this file.")],
    max_frames: Annotated[int, typer.Option(help="Frames per sequence.")] = 5,
) -> None:
    """Evaluate each variant on each dataset."""
    shared = SharedPredictions(cast(LiteModel, load_model("lite", device="cpu")), "cpu")
    masks: dict[tuple[int, int], dict[str, Tensor]] = {}

    def method(name: str) -> Any:
        def mask(model: LiteModel, features: FrameFeatures, prepared: PreparedClass) -> Tensor:
            key = id(features), id(prepared)
            if key not in masks:
                masks[key] = {k: v > 0 for k, v in variants(model, features, prepared).items()}
            return masks[key][name]

        return shared.method(mask)

    names = ["default"] + [
        f"{rule}, {offset}, edges {share:g}"
        for share in EDGE_SHARES
        for offset in OFFSETS
        for rule in RULES
    ]
    results: dict[str, Any] = {}
    for dataset in find_datasets(data):
        masks.clear()
        small = cast(Dataset, SmallImages(dataset))
        results[dataset.name] = evaluate_dataset(
            small, {name: method(name) for name in names}, max_frames=max_frames, max_sequences=1
        )
        write_scores(json, results, max_frames)
        typer.echo(f"{dataset.name}: {results[dataset.name]['default']['mean_iou']:.3f}")


if __name__ == "__main__":
    typer.run(main)
