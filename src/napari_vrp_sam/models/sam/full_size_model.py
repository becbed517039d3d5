"""The full-size model of the paper: SAM, a semantic encoder and the VRP encoder."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from copy import copy
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from segment_anything.modeling import Sam
from segment_anything.utils.transforms import ResizeLongestSide
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from napari_vrp_sam.errors import InputError
from napari_vrp_sam.models.base import EncodedReference, FrameFeatures, Model, Prompts
from napari_vrp_sam.models.precision import Precision, mixed_precision
from napari_vrp_sam.models.sam import persam
from napari_vrp_sam.models.sam.geometric_prompts import encode_geometric
from napari_vrp_sam.models.sam.image_encoder import encode_images
from napari_vrp_sam.models.sam.mask_decoder import decode_masks
from napari_vrp_sam.models.sam.probe import fit_probe, probe_probability
from napari_vrp_sam.models.sam.prompting import Prompting, check_prompting, default_prompting
from napari_vrp_sam.models.sam.square_canvas import (
    frame_cells,
    on_canvas,
    pad_to_square,
    place_on_square_canvas,
    resize_longest_side,
)
from napari_vrp_sam.models.vrp.feature_augmenter import mask_on_grid
from napari_vrp_sam.models.vrp.pseudo_mask import PseudoMaskKind, check_pseudo_mask, correlation
from napari_vrp_sam.models.vrp.semantic_encoders import SemanticEncoder, concatenate_stages
from napari_vrp_sam.models.vrp.vrp_encoder import ReferenceEncoding, VRPEncoder, concatenate_shots


@dataclass(frozen=True, eq=False)
class PreparedClass:
    """What the references of one class give once and for all.

    Attributes
    ----------
    class_id : int
    shots : int
        Number of references.
    pseudo_mask : callable, optional
        From the features of a target to probabilities of shape (shots, 1, h, w): the correlation
        with each reference; or (1, 1, h, w): of the probe, which is fitted on all of them.
    encoding : ReferenceEncoding, optional
        Where the VRP encoder prompts.
    embedding : Tensor, shape (D,), optional
        Of the class in SAM's features, where PerSAM prompts, which looks at no pseudo-mask.
    """

    class_id: int
    shots: int
    pseudo_mask: Callable[[FrameFeatures], Tensor] | None
    encoding: ReferenceEncoding | None
    embedding: Tensor | None = None


class FullSizeModel(nn.Module, Model):
    """VRP-SAM at SAM's own size.

    Both encoders see the frame with its longest side resized and the rest padded, so that a cell
    of one grid lies where the same cell of the other does.

    Parameters
    ----------
    name : str
    sam : Sam
        Of `segment_anything`; frozen.
    semantic : SemanticEncoder
    vrp_encoder : VRPEncoder, optional
    semantic_side : int, default 512
        Longest side of frames for the semantic encoder, in pixels.
    pseudo_mask : {"probe", "correlation"}
        What tells the VRP encoder, or chooses points and a box, where the class may be: the probe,
        one for each class, on the maps of both encoders; or the paper's training-free correlation,
        which a VRP encoder of the paper's code was trained with.
    prompting : Prompting, optional
        What prompts SAM, see `PROMPTINGS`: the VRP encoder, or where there is none, points and a
        box from the pseudo-mask (GP-SAM, paper, table 3).

    Raises
    ------
    InputError
        If the VRP encoder does not fit the semantic encoder or SAM, or pseudo-mask and prompting
        are unknown or need what the model lacks.
    """

    def __init__(
        self,
        name: str,
        sam: Sam,
        semantic: SemanticEncoder,
        vrp_encoder: VRPEncoder | None = None,
        *,
        semantic_side: int = 512,
        pseudo_mask: PseudoMaskKind = "probe",
        prompting: Prompting | None = None,
    ) -> None:
        super().__init__()
        self.pseudo_mask = check_pseudo_mask(pseudo_mask)
        if vrp_encoder is not None:
            fits = {
                "in_channels": sum(semantic.channels[:2]),
                "dim": sam.prompt_encoder.embed_dim,
            }
            if {key: vrp_encoder.config[key] for key in fits} != fits:
                raise InputError(
                    "The VRP encoder was trained with another semantic encoder or SAM: choose the "
                    "semantic encoder that its weights were trained with."
                )
        self.name = name
        self.sam = sam.requires_grad_(requires_grad=False)
        self.semantic = semantic.to(memory_format=torch.channels_last)  # convolutions like it
        self.vrp_encoder = vrp_encoder
        self.semantic_side = semantic_side
        self._prompting = prompting and self._checked(prompting)
        self.precision: Precision = "float32"
        """What `encode` computes in."""
        self.compiled = False
        """Whether `encode` runs batches through `torch.compile`, on a GPU."""
        self.additions: dict[str, Tensor] = {}
        """Low-rank changes that the image encoder's weights hold; see `full_size_file`."""

    def with_prompting(self, prompting: Prompting) -> FullSizeModel:
        """The same model, of the same weights in memory, with another prompting.

        Raises
        ------
        InputError
            If the model lacks what that needs.
        """
        other = copy(self)
        other._prompting = self._checked(prompting)  # noqa: SLF001 # of this class
        return other

    @property
    def prompting(self) -> Prompting:
        """What prompts SAM: what was chosen, or the best that the model has."""
        return self._prompting or default_prompting(trained=self.vrp_encoder is not None)

    def _checked(self, prompting: Prompting) -> Prompting:
        trained = self.vrp_encoder is not None
        return check_prompting(
            prompting, model=self.name, trained=trained, pseudo_mask=self.pseudo_mask
        )

    @property
    def input_side(self) -> int:
        """Longest side of frames for SAM's image encoder, in pixels."""
        return int(self.sam.image_encoder.img_size)

    @torch.no_grad()
    def encode(self, frames: Tensor) -> FrameFeatures:
        """Encode frames of shape (B, 3, H, W), float32 in 0..1; all features are float32."""
        # Code is compiled for one shape: not for a reference alone.
        compiled = self.compiled and len(frames) > 1 and frames.is_cuda
        image_encoder = partial(encode_images, self.sam.image_encoder, compiled=compiled)
        with mixed_precision(frames.device, self.precision):
            features = self._features(frames, image_encoder)
        return FrameFeatures(
            features.size, features.embedding.float(), tuple(m.float() for m in features.semantic)
        )

    def features(self, frames: Tensor) -> FrameFeatures:
        """The same, for training: SAM's image encoder passes gradients on, if it has any."""
        return self._features(frames, self.sam.image_encoder)

    def _features(self, frames: Tensor, image_encoder: Callable[[Tensor], Tensor]) -> FrameFeatures:
        large = resize_longest_side(frames, self.input_side)
        embedding = image_encoder(self.sam.preprocess(255 * large))

        canvas = place_on_square_canvas(frames, self.semantic_side, self.semantic.centre)
        size = (int(frames.shape[-2]), int(frames.shape[-1]))
        # Stage 4 is a large part of the work, and the correlation alone looks at it.
        stages = self.semantic if self.pseudo_mask == "correlation" else self.semantic.shallow
        with torch.no_grad():
            semantic = tuple(stages(canvas))
        return FrameFeatures(size, embedding, semantic)

    def prepare(self, references: Sequence[EncodedReference]) -> tuple[PreparedClass, ...]:
        """Encode the references, class by class, in ascending order of the classes."""
        by_class: dict[int, list[EncodedReference]] = defaultdict(list)
        for reference in references:
            by_class[reference.class_id].append(reference)
        return tuple(self._prepare_class(own, references) for _, own in sorted(by_class.items()))

    def _prepare_class(
        self, own: Sequence[EncodedReference], references: Sequence[EncodedReference]
    ) -> PreparedClass:
        showing = [r for r in own if bool(r.mask.any())]  # others only say what is background
        class_id, shots = own[0].class_id, len(showing)
        if self.prompting == "persam":
            return PreparedClass(class_id, shots, None, None, persam.class_embedding(showing))
        pseudo_mask: Callable[[FrameFeatures], Tensor]
        if self.pseudo_mask == "probe":
            pseudo_mask = partial(probe_probability, probe=fit_probe(own, references))
        else:
            _, stage_3, masks = self._masked(showing)
            with torch.no_grad():
                masked = self.semantic.stage_4(stage_3 * masks)
            pseudo_mask = partial(_correlate, reference_masked=masked, masks=masks)
        encoding = self.encode_references(own)
        return PreparedClass(class_id, shots, pseudo_mask, encoding)

    def encode_references(self, own: Sequence[EncodedReference]) -> ReferenceEncoding | None:
        """What the VRP encoder, if it prompts, makes of the references of one class."""
        if self.vrp_encoder is None or self.prompting == "persam":
            return None
        stage_2, stage_3, masks = self._masked([r for r in own if bool(r.mask.any())])
        return self.vrp_encoder.encode_reference(concatenate_stages(stage_2, stage_3), masks)

    @staticmethod
    def _masked(showing: Sequence[EncodedReference]) -> tuple[Tensor, Tensor, Tensor]:
        """Stages 2 and 3 of references, and their masks on the grid of stage 3."""
        stage_2, stage_3 = (
            torch.cat([r.features.semantic[stage] for r in showing]) for stage in (0, 1)
        )
        padded = (pad_to_square(r.mask[None, None].to(stage_3)) for r in showing)
        grid = (stage_3.shape[-2], stage_3.shape[-1])
        return stage_2, stage_3, torch.cat([mask_on_grid(mask, grid) for mask in padded])

    def prompt(self, features: FrameFeatures, prepared: Sequence[PreparedClass]) -> Prompts:
        """Prompts of all prepared classes for one frame.

        Where classes have different numbers of references, those of the smaller ones are
        repeated, because the classes are decoded as one batch.
        """
        class_ids = tuple(c.class_id for c in prepared)
        embeddings = [c.embedding for c in prepared if c.embedding is not None]
        if embeddings:
            return persam.persam_prompts(self.sam, features, class_ids, torch.stack(embeddings))
        made = [c.pseudo_mask for c in prepared if c.pseudo_mask is not None]
        with torch.no_grad():
            pseudo_masks = [self._inside(make(features), features) for make in made]
        mean = torch.cat([p.mean(dim=0, keepdim=True) for p in pseudo_masks])
        rows, columns = frame_cells(features.size, mean)
        visible = mean[..., :rows, :columns]

        if self.prompting == "vrp":
            sparse = self._visual_prompts(features, prepared, pseudo_masks)
            no_mask = self.sam.prompt_encoder.no_mask_embed.weight[..., None, None]
            dense = no_mask.expand(len(prepared), -1, *self.sam.prompt_encoder.image_embedding_size)
        else:
            cell = self.input_side / mean.shape[-1]
            sparse, dense = encode_geometric(self.sam, visible, cell, self.prompting)
        return Prompts(class_ids, sparse, dense, visible.logit(eps=1e-4))

    def _visual_prompts(
        self,
        features: FrameFeatures,
        prepared: Sequence[PreparedClass],
        pseudo_masks: Sequence[Tensor],
    ) -> Tensor:
        assert self.vrp_encoder is not None
        target = concatenate_stages(*features.semantic[:2])
        most = max(c.shots for c in prepared)
        of_classes = []
        for one, pseudo_mask in zip(prepared, pseudo_masks, strict=True):
            assert one.encoding is not None
            prompts = self.vrp_encoder.prompts(
                one.encoding, target, pseudo_mask.expand(one.shots, -1, -1, -1)
            )
            repeated = torch.arange(most, device=prompts.device) % one.shots
            of_classes.append(concatenate_shots(prompts[repeated], most))
        return torch.cat(of_classes)

    def decode(self, features: FrameFeatures, prompts: Prompts) -> Tensor:
        """Mask logits of shape (K, H, W) at the frame's size."""
        if isinstance(prompts, persam.PerSAMPrompts):
            logits = persam.decode_persam(self.sam, features, prompts)
        elif self.prompting == "probe" and prompts.pseudo_mask is not None:
            logits = on_canvas(prompts.pseudo_mask)
        else:
            logits = decode_masks(
                self.sam.mask_decoder,
                features.embedding,
                self.sam.prompt_encoder.get_dense_pe(),
                prompts.sparse,
                prompts.dense,
            )
        resized = ResizeLongestSide.get_preprocess_shape(*features.size, self.input_side)
        masks: Tensor = self.sam.postprocess_masks(logits, resized, features.size)
        return masks[:, 0]

    def segment(self, features: FrameFeatures, prepared: Sequence[PreparedClass]) -> Tensor:
        """Mask logits (B, K, H, W) of a batch of frames: what `prompt` and `decode` give of each.

        On a GPU the frames go through both together, whose small steps would not fill it, but for
        PerSAM, whose passes depend on what the ones before have found.
        """
        maps = (features.embedding, *features.semantic)
        one = partial(self._segment_one, features.size, prepared)
        if len(features) == 1 or not features.embedding.is_cuda or self.prompting == "persam":
            return torch.stack([one(*of_frame) for of_frame in zip(*maps, strict=True)])
        return together(one, *maps)

    def _segment_one(
        self, size: tuple[int, int], prepared: Sequence[PreparedClass], *maps: Tensor
    ) -> Tensor:
        embedding, *semantic = (m[None] for m in maps)
        features = FrameFeatures(size, embedding, tuple(semantic))
        return self.decode(features, self.prompt(features, prepared))

    def _inside(self, pseudo_mask: Tensor, features: FrameFeatures) -> Tensor:
        """The pseudo-mask with nothing on the padding."""
        rows, columns = frame_cells(features.size, pseudo_mask)
        inside = torch.zeros_like(pseudo_mask)
        inside[..., :rows, :columns] = pseudo_mask[..., :rows, :columns]
        return inside


def together(function: Callable[..., Tensor], *batches: Tensor) -> Tensor:
    """What a function gives of each item of batches, in one pass over all."""
    # Some of the ways that PyTorch has for attention cannot be batched so.
    quick = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with sdpa_kernel(SDPBackend.MATH):
            results: Tensor = torch.vmap(function)(*batches)
    finally:
        torch.backends.mha.set_fastpath_enabled(quick)
    return results


def _correlate(target: FrameFeatures, *, reference_masked: Tensor, masks: Tensor) -> Tensor:
    deepest = target.semantic[2].expand(len(masks), -1, -1, -1)
    similarity = correlation(deepest, reference_masked, masks)
    # The feature augmenter's grid is that of stage 3.
    return F.interpolate(
        similarity, target.semantic[1].shape[-2:], mode="bilinear", align_corners=True
    )


def build_sam(variant: str) -> Sam:
    """SAM with random weights: `variant` is "vit_b", "vit_l" or "vit_h"."""
    from segment_anything import sam_model_registry

    model: Any = sam_model_registry[variant]()
    return model
