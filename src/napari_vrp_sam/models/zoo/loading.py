"""Assembly of models from a catalogue entry and a weights file."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, cast

from napari_vrp_sam.errors import InputError
from napari_vrp_sam.models.sam.prompting import TUNED_DECODER_PROMPTING
from napari_vrp_sam.models.weights.catalogue import BUILT_IN, LITE_KIND, PROBE_KIND
from napari_vrp_sam.models.weights.downloads import fetch
from napari_vrp_sam.models.weights.model_spec import PACKAGED, SEMANTIC_WEIGHTS, ModelSpec

# Importing this module does not import torch: models are also listed without loading one.
if TYPE_CHECKING:
    from pathlib import Path

    from napari_vrp_sam.models.sam.prompting import Prompting
    from napari_vrp_sam.models.vrp.pseudo_mask import PseudoMaskKind
    from napari_vrp_sam.models.vrp.semantic_encoders import SemanticEncoder
    from napari_vrp_sam.models.weights.checkpoints import Checkpoint
    from napari_vrp_sam.models.weights.downloads import DownloadProgress

BACKBONE_PREFIX = "backbone."
"""Prefix of the names of the backbone's tensors in the weights file of `lite`."""

RANDOM = "random"
"""Value of `weights` for an untrained model, to measure its speed."""


def load_lite(
    spec: ModelSpec, weights: str | os.PathLike[str] | None, pseudo_mask: PseudoMaskKind
) -> Any:
    """Load `lite` with the weights of a file, or with packaged or random weights.

    See `load_model` for the parameters.
    """
    from napari_vrp_sam.models.lite.model import LiteModel
    from napari_vrp_sam.models.weights.checkpoints import read_checkpoint

    if weights == RANDOM:
        return LiteModel(pseudo_mask=pseudo_mask)
    if weights is None:
        with spec.local_weights() as path:
            checkpoint = read_checkpoint(path)
    else:
        checkpoint = read_checkpoint(weights)
        if checkpoint.metadata.get("kind", LITE_KIND) != LITE_KIND:
            raise InputError(
                f"{os.fspath(weights)} does not hold weights of '{spec.name}': choose another file."
            )
    return LiteModel.from_checkpoint(checkpoint, pseudo_mask=pseudo_mask)


def load_probe_model(
    spec: ModelSpec,
    weights: str | os.PathLike[str] | None = None,
    progress: DownloadProgress | None = None,
) -> Any:
    """Load a probe model with the weights of the catalogue or of a file, or random weights.

    See `load_model` for the parameters.
    """
    from napari_vrp_sam.models.backbones.dense_features import DenseBackbone
    from napari_vrp_sam.models.backbones.dense_head import FrozenHead
    from napari_vrp_sam.models.backbones.model import ProbeModel
    from napari_vrp_sam.models.heads.dense_head import head_state, read_settings
    from napari_vrp_sam.models.weights.checkpoints import load_tensors, read_checkpoint

    tuned, source = None, os.fspath(weights or "")
    if weights is not None and weights != RANDOM:
        checkpoint = read_checkpoint(weights)
        if checkpoint.metadata.get("kind") == PROBE_KIND:
            tuned, weights = checkpoint, None
    if weights is None:
        assert spec.backbone_weights is not None
        weights = fetch(spec.backbone_weights, progress=progress)
    backbone = DenseBackbone(spec.image_encoder, None if weights == RANDOM else weights)
    if tuned is None:
        return ProbeModel(spec.name, backbone)
    head = FrozenHead(backbone, read_settings(tuned.metadata, source=source))
    load_tensors(head, head_state(tuned.tensors), source=source)
    return ProbeModel(spec.name, backbone, head=head.requires_grad_(requires_grad=False))


