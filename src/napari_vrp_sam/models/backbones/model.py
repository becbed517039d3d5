"""Probe models: any network of timm as frozen features, and an ensemble of probes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from napari_vrp_sam.models.backbones.dense_features import DenseBackbone
from napari_vrp_sam.models.backbones.dense_head import FrozenHead
from napari_vrp_sam.models.backbones.token_basis import TokenBasis
from napari_vrp_sam.models.base import EncodedReference, FrameFeatures, Model, Prompts
from napari_vrp_sam.models.calibration import ClassCalibration
from napari_vrp_sam.models.decision import USUAL_EDGE_SHARE, follow_edges
from napari_vrp_sam.models.heads.share import add_head, calibrate_model_head
from napari_vrp_sam.models.object_scale import median_diameter
from napari_vrp_sam.models.padding import pad_frames, resize_to_frame
from napari_vrp_sam.models.precision import mixed_precision
from napari_vrp_sam.models.probe.classical_features import intensities, structures
from napari_vrp_sam.models.probe.cross_validation import (
    FOLD_EFFORT,
    FoldEstimates,
    Predict,
    cross_validate,
)
from napari_vrp_sam.models.probe.encoded_shots import (
    Shot,
    assign_folds,
    shot_from_reference,
)
from napari_vrp_sam.models.probe.ensemble import ProbeRecipe, fit_ensemble
from napari_vrp_sam.models.probe.look_alikes import most_look_alikes
from napari_vrp_sam.models.probe.probe import Probe
from napari_vrp_sam.models.probe.pseudo_labels import complete_shots
from napari_vrp_sam.models.probe.views import VIEW_COUNT, augmented_views

LOGIT_LIMIT = 8.0
"""Bound of the logits."""

TOKEN_PIXELS = (4.0, 14.0)
"""Smallest and largest number of pixels of the frame that a token covers."""

TOKENS_PER_OBJECT = 4.0
"""Number of tokens across an object of median size."""


CLASSICAL_RECIPE = ProbeRecipe(linear=(0,), perceptron=(0, 1), trees=(0, 1))
"""Probe without the backbone, for images that the backbone does not suit."""

MIN_ADVANTAGE = 0.03
"""Gain in expected IoU that the probe without the backbone must reach, because one annotated frame
does not show smaller ones."""

SLOW_VIEW_COUNT = 2
"""Number of augmented views on a CPU, where a vision transformer takes seconds for each."""


@dataclass(frozen=True, eq=False)
class PreparedClass:
    """Everything that `ProbeModel.prepare` computes from the references of one class."""

    class_id: int
    probe: Probe
    basis: TokenBasis | None
    calibration: ClassCalibration


class ProbeModel(nn.Module, Model):
    """Frozen backbone and a probe; always in evaluation mode.

    The probe is the ensemble of `lite`: perceptrons on the maps of the backbone and on classical
    filters at full resolution, so that boundaries do not have the shape of tokens, and trees on
    classical filters alone.

    Parameters
    ----------
    name : str
        Name of the model.
    backbone : DenseBackbone
    head : FrozenHead, optional
        Head of a fine-tuned model.

    Attributes
    ----------
    scale : float
        Factor by which frames are enlarged for a vision transformer; see `adapt`.
    """

    uses_effort = True
    best_threshold = True

    def __init__(
        self, name: str, backbone: DenseBackbone, *, head: FrozenHead | None = None
    ) -> None:
        super().__init__()
        self.name = name
        self.backbone = backbone
        self.head = head
        self.scale = 1.0
        self.recipe = _recipe(len(backbone.channels))
        self.eval()

    @property
    def encoding_key(self) -> str:
        """See the base class."""
        return f"scale {self.scale:g}"

    def adapt(
        self,
        masks: Sequence[NDArray[np.bool_]],
        estimated: Sequence[NDArray[np.bool_]] = (),  # noqa: ARG002
    ) -> None:
        """Choose the scale of frames, so that a token covers a quarter of an object's diameter.

        Only for vision transformers, whose tokens are coarse: 4 pixels for small objects, 14 for
        large ones. Convolutional networks have fine maps.
        """
        if self.backbone.tokens:
            diameter = median_diameter(masks)
            pixels = np.clip(diameter / TOKENS_PER_OBJECT, *TOKEN_PIXELS) if diameter else 8.0
            # Steps of a tenth, so that another annotation of the same objects fits the cache.
            self.scale = round(self.backbone.unit / float(pixels), 1)

    @torch.no_grad()
    def encode(self, frames: Tensor) -> FrameFeatures:
        """Encode frames of shape (B, 3, H, W), float32 in 0..1.

        The semantic maps are `intensities`, `structures`, then those of the backbone, except for
        the coarsest, which is the embedding; with a dense head, its logits are the last.
        """
        padded = pad_frames(frames)
        precision = self.precision
        if precision == "auto":
            precision = "float16" if frames.is_cuda else "float32"
        with mixed_precision(frames.device, precision):
            *maps, embedding = found = self.backbone(padded, self.scale)
            head_maps = () if self.head is None else (self.head.logits(found, padded),)
        size = (frames.shape[-2], frames.shape[-1])
        backbone_maps = (m.float() for m in (*maps, *head_maps))
        semantic = (intensities(padded), structures(padded), *backbone_maps)
        return FrameFeatures(size, embedding.float(), semantic)

    @torch.no_grad()
    def prepare(self, references: Sequence[EncodedReference]) -> list[PreparedClass]:
        """Fit the probe and calibrate it, class by class.

        With an `effort` below 1, the probe is fitted faster, and offset and expected IoU are not
        estimated.
        """
        basis = None
        if self.backbone.tokens:
            basis = TokenBasis.fit([r.features.embedding for r in references])
        prepared = []
        for class_id in sorted({r.class_id for r in references}):
            of_class = [r for r in references if r.class_id == class_id]
            shots = [self._with_maps(shot_from_reference(r, references), basis) for r in of_class]
            one = self._prepare_class(class_id, of_class, shots, basis)
            if self.head is not None:
                calibration = calibrate_model_head(self, self.head, one, of_class)
                one = replace(one, calibration=calibration)
            prepared.append(one)
        return prepared

    def _prepare_class(
        self,
        class_id: int,
        references: Sequence[EncodedReference],
        shots: Sequence[Shot],
        basis: TokenBasis | None,
    ) -> PreparedClass:
        completed = assign_folds(complete_shots(shots, self.recipe))
        slow = self.backbone.tokens and completed[0].mask.is_cpu
        count = max(1, round(self.effort * (SLOW_VIEW_COUNT if slow else VIEW_COUNT)))
        views = [
            self._with_maps(view, basis) for view in augmented_views(completed, self.encode, count)
        ]
        recipe, calibration = self.recipe, ClassCalibration(decoder_share=0.0)
        if self.effort == 1:  # the cross-validation takes as long as everything else
            recipe, estimates = _better_recipe(completed, views, (self.recipe, CLASSICAL_RECIPE))
            calibration = ClassCalibration(0.0, *(estimates or (USUAL_EDGE_SHARE,)))
        probe = fit_ensemble(completed, recipe, views, effort=self.effort)
        look_alikes = most_look_alikes(references, shots, recipe)
        return PreparedClass(class_id, probe, basis, replace(calibration, look_alikes=look_alikes))

    def calibrations(self, prepared: Sequence[PreparedClass]) -> dict[int, ClassCalibration]:
        """Return the calibration of each prepared class, by class."""
        return {c.class_id: c.calibration for c in prepared}

    @torch.no_grad()
    def prompt(self, features: FrameFeatures, prepared: Sequence[PreparedClass]) -> Prompts:
        """Return the logits of every prepared class for one frame, as pseudo-masks."""
        maps = self._maps(features, prepared[0].basis)
        logits = torch.cat([_grid_logits(c.probe, maps) for c in prepared])
        empty = logits.new_empty(len(prepared), 0)
        return Prompts(
            tuple(c.class_id for c in prepared),
            empty,
            empty,
            logits,
            tuple(c.calibration for c in prepared),
        )

    @torch.no_grad()
    def decode(self, features: FrameFeatures, prompts: Prompts) -> Tensor:
        """Return mask logits of shape (K, H, W) at the size of the frame."""
        assert prompts.pseudo_mask is not None
        shifted = [
            logits + c.offset
            for logits, c in zip(prompts.pseudo_mask, prompts.calibrations, strict=True)
        ]
        shares = [c.edge_share for c in prompts.calibrations]
        edged = follow_edges(torch.stack(shifted), features.semantic[0], shares)
        logits = resize_to_frame(edged, features.size)[:, 0]
        return add_head(logits, features, prompts.calibrations)

    def _with_maps(self, shot: Shot, basis: TokenBasis | None) -> Shot:
        return replace(shot, maps=self._maps(shot.features, basis))

    def _maps(self, features: FrameFeatures, basis: TokenBasis | None) -> tuple[Tensor, ...]:
        """Return the maps that probes read, without the logits of the head."""
        maps = features.semantic[: 1 + len(self.backbone.channels)]
        embedding = features.embedding if basis is None else basis.project(features.embedding)
        return (*maps, embedding)


def _recipe(levels: int) -> ProbeRecipe:
    """Return the maps that the probes read: 0 intensities, 1 structures, then the backbone's."""
    backbone = tuple(range(2, 2 + levels))
    # The deepest map of a pyramid suits photographs; one perceptron does without.
    shallow = backbone[:-1] if levels > 1 else backbone
    return ProbeRecipe(
        linear=(0, *shallow),
        perceptron=(0, 1, *shallow),
        view_perceptron=(0, *backbone),
        trees=(0, 1),
    )


