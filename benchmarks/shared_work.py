"""Methods on one model that share its references and the features of frames."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from napari_vrp_sam.annotations.reference import Reference
from napari_vrp_sam.inference.prediction.predictor import Predictor
from napari_vrp_sam.models.base import FrameFeatures
from napari_vrp_sam.models.lite.model import LiteModel, PreparedClass
from napari_vrp_sam.research.protocols.model_method import ModelMethod
from napari_vrp_sam.research.protocols.one_slice import Frame, FrameMasks, Method, SegmentFrame

Logits = Callable[[FrameFeatures, PreparedClass], Tensor]
"""Maps features of a frame and a prepared class to logits of shape (1, Y, X)."""


class SharedPredictions:
    """Caches the prepared references of a sequence and the features of its frames.

    Only the times of the first of several methods are meaningful, because it fills the cache.
    """

    def __init__(self, model: LiteModel, device: str = "auto") -> None:
        self.model = ModelMethod(model, device)
        self.sequence: Sequence[Frame] | None = None
        self.predictors: list[Predictor] = []
        self.features: dict[int, FrameFeatures] = {}

    def method(self, logits: Logits) -> Method:
        """Return a method of the one-slice protocol."""

        def learn(frames: Sequence[Frame], references: Sequence[Reference]) -> SegmentFrame:
            if self.sequence is not frames:
                self.predictors = self.model.predictors(frames, references)
                self.sequence, self.features = frames, {}
            return segment

        def segment(frame: Frame) -> FrameMasks:
            if id(frame) not in self.features:
                self.features[id(frame)] = self.predictors[0].encode(frame)
            with torch.no_grad():
                masks = [
                    logits(self.features[id(frame)], predictor.prepared[0])[0] > 0
                    for predictor in self.predictors
                ]
            return FrameMasks(torch.stack(masks).cpu().numpy())

        return learn
