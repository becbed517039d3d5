"""Methods on one model that share what is the same for all: learning, and the frames' features."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from napari_vrp_sam.annotations.reference import Reference
from napari_vrp_sam.inference.prediction.predictor import Predictor
from napari_vrp_sam.models.base import FrameFeatures
from napari_vrp_sam.models.lite.model import LiteModel, PreparedClass
from napari_vrp_sam.research.protocols.model_method import ModelMethod
from napari_vrp_sam.research.protocols.one_slice import Frame, Method, Segment, Segmented

Logits = Callable[[FrameFeatures, PreparedClass], Tensor]
"""Features of a frame and what the references say -> logits of shape (1, Y, X)."""


class SharedWork:
    """Keeps what was learned of a sequence, and the features of its frames.

    The method that asks first pays for it: of several, only the first one's times mean anything.
    """

    def __init__(self, model: LiteModel, device: str = "auto") -> None:
        self.model = ModelMethod(model, device)
        self.sequence: Sequence[Frame] | None = None
        self.predictors: list[Predictor] = []
        self.features: dict[int, FrameFeatures] = {}

    def method(self, logits: Logits) -> Method:
        """What the one-slice protocol measures."""

        def learn(frames: Sequence[Frame], references: Sequence[Reference]) -> Segment:
            if self.sequence is not frames:
                self.predictors = self.model.predictors(frames, references)
                self.sequence, self.features = frames, {}
            return segment

        def segment(frame: Frame) -> Segmented:
            if id(frame) not in self.features:
                self.features[id(frame)] = self.predictors[0].encode(frame)
            with torch.no_grad():
                masks = [
                    logits(self.features[id(frame)], predictor.prepared[0])[0] > 0
                    for predictor in self.predictors
                ]
            return Segmented(torch.stack(masks).cpu().numpy())

        return learn
