"""Preview of a run: one frame, segmented before and during training."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from napari_vrp_sam.annotations.labels import class_ids_of
from napari_vrp_sam.fine_tuning.data.annotated_frames import AnnotatedFrame
from napari_vrp_sam.fine_tuning.events import Comparison
from napari_vrp_sam.fine_tuning.recipe import FineTuningRecipe
from napari_vrp_sam.fine_tuning.tunable.base import (
    TunableModel,
    choose_references,
    encode_annotated_frames,
)
from napari_vrp_sam.inference.prediction.outputs import predict_from_probabilities


class FramePreview:
    """Segmentation of one frame by the base model, whose weights are set, and by later weights."""

    def __init__(
        self,
        tunable: TunableModel,
        annotated: Sequence[AnnotatedFrame],
        image: NDArray[np.float32],
        index: int,
        recipe: FineTuningRecipe,
        device: torch.device,
    ) -> None:
        class_ids = sorted({c for frame in annotated for c in frame.informative_classes})
        shown = choose_references(annotated, class_ids, recipe.validation_references)
        references = encode_annotated_frames(tunable, shown, device)
        self._class_ids = class_ids_of(references)
        self._evaluation = tunable.evaluation(references, [torch.from_numpy(image).to(device)])
        self._index = index
        self._before = self._labels()

    def compare(self) -> Comparison:
        """Segment the frame with the current weights."""
        return Comparison(self._index, self._before, self._labels())

    def _labels(self) -> NDArray[Any]:
        (logits,) = self._evaluation.logits()
        probabilities = logits.sigmoid().cpu().numpy()
        labels: NDArray[Any] = predict_from_probabilities(probabilities, self._class_ids).labels
        return labels
