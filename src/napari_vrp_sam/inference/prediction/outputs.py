"""Labels and confidence of segmented frames, computed where the probabilities are."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from napari_vrp_sam.annotations.labels import labels_dtype
from napari_vrp_sam.annotations.missing import missing_pixels
from napari_vrp_sam.inference.prediction.confidence import IOU_PER_AGREEMENT
from napari_vrp_sam.inference.relabelling.decision import DEFAULT_THRESHOLD, decide


@dataclass(frozen=True, eq=False)
class FramePrediction:
    """Prediction of one frame.

    Attributes
    ----------
    labels : ndarray or ScratchArray, shape (Y, X)
        Class of each pixel, 0 is background, in the smallest unsigned dtype.
    confidence : dict of int to float
        Expected IoU of each class that was found on the frame.
    probabilities : ndarray or ScratchArray, shape (K, Y, X), float32, optional
        Probability of each class, if requested.
    """

    labels: Any
    confidence: dict[int, float]
    probabilities: Any = None


NO_DATA = -1e4
"""Logit of missing pixels: their probability is exactly 0, and sums with weights stay finite."""


def clear_missing(
    logits: Any, frame: Any, part: tuple[slice, slice] = (slice(None), slice(None))
) -> Any:
    """Set the logits (K, Y, X) of the missing pixels of a frame (Y, X, C), in place.

    Rows and columns limit the part of the frame that is read.
    """
    missing = missing_pixels(frame[part])
    if missing is not None:
        values = logits[:, *part]
        values[:, missing] = NO_DATA
        logits[:, *part] = values
    return logits


def labels_from_probabilities(probabilities: Tensor, class_ids: Sequence[int]) -> Tensor:
    """Return the class with the highest probability above 0.5 in each pixel, else 0.

    Parameters
    ----------
    probabilities : Tensor, shape (B, K, Y, X)
    class_ids : sequence of int
        Label values of the K classes.

    Returns
    -------
    Tensor, shape (B, Y, X)
        uint8 or, for larger class values, int64; `FramePrediction` holds the final dtype.
    """
    dtype = torch.uint8 if max(class_ids) < 256 else torch.int64
    labels = torch.zeros_like(probabilities[:, 0], dtype=dtype)
    thresholds = [DEFAULT_THRESHOLD] * len(class_ids)
    return decide(probabilities.unbind(1), class_ids, thresholds, labels, torch.where)


def confidences(probabilities: Tensor) -> Tensor:
    """Return the expected IoU of each class's mask.

    If the probabilities are calibrated, the overlap of mask and ground truth is the sum of the
    probabilities inside the mask, and their union is the mask's area and the sum outside it. The
    quotient is the agreement of mask and probabilities (the soft Jaccard index).

    Parameters
    ----------
    probabilities : Tensor, shape (B, K, Y, X)

    Returns
    -------
    Tensor, shape (B, K), float32
        In 0..1; NaN for a class that was not found, which has no mask to judge.
    """
    return expected_iou(*mask_sums(probabilities))


def mask_sums(probabilities: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return the area of each class's mask, and the probabilities in the frame and in the mask.

    They are sums over rows and columns, shape (B, K), of probabilities (B, K, Y, X); those of the
    parts of a frame can be added.
    """
    found = probabilities > DEFAULT_THRESHOLD
    each = found, probabilities, probabilities * found
    area, total, overlap = (values.sum(dim=(-2, -1)) for values in each)
    return area, total, overlap


def expected_iou(area: Tensor, total: Tensor, overlap: Tensor) -> Tensor:
    """Return the expected IoU of masks from `mask_sums`; see `confidences`."""
    expected = IOU_PER_AGREEMENT * overlap / (area + total - overlap).clamp_min(1)
    return expected.masked_fill(area == 0, math.nan)


def frame_prediction(
    labels: Any,
    confidence: Sequence[float],
    class_ids: Sequence[int],
    probabilities: Any,
) -> FramePrediction:
    """Assemble the prediction of a frame.

    Parameters
    ----------
    labels : ndarray or ScratchArray, shape (Y, X)
    confidence : sequence of float
        Of each class, NaN if it was not found.
    class_ids : sequence of int
    probabilities : ndarray or ScratchArray, shape (K, Y, X), float32, optional
    """
    if isinstance(labels, np.ndarray):
        labels = labels.astype(labels_dtype(class_ids), copy=False)
    found = {
        class_id: value
        for class_id, value in zip(class_ids, confidence, strict=True)
        if not math.isnan(value)
    }
    return FramePrediction(labels, found, probabilities)


def predict_from_probabilities(
    probabilities: NDArray[np.float32], class_ids: Sequence[int]
) -> FramePrediction:
    """Return the prediction of one frame from its probabilities, shape (K, Y, X)."""
    batch = torch.from_numpy(probabilities)[None]
    labels = labels_from_probabilities(batch, class_ids)[0].numpy()
    return frame_prediction(labels, confidences(batch)[0].tolist(), class_ids, probabilities)
