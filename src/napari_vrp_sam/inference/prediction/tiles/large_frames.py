"""Results of frames of several tiles, computed in windows where they do not fit into memory."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from napari_vrp_sam.annotations.labels import labels_dtype
from napari_vrp_sam.inference.out_of_core.scratch import ScratchArray, row_windows
from napari_vrp_sam.inference.prediction.outputs import (
    FramePrediction,
    expected_iou,
    frame_prediction,
    labels_from_probabilities,
    mask_sums,
    predict_from_probabilities,
)
from napari_vrp_sam.models.decision import SHARPNESS, ExpectedOverlap, shift_to_best_threshold


def probabilities_of(logits: Any, *, best_threshold: bool) -> Any:
    """Turn the logits of a whole frame, shape (..., K, Y, X), into probabilities, in place.

    Parameters
    ----------
    logits : ndarray or ScratchArray, float32
    best_threshold : bool
        See `Model.best_threshold`.

    Returns
    -------
    ndarray or ScratchArray
        The same array.
    """
    if isinstance(logits, np.ndarray):
        values = torch.from_numpy(logits)
        if best_threshold:
            shift_to_best_threshold(values)
        return values.sigmoid_().numpy()
    shift: Any = 0
    if best_threshold:
        overlap = ExpectedOverlap(logits.shape[0])
        for rows in row_windows(logits):
            overlap.add(torch.from_numpy(logits[:, rows]).mul_(SHARPNESS).flatten(1))
        shift = overlap.best_shift().float()[:, None, None]
    for rows in row_windows(logits):
        values = torch.from_numpy(logits[:, rows])
        if best_threshold:
            values.mul_(SHARPNESS).sub_(shift)
        logits[:, rows] = values.sigmoid_().numpy()
    return logits


def predict_from_any_probabilities(probabilities: Any, class_ids: Sequence[int]) -> FramePrediction:
    """Return the prediction of a frame from its probabilities, shape (K, Y, X).

    Those of a large frame lie in a `ScratchArray`; then its labels do, too.
    """
    if isinstance(probabilities, np.ndarray):
        return predict_from_probabilities(probabilities, class_ids)
    labels = ScratchArray(probabilities.shape[1:], labels_dtype(class_ids))
    sums: list[Any] = [0, 0, 0]
    for rows in row_windows(probabilities):
        part = torch.from_numpy(probabilities[None, :, rows])
        labels[rows] = labels_from_probabilities(part, class_ids)[0].numpy()
        sums = [before + more for before, more in zip(sums, mask_sums(part.double()), strict=True)]
    return frame_prediction(labels, expected_iou(*sums)[0].tolist(), class_ids, probabilities)
