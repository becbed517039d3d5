"""What a run shows of itself: the frame in view, before and after."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from napari_vrp_sam.annotations.labels import class_ids_of
from napari_vrp_sam.fine_tuning.data.annotated_frames import AnnotatedFrame
from napari_vrp_sam.fine_tuning.events import Comparison
from napari_vrp_sam.fine_tuning.tunable.base import TunableModel, encode_annotated_frames
from napari_vrp_sam.inference.prediction.outputs import predict_from_probabilities


class FramePreview:
    """The frame in view, segmented by all annotations with the base model and later."""

    def __init__(
        self,
        subject: TunableModel,
        annotated: Sequence[AnnotatedFrame],
        image: NDArray[np.float32],
        number: int,
        device: torch.device,
    ) -> None:
        references = encode_annotated_frames(subject, annotated, device)
        self._class_ids = class_ids_of(references)
        self._exam = subject.evaluation(references, [torch.from_numpy(image).to(device)])
        self._number = number
        self._before = self._labels()

    def compared(self) -> Comparison:
        """Labels of the base model, and of the present weights."""
        return Comparison(self._number, self._before, self._labels())

    def _labels(self) -> NDArray[Any]:
        (logits,) = self._exam.logits()
        probabilities = logits.sigmoid().cpu().numpy()
        return predict_from_probabilities(probabilities, self._class_ids).labels
