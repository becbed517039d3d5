"""Parts of several benchmarks: methods that share features of frames, and files of scores."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor

from napari_vrp_sam.annotations.reference import Reference
from napari_vrp_sam.files import write_json
from napari_vrp_sam.inference.prediction.predictor import Predictor
from napari_vrp_sam.models.base import FrameFeatures
from napari_vrp_sam.models.lite.model import LiteModel
from napari_vrp_sam.models.lite.prepared_class import PreparedClass
from napari_vrp_sam.research.protocols.model_method import ModelMethod
from napari_vrp_sam.research.protocols.one_slice import (
    Frame,
    FrameMasks,
    Method,
    SegmentFrame,
    mean_over_datasets,
)

Logits = Callable[[LiteModel, FrameFeatures, PreparedClass], Tensor]
"""Maps the model of a class, the features of a frame and the prepared class to logits (1, Y, X)."""


class SharedPredictions:
    """Caches the prepared references of a sequence and the features of its frames.

    Only the times of the first of several methods are meaningful, because it fills the cache.
    """

    def __init__(self, model: LiteModel, device: str = "auto") -> None:
        self.model = ModelMethod(model, device)
        self.sequence: Sequence[Frame] | None = None
        self.predictors: list[Predictor] = []
        self.features: dict[tuple[int, str], FrameFeatures] = {}

    def method(self, logits: Logits) -> Method:
        """Return a method of the one-slice protocol."""

        def learn(frames: Sequence[Frame], references: Sequence[Reference]) -> SegmentFrame:
            self._learn(frames, references)
            return segment

        def segment(frame: Frame) -> FrameMasks:
            masks = []
            for predictor in self.predictors:
                # Each class has its own copy of the model, which may enlarge the frames.
                model = cast(LiteModel, predictor.model)
                key = id(frame), model.encoding_key
                if key not in self.features:
                    self.features[key] = predictor.encode(frame)
                with torch.no_grad():
                    masks.append(logits(model, self.features[key], predictor.prepared[0])[0] > 0)
            return FrameMasks(torch.stack(masks).cpu().numpy())

        return learn

    def whole(self) -> Method:
        """Return the model itself as a method, as it segments in a run."""

        def learn(frames: Sequence[Frame], references: Sequence[Reference]) -> SegmentFrame:
            return self.model.segment_with(self._learn(frames, references), frames, references)

        return learn

    def _learn(
        self, frames: Sequence[Frame], references: Sequence[Reference]
    ) -> Sequence[Predictor]:
        if self.sequence is not frames:
            self.predictors = self.model.predictors(frames, references)
            self.sequence, self.features = frames, {}
        return self.predictors


def write_scores(
    path: Path, results: Mapping[str, Mapping[str, Mapping[str, Any]]], max_frames: int | None
) -> None:
    """Write the mean IoU of each dataset and method, and the means over the datasets, as JSON."""
    write_json(
        path,
        {
            "max_frames": max_frames,
            "datasets": {
                name: {method: score["mean_iou"] for method, score in by_method.items()}
                for name, by_method in results.items()
            },
            "mean_iou": mean_over_datasets(results),
        },
    )
