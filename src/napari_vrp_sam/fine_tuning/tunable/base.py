"""Interface between the training loop and a model, and validation on held-out frames."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from napari_vrp_sam.annotations.labels import IGNORED
from napari_vrp_sam.fine_tuning.data.annotated_frames import (
    AnnotatedFrame,
    Fold,
    common_classes,
    crop_to_annotation,
)
from napari_vrp_sam.fine_tuning.recipe import FineTuningRecipe
from napari_vrp_sam.models.base import EncodedReference, FrameFeatures, Model


class BatchStream(Protocol):
    """Source of training batches that depend on the step only."""

    def batch(self, step: int) -> dict[str, Any]:
        """Return the batch of a step: tensors and lists with one entry per example."""
        ...


class Evaluation(Protocol):
    """Segmentation of fixed frames by fixed references, with the current weights."""

    def logits(self) -> list[Tensor]:
        """Return the logits of each frame, shape (K, Y, X)."""
        ...


class TunableModel(ABC):
    """Model with trainable parameters.

    Attributes
    ----------
    model : Model
    parameters : dict of str to Parameter
        The trained parameters, by name.
    trains_on_all_frames : bool
        True if the result is a separate set of weights that is trained on all frames, instead of
        the mean of the weights of all folds. Randomly initialised weights cannot be averaged.
    """

    model: Model
    parameters: dict[str, nn.Parameter]
    trains_on_all_frames = False

    @abstractmethod
    def learning_rate(self, name: str) -> float:
        """Return the peak learning rate of a parameter."""

    @abstractmethod
    def stream(self, frames: Sequence[AnnotatedFrame], seed: int) -> BatchStream:
        """Return the training batches of some frames."""

    @abstractmethod
    def loss(self, batch: dict[str, Any]) -> Tensor:
        """Return the loss of a batch."""

    @abstractmethod
    def evaluation(
        self, references: Sequence[EncodedReference], frames: Sequence[Tensor]
    ) -> Evaluation:
        """Prepare the segmentation of frames, shape (3, Y, X) each, by references."""

    def calibrate(self, validate: Callable[[], float]) -> float:
        """Choose untrained parameters by the held-out IoU, and return the IoU with the choice."""
        return validate()

    def encode(self, frame: Tensor) -> FrameFeatures:
        """Encode a frame of shape (3, Y, X)."""
        return self.model.encode(frame[None])

    @abstractmethod
    def card(self) -> dict[str, str]:
        """Return the metadata that are needed to load the model."""

    @abstractmethod
    def tensors(self) -> dict[str, Tensor]:
        """Return the contents of the model's file, with the current weights."""


def encode_annotated_frames(
    tunable: TunableModel, frames: Sequence[AnnotatedFrame], device: torch.device
) -> list[EncodedReference]:
    """Encode each frame once; return one reference for each of its classes."""
    encoded = []
    for number, frame in enumerate(frames):
        image = _to_device(frame.image, device)
        features = tunable.encode(image)
        for class_id, annotation in sorted(frame.annotations.items()):
            mask, kind = _to_device(annotation.mask, device), annotation.kind
            ignored = None
            if kind == "mask":
                ignored = _to_device(annotation.ground_truth == IGNORED, device)
            encoded.append(EncodedReference(features, mask, class_id, kind, number, ignored, image))
    return encoded


def choose_references(
    frames: Sequence[AnnotatedFrame], class_ids: Sequence[int], count: int
) -> list[AnnotatedFrame]:
    """Choose about `count` frames so that each class can be learned from one of them."""
    chosen: list[int] = []
    for class_id in class_ids:
        if not any(class_id in frames[i].informative_classes for i in chosen):
            chosen.append(
                next(i for i, frame in enumerate(frames) if class_id in frame.informative_classes)
            )
    others = [i for i in range(len(frames)) if i not in chosen]
    return [frames[i] for i in sorted(chosen + others[: max(0, count - len(chosen))])]


def held_out_iou(logits: Tensor, class_ids: Sequence[int], frame: AnnotatedFrame) -> list[float]:
    """Return the IoU of each class for which the frame is informative, over its known pixels.

    The logits have the shape (K, Y, X), for the K classes.
    """
    ious = []
    for predicted, class_id in zip((logits > 0).cpu().numpy(), class_ids, strict=True):
        if class_id not in frame.informative_classes:
            continue
        ground_truth = frame.annotations[class_id].ground_truth
        known, expected = ground_truth != IGNORED, ground_truth == 1
        intersection = np.count_nonzero(predicted & expected & known)
        union = np.count_nonzero((predicted | expected) & known)
        ious.append(float(intersection) / max(int(union), 1))
    return ious


class FoldEvaluation:
    """Validation on the held-out frame of a fold, with a few training frames as references."""

    def __init__(
        self, tunable: TunableModel, fold: Fold, recipe: FineTuningRecipe, device: torch.device
    ) -> None:
        side = recipe.validation_side
        shown = choose_references(fold.training, fold.class_ids, recipe.validation_references)
        training = [crop_to_annotation(frame, side) for frame in shown]
        self._frame = crop_to_annotation(fold.held_out, side)
        self._class_ids = common_classes(training, self._frame)
        references = [
            reference
            for reference in encode_annotated_frames(tunable, training, device)
            if reference.class_id in self._class_ids
        ]
        image = _to_device(self._frame.image, device)
        self._evaluation = tunable.evaluation(references, [image])

    def iou(self) -> float:
        """Return the mean IoU over the classes with the current weights."""
        (logits,) = self._evaluation.logits()
        return float(np.mean(held_out_iou(logits, self._class_ids, self._frame)))


def _to_device(array: np.ndarray, device: torch.device) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(array)).to(device)
