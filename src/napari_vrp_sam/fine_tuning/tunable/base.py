"""What is tuned: a model, the part of it that learns, and how it is examined."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from napari_vrp_sam.annotations.labels import IGNORED
from napari_vrp_sam.fine_tuning.data.annotated_frames import (
    AnnotatedFrame,
    Fold,
    crop_to_annotation,
)
from napari_vrp_sam.models.base import EncodedReference, FrameFeatures


class BatchStream(Protocol):
    """Batches, a function of the step alone."""

    def batch(self, step: int) -> dict[str, Any]:
        """What `TunableModel.loss` takes: tensors and lists with an entry for each example."""
        ...


class Evaluation(Protocol):
    """References that are learned once, and frames that are segmented with the present weights."""

    def logits(self) -> list[Tensor]:
        """Of each frame, shape (K, Y, X); what learns may have changed since the last time."""
        ...


class TunableModel(Protocol):
    """A model that learns.

    Attributes
    ----------
    parameters : dict of str to Parameter
        What learns, by name.
    learns_from_all : bool
        Whether the result is a candidate of its own that learns from everything; else it is the
        mean of those that learn from the folds. New weights cannot be averaged: they start far
        from where they end.
    """

    parameters: dict[str, nn.Parameter]
    trains_on_all_frames: bool

    def rate(self, name: str) -> float:
        """Highest learning rate of a parameter."""
        ...

    def stream(self, frames: Sequence[AnnotatedFrame], steps: int, seed: int) -> BatchStream:
        """Batches of what these frames teach."""
        ...

    def loss(self, batch: dict[str, Any]) -> Tensor:
        """Loss of a batch of its stream."""
        ...

    def evaluation(
        self, references: Sequence[EncodedReference], frames: Sequence[Tensor]
    ) -> Evaluation:
        """Prepare to segment frames, shape (3, Y, X) each, by references."""
        ...

    def calibrate(self, examine: Callable[[], float]) -> float:
        """Choose, once trained, what is not learned; `examine` gives the IoU on what is held out.

        Returns
        -------
        float
            The IoU with what is chosen.
        """
        ...

    def encode(self, frame: Tensor) -> FrameFeatures:
        """Encode a frame of shape (3, Y, X)."""
        ...

    def card(self) -> dict[str, str]:
        """What a file of this model needs to say, so that it can be loaded."""
        ...

    def tensors(self) -> dict[str, Tensor]:
        """What a file of this model holds, with the present weights."""
        ...


def encode_annotated_frames(
    subject: TunableModel, frames: Sequence[AnnotatedFrame], device: torch.device
) -> list[EncodedReference]:
    """Annotated frames as the model takes them; each is encoded once."""
    encoded = []
    for number, frame in enumerate(frames):
        image = torch.from_numpy(np.ascontiguousarray(frame.image)).to(device)
        features = subject.encode(image)
        for class_id, marks in sorted(frame.marks.items()):
            mask = torch.from_numpy(np.ascontiguousarray(marks.mask)).to(device)
            ignored = None
            if marks.kind == "mask":
                unknown = np.ascontiguousarray(marks.ground_truth == IGNORED)
                ignored = torch.from_numpy(unknown).to(device)
            encoded.append(
                EncodedReference(features, mask, class_id, marks.kind, number, ignored, image)
            )
    return encoded


def held_out_iou(logits: Tensor, class_ids: Sequence[int], frame: AnnotatedFrame) -> list[float]:
    """IoU of each class that the frame tells of, over its known pixels.

    Parameters
    ----------
    logits : Tensor, shape (K, Y, X)
    class_ids : sequence of int
        The K classes.
    frame : AnnotatedFrame
    """
    ious = []
    found: NDArray[np.bool_] = (logits > 0).cpu().numpy()
    for mask, class_id in zip(found, class_ids, strict=True):
        if class_id not in frame.informative:
            continue
        ground_truth = frame.marks[class_id].ground_truth
        known, wanted = ground_truth != IGNORED, ground_truth == 1
        overlap = np.count_nonzero(mask & wanted & known)
        union = np.count_nonzero((mask | wanted) & known)
        ious.append(float(overlap) / max(int(union), 1))
    return ious


class FoldEvaluation:
    """The exam of one fold: the IoU on what it holds out.

    Parameters
    ----------
    subject : TunableModel
    fold : Fold
    side : int
        Of frames that are larger, a part of this height and width in pixels counts.
    device : torch.device
    """

    def __init__(self, subject: TunableModel, fold: Fold, side: int, device: torch.device) -> None:
        learned = [crop_to_annotation(frame, side) for frame in fold.learned]
        self._frame = crop_to_annotation(fold.held_out, side)
        shown = {c for frame in learned for c in frame.informative}
        self._class_ids = sorted(shown & self._frame.informative)
        references = [
            reference
            for reference in encode_annotated_frames(subject, learned, device)
            if reference.class_id in self._class_ids
        ]
        image = torch.from_numpy(np.ascontiguousarray(self._frame.image)).to(device)
        self._exam = subject.evaluation(references, [image])

    def iou(self) -> float:
        """Mean over the classes, with the present weights."""
        (logits,) = self._exam.logits()
        return float(np.mean(held_out_iou(logits, self._class_ids, self._frame)))
