"""Fine-tuning of a dense head beside `lite` or a probe model, which is not changed."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from napari_vrp_sam.annotations.labels import class_ids_of
from napari_vrp_sam.fine_tuning.data.annotated_frames import AnnotatedFrame
from napari_vrp_sam.fine_tuning.data.crops import CropStream
from napari_vrp_sam.fine_tuning.recipe import FineTuningRecipe
from napari_vrp_sam.fine_tuning.tunable.base import Evaluation, TunableModel
from napari_vrp_sam.fine_tuning.tunable.lite import TunableLite
from napari_vrp_sam.fine_tuning.tunable.probe import ProbeBesideHead
from napari_vrp_sam.models.backbones.dense_head import FrozenHead
from napari_vrp_sam.models.backbones.model import ProbeModel
from napari_vrp_sam.models.base import EncodedReference
from napari_vrp_sam.models.calibration import ClassCalibration
from napari_vrp_sam.models.heads.dense_head import DenseHead, HeadSettings
from napari_vrp_sam.models.heads.share import MAX_REFERENCES, calibrate_head, mix_with_head
from napari_vrp_sam.models.lite.dense_head import LiteHead
from napari_vrp_sam.models.lite.model import LiteModel
from napari_vrp_sam.models.padding import resize_to_frame
from napari_vrp_sam.training.losses import segmentation_loss


class _Base(Protocol):
    """Model beside the head."""

    def evaluation(
        self, references: Sequence[EncodedReference], frames: Sequence[Tensor]
    ) -> Evaluation: ...

    def card(self) -> dict[str, str]: ...

    def tensors(self) -> dict[str, Tensor]: ...


class TunableDenseHead(TunableModel):
    """Dense head beside a model: a new one, or that of the model if it has the same classes.

    Parameters
    ----------
    model : LiteModel or ProbeModel
        Adapted to the annotation; a probe model is used without its head.
    class_ids : sequence of int
    recipe : FineTuningRecipe
    """

    trains_on_all_frames = True

    def __init__(
        self, model: LiteModel | ProbeModel, class_ids: Sequence[int], recipe: FineTuningRecipe
    ) -> None:
        self.model = model
        self._class_ids = tuple(class_ids)
        self._recipe = recipe
        self.head = _new_head(model, self._class_ids)
        self.head.share = recipe.head_shares[-1]
        self.head.requires_grad_(requires_grad=True)
        self.parameters = dict(self.head.named_parameters())
        self._base: _Base
        if isinstance(model, LiteModel):
            self._base = TunableLite(model, "decoder", recipe)
        else:
            self._base = ProbeBesideHead(model, recipe)

    def learning_rate(self, name: str) -> float:
        """Return the peak learning rate of a parameter; it is lower for the pretrained backbone."""
        recipe = self._recipe
        return recipe.head_backbone_rate if name.startswith("backbone.") else recipe.head_rate

    def stream(self, frames: Sequence[AnnotatedFrame], seed: int) -> CropStream:
        """Return batches of crops."""
        return CropStream(frames, self._class_ids, self._recipe, seed, zoom=self.head.zoom)

    def loss(self, batch: dict[str, Any]) -> Tensor:
        """Return the paper's loss on a batch of a `CropStream`."""
        frames = batch["targets"].contiguous(memory_format=torch.channels_last)
        masks, valid = batch["target_masks"], batch["valid"]
        logits = F.interpolate(self.head(frames), masks.shape[-2:], mode="bilinear")
        # An unknown mask would count as an empty one in the Dice loss.
        known = valid.any(dim=3).any(dim=2)
        return segmentation_loss(logits[known], masks[known], valid[known])

    def calibrate(self, validate: Callable[[], float]) -> float:
        """Set the share of the head to the best one on the held-out frames."""
        ious = {}
        for share in self._recipe.head_shares:
            self.head.share = share
            ious[share] = validate()
        self.head.share = max(ious, key=ious.__getitem__)
        return ious[self.head.share]

    @torch.no_grad()
    def evaluation(
        self, references: Sequence[EncodedReference], frames: Sequence[Tensor]
    ) -> DenseHeadEvaluation:
        """Segment reference frames and frames by the base model, once."""
        shown = [r for r in references if bool(r.mask.any())]
        images = [r.image for r in shown if r.image is not None]
        logits = self._base.evaluation(references, [*frames, *images]).logits()
        count = len(frames)
        return DenseHeadEvaluation(self.head, shown, logits[count:], frames, logits[:count])

    def card(self) -> dict[str, str]:
        """Return kind and sizes of the model and of the head."""
        return {**self._base.card(), **self.head.metadata()}

    def tensors(self) -> dict[str, Tensor]:
        """Return the weights in half precision; of a probe model those of the head only."""
        return {**self._base.tensors(), **self.head.tensors()}


def _new_head(model: LiteModel | ProbeModel, class_ids: tuple[int, ...]) -> DenseHead:
    """Return a head for training: a copy of that of the model if it has the same classes."""
    known = model.head if model.head and model.head.class_ids == class_ids else None
    if isinstance(model, LiteModel):
        if known is not None:
            return copy.deepcopy(known)
        return LiteHead.from_network(model.network, class_ids, zoom=model.zoom)
    head = FrozenHead(model.backbone, HeadSettings(class_ids))
    head.scale = model.scale
    if known is not None:
        head.load_state_dict(known.state_dict())
    return head.to(next(model.backbone.parameters()).device)


@dataclass(eq=False)
class DenseHeadEvaluation:
    """Mean of the base model's fixed logits and those of the head. Implements `Evaluation`.

    The logits have the shape (K, Y, X), for the frames of the references and for other frames.
    """

    head: DenseHead
    references: Sequence[EncodedReference]
    reference_logits: Sequence[Tensor]
    frames: Sequence[Tensor]
    frame_logits: Sequence[Tensor]

    @torch.no_grad()
    def logits(self) -> list[Tensor]:
        """Return the logits of each frame, shape (K, Y, X)."""
        encoded = [self._encode(reference) for reference in self.references]
        calibrations = []
        for channel, class_id in enumerate(class_ids_of(encoded)):
            chosen = [i for i, r in enumerate(encoded) if r.class_id == class_id][:MAX_REFERENCES]
            calibrations.append(
                calibrate_head(
                    ClassCalibration(0.0),
                    self.head,
                    [encoded[i] for i in chosen],
                    [self.reference_logits[i][channel] for i in chosen],
                )
            )
        return [
            mix_with_head(
                base,
                resize_to_frame(self.head.segment(frame[None]), frame.shape[-2:])[0],
                calibrations,
            )
            for frame, base in zip(self.frames, self.frame_logits, strict=True)
        ]

    def _encode(self, reference: EncodedReference) -> EncodedReference:
        """Replace the features of a reference by the current output of the head."""
        assert reference.image is not None
        maps = (self.head.segment(reference.image[None]),)
        return replace(reference, features=replace(reference.features, semantic=maps))
