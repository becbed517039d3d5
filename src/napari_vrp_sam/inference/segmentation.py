"""`Segmentation`: the result of segmenting a stack."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import KW_ONLY, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_vrp_sam.annotations.labels import labels_dtype
from napari_vrp_sam.inference.frames import Frames
from napari_vrp_sam.inference.runs.events import (
    Event,
    FrameResult,
    FrameWritten,
    Learned,
    Progress,
)
from napari_vrp_sam.models.calibration import LookAlikes

ProgressCallback = Callable[[int, int, str], object]
"""Called with the frames done, the frames in total, and a message."""


@dataclass(frozen=True, eq=False)
class Segmentation:
    """Labels of a stack, and their confidence.

    Attributes
    ----------
    labels : array, shape of the leading axes + (Y, X)
        Class of each pixel, 0 for background, in the smallest unsigned dtype.
    class_ids : tuple of int
        The K classes, ascending.
    confidence : ndarray, shape of the leading axes + (K,), float32
        Expected IoU of each class on each frame; NaN where a class was not found or a frame was
        not segmented.
    expected_iou : dict of int to float or None
        Expected IoU of each class on frames that are not annotated, estimated on parts of the
        annotation that were held out; None if the annotation is too small for an estimate.
    probabilities : ndarray, shape of the leading axes + (K, Y, X), float32, optional
        Probability of each class in each pixel, if requested; the classes do not exclude each
        other.
    warnings : tuple of LookAlikes
        Masks that seem to be incomplete: unmarked objects look like the marked ones. Mark them,
        or fit with ``annotation_kind="partial"``.
    """

    labels: Any
    _: KW_ONLY
    class_ids: tuple[int, ...]
    confidence: NDArray[np.float32]
    expected_iou: dict[int, float | None]
    probabilities: NDArray[np.float32] | None = None
    warnings: tuple[LookAlikes, ...] = ()


def gather_segmentation(
    events: Iterable[Event],
    view: Frames,
    class_ids: tuple[int, ...],
    *,
    output: Path | None = None,
    probabilities: bool = False,
    progress: ProgressCallback | None = None,
) -> Segmentation:
    """Collect the events of a run in a `Segmentation`.

    Parameters
    ----------
    events : iterable of Event
    view : Frames
        The segmented stack.
    class_ids : tuple of int
    output : Path, optional
        File or folder that the run writes the labels to; default: they are collected in memory.
    probabilities : bool, default: False
        Whether the events carry probabilities.
    progress : callable, optional
    """
    labels: Any = None
    if output is None:
        labels = np.zeros(view.label_shape, labels_dtype(class_ids))
    confidence = np.full((*view.lead_shape, len(class_ids)), np.nan, np.float32)
    shape = (*view.lead_shape, len(class_ids), *view.frame_shape)
    found = np.zeros(shape, np.float32) if probabilities else None
    expected: dict[int, float | None] = dict.fromkeys(class_ids)
    warnings: tuple[LookAlikes, ...] = ()
    for event in events:
        match event:
            case Progress(done, total, message):
                if progress is not None:
                    progress(done, total, message)
            case Learned(calibrations):
                expected |= {c: calibrations[c].expected_iou for c in calibrations}
                found_alike = [calibrations[c].look_alikes for c in sorted(calibrations)]
                warnings = tuple(one for one in found_alike if one is not None)
            case FrameResult() | FrameWritten():
                at = view.position(event.index)
                if labels is not None and isinstance(event, FrameResult):
                    labels[at] = event.labels
                confidence[at] = [event.confidence.get(c, np.nan) for c in class_ids]
                if found is not None:
                    found[at] = event.probabilities
    if output is not None:
        from napari_vrp_sam.io.images.stacks import read_labels

        labels = read_labels(output)
    return Segmentation(
        labels,
        class_ids=class_ids,
        confidence=confidence,
        expected_iou=expected,
        probabilities=found,
        warnings=warnings,
    )