def _load_packaged(semantic: SemanticEncoder) -> None:
    """Load the backbone of `lite` into the semantic encoder of the same architecture."""
    from napari_vrp_sam.models.weights.checkpoints import load_tensors, read_checkpoint

    lite = next(spec for spec in BUILT_IN if spec.packaged_weights)
    with lite.local_weights() as path:
        tensors = read_checkpoint(path).tensors
    backbone = {
        name.removeprefix(BACKBONE_PREFIX): tensor.float() if tensor.is_floating_point() else tensor
        for name, tensor in tensors.items()
        if name.startswith(BACKBONE_PREFIX)
    }
    load_tensors(semantic.backbone, backbone, source="The weights file of 'lite'")


def load_full_size(
    spec: ModelSpec,
    weights: str | os.PathLike[str] | None,
    semantic_encoder: str | None,
    pseudo_mask: PseudoMaskKind | None,
    prompting: Prompting | None = None,
    progress: DownloadProgress | None = None,
    *,
    sam_file: Path | None = None,
) -> Any:
    """Load a full-size model, with the VRP encoder of a file or without one.

    See `load_model` for the parameters. `sam_file` holds the weights of SAM; default: those of the
    catalogue.
    """
    from segment_anything import sam_model_registry

    from napari_vrp_sam.models.sam.files import (
        load_tuned_weights,
        read_vrp_encoder,
        sam_tensors,
    )
    from napari_vrp_sam.models.sam.full_size_model import FullSizeModel
    from napari_vrp_sam.models.vrp.semantic_encoders import build_semantic_encoder
    from napari_vrp_sam.models.vrp.vrp_encoder import VRPEncoder
    from napari_vrp_sam.models.weights.checkpoints import load_tensors, read_checkpoint

    vrp_encoder = checkpoint = None
    source = os.fspath(weights or "")
    if weights is not None and weights != RANDOM:
        checkpoint = read_checkpoint(weights)
        metadata = checkpoint.metadata
        vrp_encoder = read_vrp_encoder(checkpoint, source=source)
        pseudo_mask = pseudo_mask or cast("PseudoMaskKind | None", metadata.get("pseudo_mask"))
        trained_sam = metadata.get("sam", spec.image_encoder)
        if trained_sam != spec.image_encoder:
            raise InputError(f"{source} was trained with '{trained_sam}': load that model.")
        trained_semantic = metadata.get("semantic_encoder", semantic_encoder)
        if vrp_encoder and semantic_encoder and trained_semantic != semantic_encoder:
            raise InputError(
                f"{source} was trained with the semantic encoder '{trained_semantic}': do not "
                f"choose '{semantic_encoder}'."
            )
        semantic_encoder = semantic_encoder or semantic_encoder_name(
            checkpoint, vrp_encoder.config["in_channels"] if vrp_encoder else 0
        )
        if vrp_encoder is None:
            prompting = prompting or TUNED_DECODER_PROMPTING
    semantic_encoder = semantic_encoder or spec.semantic_encoder
    semantic = build_semantic_encoder(semantic_encoder)
    sam = sam_model_registry[spec.image_encoder]()
    if weights == RANDOM:
        vrp_encoder = VRPEncoder(sum(semantic.channels[:2]), sam.prompt_encoder.embed_dim)
    else:
        if semantic_encoder == PACKAGED:
            _load_packaged(semantic)
        else:
            semantic.load(fetch(SEMANTIC_WEIGHTS[semantic_encoder], progress=progress))
        if sam_file is None:
            assert spec.sam_weights is not None
            sam_file = fetch(spec.sam_weights, progress=progress)
        load_tensors(sam, sam_tensors(read_checkpoint(sam_file)), source=str(sam_file))
    model = FullSizeModel(
        spec.name,
        sam,
        semantic,
        vrp_encoder,
        pseudo_mask=pseudo_mask or "probe",
        prompting=prompting,
    )
    if checkpoint is not None:
        model.lora_updates = load_tuned_weights(sam, checkpoint, source=source)
    return model


def semantic_encoder_name(checkpoint: Checkpoint, in_channels: int) -> str:
    """Return the name of the semantic encoder that a VRP encoder was trained with."""
    # The original code stores no name, but its VGG-16 has fewer channels than its ResNet-50.
    by_width = "vgg16" if in_channels == 768 else "resnet50"
    return checkpoint.metadata.get("semantic_encoder", by_width)
