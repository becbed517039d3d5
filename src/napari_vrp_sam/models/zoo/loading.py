"""Models put together from what a catalogue entry and a weights file say."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

from napari_vrp_sam.errors import InputError
from napari_vrp_sam.models.weights.catalogue import LITE_KIND, SEMANTIC_WEIGHTS, ModelSpec
from napari_vrp_sam.models.weights.downloads import fetch

# torch comes with the first model that is loaded: listing models needs none of it.
if TYPE_CHECKING:
    from napari_vrp_sam.models.sam.prompting import Prompting
    from napari_vrp_sam.models.vrp.pseudo_mask import PseudoMaskKind
    from napari_vrp_sam.models.weights.checkpoints import Checkpoint
    from napari_vrp_sam.models.weights.downloads import DownloadProgress

RANDOM = "random"
"""As `weights`: the architecture without any training, to measure speed."""


def load_lite(
    spec: ModelSpec, weights: str | os.PathLike[str] | None, pseudo_mask: PseudoMaskKind | None
) -> Any:
    """A `lite` with the weights of a file, or with its packaged or random ones."""
    from napari_vrp_sam.models.lite.model import LiteModel
    from napari_vrp_sam.models.weights.checkpoints import read_checkpoint

    if weights == RANDOM:
        return LiteModel(pseudo_mask=pseudo_mask or "probe")
    if weights is not None:
        checkpoint = read_checkpoint(weights)
        if checkpoint.metadata.get("kind", LITE_KIND) != LITE_KIND:
            raise InputError(f"{os.fspath(weights)} does not hold weights of '{spec.name}'.")
    else:
        checkpoint = spec.packaged()
    return LiteModel.from_checkpoint(checkpoint, pseudo_mask=pseudo_mask or "probe")


def load_full_size(
    spec: ModelSpec,
    weights: str | os.PathLike[str] | None,
    semantic_encoder: str | None,
    pseudo_mask: PseudoMaskKind | None,
    prompting: Prompting | None = None,
    progress: DownloadProgress | None = None,
) -> Any:
    """A full-size model, with the VRP encoder of a file or without one."""
    from napari_vrp_sam.models.sam.files import tune_sam, vrp_encoder_of
    from napari_vrp_sam.models.sam.full_size_model import FullSizeModel, build_sam
    from napari_vrp_sam.models.vrp.semantic_encoders import build_semantic_encoder
    from napari_vrp_sam.models.vrp.vrp_encoder import VRPEncoder
    from napari_vrp_sam.models.weights.checkpoints import load_tensors, read_checkpoint

    vrp_encoder = checkpoint = None
    if weights is not None and weights != RANDOM:
        checkpoint = read_checkpoint(weights)
        vrp_encoder = vrp_encoder_of(checkpoint, source=os.fspath(weights))
        told = checkpoint.metadata.get("pseudo_mask")
        pseudo_mask = pseudo_mask or cast("PseudoMaskKind | None", told)
        trained_with = checkpoint.metadata.get("sam", spec.image_encoder)
        if trained_with != spec.image_encoder:
            raise InputError(f"{os.fspath(weights)} was trained with '{trained_with}': load that.")
        saw = checkpoint.metadata.get("semantic_encoder", semantic_encoder)
        if vrp_encoder and semantic_encoder and saw != semantic_encoder:
            raise InputError(
                f"{os.fspath(weights)} was trained with the semantic encoder '{saw}': leave out "
                f"'{semantic_encoder}'."
            )
        semantic_encoder = semantic_encoder or semantic_encoder_of(
            checkpoint, vrp_encoder.config["in_channels"] if vrp_encoder else 0
        )
    semantic = build_semantic_encoder(semantic_encoder or spec.semantic_encoder)
    sam = build_sam(spec.image_encoder)
    if weights == RANDOM:
        vrp_encoder = VRPEncoder(sum(semantic.channels[:2]), sam.prompt_encoder.embed_dim)
    else:
        semantic_weights = SEMANTIC_WEIGHTS[semantic_encoder or spec.semantic_encoder]
        semantic.load(fetch(semantic_weights, progress=progress))
        assert spec.sam_weights is not None
        path = fetch(spec.sam_weights, progress=progress)
        load_tensors(sam, read_checkpoint(path).tensors, source=str(path))
    model = FullSizeModel(
        spec.name,
        sam,
        semantic,
        vrp_encoder,
        pseudo_mask=pseudo_mask or "probe",
        prompting=prompting,
    )
    if checkpoint is not None:
        model.additions = tune_sam(sam, checkpoint, source=os.fspath(weights or ""))
    return model


def semantic_encoder_of(checkpoint: Checkpoint, in_channels: int) -> str:
    """The semantic encoder that a VRP encoder was trained with."""
    # The paper's code leaves no name, but its ResNet-50 and VGG-16 differ in width.
    by_width: Mapping[int, str] = {768: "vgg16"}
    return checkpoint.metadata.get("semantic_encoder", by_width.get(in_channels, "resnet50"))
