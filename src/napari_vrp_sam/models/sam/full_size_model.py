"""Full-size model of the paper: SAM, a semantic encoder and a VRP encoder."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from copy import copy
from functools import partial

import torch
from segment_anything.modeling import Sam
from segment_anything.utils.transforms import ResizeLongestSide
from torch import Tensor, nn

from napari_vrp_sam.models.base import EncodedReference, FrameFeatures, Model, Prompts
from napari_vrp_sam.models.calibration import ClassCalibration
from napari_vrp_sam.models.precision import Precision, mixed_precision
from napari_vrp_sam.models.sam import persam
from napari_vrp_sam.models.sam.geometric_prompts import encode_geometric
from napari_vrp_sam.models.sam.image_encoder import encode_images
from napari_vrp_sam.models.sam.mask_decoder import decode_masks
from napari_vrp_sam.models.sam.objects.model import ObjectPrompting
from napari_vrp_sam.models.sam.objects.prompts import ObjectPrompts
from napari_vrp_sam.models.sam.preparation import (
    PreparedClass,
    check_sizes,
    clear_padding,
    correlate,
    stages_and_masks,
    with_class,
)
from napari_vrp_sam.models.sam.probe import fine_maps, fit_probe, probe_probability
from napari_vrp_sam.models.sam.prompting import Prompting, check_prompting, default_prompting
from napari_vrp_sam.models.sam.square_canvas import (
    extend_to_square,
    frame_cells,
    place_on_square_canvas,
    resize_longest_side,
)
from napari_vrp_sam.models.sam.vectorised import vectorised
from napari_vrp_sam.models.vrp.pseudo_mask import PseudoMaskKind, check_pseudo_mask
from napari_vrp_sam.models.vrp.semantic_encoders import SemanticEncoder, concatenate_stages
from napari_vrp_sam.models.vrp.vrp_encoder import ReferenceEncoding, VRPEncoder, concatenate_shots


class FullSizeModel(nn.Module, Model):
    """VRP-SAM with a Segment Anything model.

    Both encoders see the frame on a square canvas, so their feature maps are aligned.

    Parameters
    ----------
    name : str
    sam : Sam
        Model of `segment_anything`; its parameters are frozen.
    semantic : SemanticEncoder
    vrp_encoder : VRPEncoder, optional
    semantic_side : int, default 512
        Longest side of frames for the semantic encoder, in pixels.
    pseudo_mask : {"probe", "correlation"}
        Source of the pseudo-mask: a probe per class on the maps of both encoders, or the paper's
        training-free correlation, with which the original VRP encoders were trained.
    prompting : Prompting, optional
        Source of SAM's prompts, see `PROMPTINGS`. Default: the VRP encoder, or without one the
        objects in the pseudo-mask of the probe; with the correlation points and a box (GP-SAM,
        paper, table 3).

    Attributes
    ----------
    precision : {"auto", "float32", "bfloat16", "float16"}, default "float32"
    lora_updates : dict of str to Tensor
        LoRA updates that the weights of the image encoder contain; see `sam.files`.

    Raises
    ------
    InputError
        If the VRP encoder does not fit the semantic encoder or SAM, or the pseudo-mask or prompting
        is unknown or not supported.
    """

    precision: Precision = "float32"

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
            check_sizes(vrp_encoder, semantic, sam)
        self.name = name
        self.sam = sam.requires_grad_(requires_grad=False)
        self.semantic = semantic.to(memory_format=torch.channels_last)  # for fast convolutions
        self.vrp_encoder = vrp_encoder
        self.semantic_side = semantic_side
        self.lora_updates: dict[str, Tensor] = {}
        self.prompting = self._check_prompting(prompting)

    def with_prompting(self, prompting: Prompting) -> FullSizeModel:
        """Return a model with another prompting that shares its weights with this one.

        Raises
        ------
        InputError
            If the model does not support the prompting.
        """
        other = copy(self)
        other.prompting = self._check_prompting(prompting)
        return other

    def _check_prompting(self, prompting: Prompting | None) -> Prompting:
        trained = self.vrp_encoder is not None
        prompting = prompting or default_prompting(trained=trained, pseudo_mask=self.pseudo_mask)
        return check_prompting(
            prompting, model=self.name, trained=trained, pseudo_mask=self.pseudo_mask
        )

    @property
    def best_threshold(self) -> bool:  # type: ignore[override]
        """See the base class: only prompts per object have calibrated logits."""
        return self.prompting == "objects"

    @property
    def encoding_key(self) -> str:
        """See the base class: prompts per object need more maps."""
        return "fine maps" if self.prompting == "objects" else ""

    @property
    def input_side(self) -> int:
        """Longest side of frames for SAM's image encoder, in pixels."""
        return int(self.sam.image_encoder.img_size)

    @torch.no_grad()
    def encode(self, frames: Tensor) -> FrameFeatures:
        """Encode frames of shape (B, 3, H, W), float32 in 0..1, to float32 features."""
        # Code is compiled for one batch size; single references are not worth it.
        compiled = self.compiled and len(frames) > 1 and frames.is_cuda
        image_encoder = partial(encode_images, self.sam.image_encoder, compiled=compiled)
        with mixed_precision(frames.device, self.precision):
            features = self._features(frames, image_encoder)
        return FrameFeatures(
            features.size, features.embedding.float(), tuple(m.float() for m in features.semantic)
        )

    def features(self, frames: Tensor) -> FrameFeatures:
        """Encode frames for training, with gradients through SAM's image encoder."""
        return self._features(frames, self.sam.image_encoder)

    def _features(self, frames: Tensor, image_encoder: Callable[[Tensor], Tensor]) -> FrameFeatures:
        large = resize_longest_side(frames, self.input_side)
        embedding = image_encoder(self.sam.preprocess(255 * large))

        canvas = place_on_square_canvas(frames, self.semantic_side, self.semantic.centre)
        size = (int(frames.shape[-2]), int(frames.shape[-1]))
        # Stage 4 is expensive and only the correlation needs it.
        stages = self.semantic if self.pseudo_mask == "correlation" else self.semantic.shallow
        with torch.no_grad():
            semantic = tuple(stages(canvas))
            if self.prompting == "objects":
                semantic += fine_maps(canvas)
        return FrameFeatures(size, embedding, semantic)

    def prepare(self, references: Sequence[EncodedReference]) -> tuple[PreparedClass, ...]:
        """Encode the references of each class; classes are in ascending order."""
        by_class: dict[int, list[EncodedReference]] = defaultdict(list)
        for reference in references:
            by_class[reference.class_id].append(reference)
        return tuple(
            self._prepare_class(group, references) for _, group in sorted(by_class.items())
        )

    def _prepare_class(
        self, class_references: Sequence[EncodedReference], references: Sequence[EncodedReference]
    ) -> PreparedClass:
        positive = with_class(class_references)
        class_id, shots = class_references[0].class_id, len(positive)
        if self.prompting == "persam":
            return PreparedClass(class_id, shots, None, None, persam.class_embedding(positive))
        if self.prompting == "objects":
            objects = ObjectPrompting(self.sam)
            probe, calibration = objects.prepare(class_references, references)
            return PreparedClass(class_id, shots, probe, None, calibration=calibration)
        pseudo_mask: Callable[[FrameFeatures], Tensor]
        if self.pseudo_mask == "probe":
            pseudo_mask = partial(probe_probability, probe=fit_probe(class_references, references))
        else:
            _, stage_3, masks = stages_and_masks(positive)
            with torch.no_grad():
                masked = self.semantic.stage_4(stage_3 * masks)
            pseudo_mask = partial(correlate, reference_masked=masked, masks=masks)
        encoding = self.encode_references(class_references)
        return PreparedClass(class_id, shots, pseudo_mask, encoding)

    def encode_references(
        self, class_references: Sequence[EncodedReference]
    ) -> ReferenceEncoding | None:
        """Encode the references of one class with the VRP encoder, if it is used."""
        if self.vrp_encoder is None or self.prompting in {"persam", "objects"}:
            return None
        stage_2, stage_3, masks = stages_and_masks(with_class(class_references))
        return self.vrp_encoder.encode_reference(concatenate_stages(stage_2, stage_3), masks)

    def calibrations(self, prepared: Sequence[PreparedClass]) -> dict[int, ClassCalibration]:
        """Return the calibration of each prepared class; only prompts per object have any."""
        return {c.class_id: c.calibration for c in prepared if c.calibration is not None}

    def prompt(self, features: FrameFeatures, prepared: Sequence[PreparedClass]) -> Prompts:
        """Return the prompts of all prepared classes for one frame.

        All classes are decoded as one batch, so prompts of classes with fewer references are
        repeated.
        """
        class_ids = tuple(c.class_id for c in prepared)
        embeddings = [c.embedding for c in prepared if c.embedding is not None]
        if embeddings:
            return persam.persam_prompts(self.sam, features, class_ids, torch.stack(embeddings))
        functions = [c.pseudo_mask for c in prepared if c.pseudo_mask is not None]
        with torch.no_grad():
            pseudo_masks = [clear_padding(f(features), features.size) for f in functions]
        mean = torch.cat([p.mean(dim=0, keepdim=True) for p in pseudo_masks])
        rows, columns = frame_cells(features.size, mean)
        visible = mean[..., :rows, :columns]

        calibrations = [c.calibration for c in prepared if c.calibration is not None]
        if calibrations:
            logits = visible.logit(eps=1e-4)
            return ObjectPrompting(self.sam).prompts(class_ids, logits, calibrations)
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
        class_prompts = []
        for one, pseudo_mask in zip(prepared, pseudo_masks, strict=True):
            assert one.encoding is not None
            prompts = self.vrp_encoder.prompts(
                one.encoding, target, pseudo_mask.expand(one.shots, -1, -1, -1)
            )
            repeated = torch.arange(most, device=prompts.device) % one.shots
            class_prompts.append(concatenate_shots(prompts[repeated], most))
        return torch.cat(class_prompts)

    def decode(self, features: FrameFeatures, prompts: Prompts) -> Tensor:
        """Return mask logits of shape (K, H, W) at the size of the frame."""
        if isinstance(prompts, persam.PerSAMPrompts):
            logits = persam.decode_persam(self.sam, features, prompts)
        elif isinstance(prompts, ObjectPrompts):
            logits = extend_to_square(ObjectPrompting(self.sam).decode(features, prompts))
        elif self.prompting == "probe" and prompts.pseudo_mask is not None:
            logits = extend_to_square(prompts.pseudo_mask)
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
        """Return mask logits (B, K, H, W) for a batch of frames."""
        # Passes of PerSAM depend on each other's results, and the number of objects on the frame,
        # which `torch.vmap` does not support.
        varying = self.prompting in {"persam", "objects"}
        if varying or len(features) == 1 or not features.embedding.is_cuda:
            return super().segment(features, prepared)
        return self.segment_vectorised(features, prepared)

    def segment_vectorised(
        self, features: FrameFeatures, prepared: Sequence[PreparedClass]
    ) -> Tensor:
        """Run `segment` with `torch.vmap`, because the steps of one frame do not fill a GPU."""

        def segment_frame(frame: FrameFeatures) -> Tensor:
            return self.decode(frame, self.prompt(frame, prepared))

        return vectorised(segment_frame, features)