def _better_recipe(
    shots: Sequence[Shot], views: Sequence[Shot], recipes: Sequence[ProbeRecipe]
) -> tuple[ProbeRecipe, FoldEstimates | None]:
    """Return the first recipe, or one whose expected IoU is clearly higher."""
    best: tuple[ProbeRecipe, FoldEstimates] | None = None
    for recipe in recipes:
        estimates = cross_validate(shots, views, partial(_learn, recipe), lambda s: s.maps[0])
        if estimates and (
            best is None or estimates.expected_iou > best[1].expected_iou + MIN_ADVANTAGE
        ):
            best = recipe, estimates
    return best or (recipes[0], None)


def _learn(recipe: ProbeRecipe, shots: Sequence[Shot], views: Sequence[Shot]) -> Predict:
    probe = fit_ensemble(shots, recipe, views, effort=FOLD_EFFORT)
    return lambda shot: _grid_logits(probe, shot.maps)


def _grid_logits(probe: Any, maps: Sequence[Tensor]) -> Tensor:
    """Return clipped logits of shape (B, 1, h, w) on the grid of the finest map."""
    size = (maps[0].shape[-2], maps[0].shape[-1])
    logits: Tensor = probe.logits(maps, size)
    return logits.clamp(-LOGIT_LIMIT, LOGIT_LIMIT)
