"""A dense head on `lite`, as it is tuned; `lite` itself stays as it is."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from napari_vrp_sam.annotations.labels import class_ids_of
from napari_vrp_sam.fine_tuning.data.annotated_frames import AnnotatedFrame
from napari_vrp_sam.fine_tuning.data.crops import CropStream
from napari_vrp_sam.fine_tuning.recipe import FineTuningRecipe
from napari_vrp_sam.fine_tuning.tunable.lite import TunableLite
from napari_vrp_sam.models.base import EncodedReference, FrameFeatures
from napari_vrp_sam.models.calibration import ClassCalibration
from napari_vrp_sam.models.lite.decoder_share import MAX_REFERENCES
from napari_vrp_sam.models.lite.dense_head import DenseHead, full_size
from napari_vrp_sam.models.lite.dense_head_file import head_card, head_tensors
from napari_vrp_sam.models.lite.head_share import calibrate_head, mixed
from napari_vrp_sam.models.lite.model import LiteModel
from napari_vrp_sam.training.lite_file import lite_header, half_precision_weights
from napari_vrp_sam.training.losses import segmentation_loss


class TunableDenseHead:
    """Implements `TunableModel`.

    Parameters
    ----------
    model : LiteModel
        If it has a head for the same classes, that one learns on.
    class_ids : sequence of int
        The K classes that are annotated.
    recipe : FineTuningRecipe
    """

    trains_on_all_frames = True

    def __init__(
        self, model: LiteModel, class_ids: Sequence[int], recipe: FineTuningRecipe
    ) -> None:
        self.model = model
        self._base = TunableLite(model, "decoder", recipe)
        self._class_ids = tuple(class_ids)
        self._recipe = recipe
        if model.head is not None and model.head.class_ids == self._class_ids:
            self.head = copy.deepcopy(model.head)
        else:
            self.head = DenseHead.on(model.network, self._class_ids)
        self.head.share = recipe.head_shares[-1]
        self.head.requires_grad_(requires_grad=True)
        self.parameters: dict[str, nn.Parameter] = dict(self.head.named_parameters())

    def rate(self, name: str) -> float:
        """Highest learning rate of a parameter: the backbone knows something already."""
        recipe = self._recipe
        return recipe.head_backbone_rate if name.startswith("backbone.") else recipe.head_rate

    def stream(self, frames: Sequence[AnnotatedFrame], _steps: int, seed: int) -> CropStream:
        """Crops of the frames."""
        return CropStream(frames, self._class_ids, self._recipe, seed)

    def loss(self, batch: dict[str, Any]) -> Tensor:
        """The paper's loss on crops; see `crops.DenseCrops.batch`."""
        frames = batch["targets"].contiguous(memory_format=torch.channels_last)
        ground_truth, valid = batch["target_masks"], batch["valid"]
        logits = F.interpolate(self.head(frames), ground_truth.shape[-2:], mode="bilinear")
        # Masks of which nothing is known would count as empty ones in the Dice loss.
        told = valid.any(dim=3).any(dim=2)
        return segmentation_loss(logits[told], ground_truth[told], valid[told])

    def calibrate(self, examine: Callable[[], float]) -> float:
        """Take the share with which the head does best where it has not learned."""
        reached = {}
        for share in self._recipe.head_shares:
            self.head.share = share
            reached[share] = examine()
        self.head.share = max(reached, key=reached.__getitem__)
        return reached[self.head.share]

    def encode(self, frame: Tensor) -> FrameFeatures:
        """Encode a frame of shape (3, Y, X) by the base model."""
        return self.model.encode(frame[None])

    @torch.no_grad()
    def evaluation(
        self, references: Sequence[EncodedReference], frames: Sequence[Tensor]
    ) -> DenseHeadEvaluation:
        """Segment the frames by the base model, once and for all."""
        shown = [r for r in references if bool(r.mask.any())]
        images = [r.image for r in shown if r.image is not None]
        bases = self._base.evaluation(references, [*frames, *images]).logits()
        return DenseHeadEvaluation(
            self.head, shown, bases[len(frames) :], frames, bases[: len(frames)]
        )

    def card(self) -> dict[str, str]:
        """Kind and sizes, of the head too."""
        return {**lite_header(self.model.network), **head_card(self.head)}

    def tensors(self) -> dict[str, Tensor]:
        """The weights of `lite` and of the head, in half precision."""
        return {**half_precision_weights(self.model.network), **head_tensors(self.head)}


class DenseHeadEvaluation:
    """Implements `Evaluation`: what the base model makes of the frames, and the head beside it.

    Parameters
    ----------
    head : DenseHead
    references : sequence of EncodedReference
        That show their class.
    seen : sequence of Tensor, each of shape (K, Y, X)
        What the base model makes of their frames.
    frames : sequence of Tensor, each of shape (3, Y, X)
    bases : sequence of Tensor, each of shape (K, Y, X)
        What it makes of these.
    """

    def __init__(
        self,
        head: DenseHead,
        references: Sequence[EncodedReference],
        seen: Sequence[Tensor],
        frames: Sequence[Tensor],
        bases: Sequence[Tensor],
    ) -> None:
        self._head = head
        self._references = references
        self._seen = seen
        self._frames = frames
        self._bases = bases

    @torch.no_grad()
    def logits(self) -> list[Tensor]:
        """Of each frame, shape (K, Y, X)."""
        drawn = [self._drawn(reference) for reference in self._references]
        calibrations = []
        for number, class_id in enumerate(class_ids_of(drawn)):
            own = [at for at, r in enumerate(drawn) if r.class_id == class_id][:MAX_REFERENCES]
            bases = [self._seen[at][number] for at in own]
            calibrations.append(
                calibrate_head(ClassCalibration(0.0), self._head, [drawn[at] for at in own], bases)
            )
        return [
            mixed(base, full_size(self._head(frame[None]), frame.shape[-2:])[0], calibrations)
            for frame, base in zip(self._frames, self._bases, strict=True)
        ]

    def _drawn(self, reference: EncodedReference) -> EncodedReference:
        """The reference with what the head makes of its frame now."""
        assert reference.image is not None
        maps = (self._head(reference.image[None]),)
        return replace(reference, features=replace(reference.features, semantic=maps))
