"""Results of frames of several tiles, computed in windows where they do not fit into memory."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from napari_vrp_sam.annotations.labels import labels_dtype
from napari_vrp_sam.inference.out_of_core.scratch import ScratchArray, row_windows
from napari_vrp_sam.inference.prediction.confidence import IOU_PER_AGREEMENT
from napari_vrp_sam.inference.prediction.outputs import (
    FramePrediction,
    labels_from_probabilities,
    predict_from_probabilities,
)
from napari_vrp_sam.inference.relabelling.decision import DEFAULT_THRESHOLD
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
    area, total, inside = (np.zeros(len(class_ids)) for _ in range(3))
    for rows in row_windows(probabilities):
        part = torch.from_numpy(probabilities[:, rows])
        labels[rows] = labels_from_probabilities(part[None], class_ids)[0].numpy()
        inside_mask = part > DEFAULT_THRESHOLD
        area += inside_mask.sum(dim=(1, 2)).numpy()
        total += part.sum(dim=(1, 2), dtype=torch.float64).numpy()
        inside += (part * inside_mask).sum(dim=(1, 2), dtype=torch.float64).numpy()
    agreement = IOU_PER_AGREEMENT * inside / np.maximum(area + total - inside, 1)
    confidence: NDArray[np.float64] = np.where(area > 0, agreement, np.nan)
    known = dict(zip(class_ids, confidence.tolist(), strict=True))
    found = {class_id: value for class_id, value in known.items() if not math.isnan(value)}
    return FramePrediction(labels, found, probabilities)
