"""Weights files of full-size models, which hold the trained parts but not SAM itself.

Tensors of the VRP encoder have no prefix, those of a fine-tuned mask decoder have the prefix
`mask_decoder.`, and LoRA updates of the image encoder have the prefix `image_encoder.`: the weight
W of a layer becomes W + B A, with A = `<layer>.lora_A`, shape (rank, in), and B = `<layer>.lora_B`,
shape (out, rank).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import torch
from segment_anything.modeling import Sam
from torch import Tensor

from napari_vrp_sam.errors import InputError
from napari_vrp_sam.models.vrp.vrp_encoder import VRPEncoder
from napari_vrp_sam.models.weights.catalogue import MASK_DECODER_PREFIX
from napari_vrp_sam.models.weights.checkpoints import Checkpoint, load_tensors

MASK_DECODER, IMAGE_ENCODER = MASK_DECODER_PREFIX, "image_encoder."
LORA_A, LORA_B = ".lora_A", ".lora_B"


def sam_tensors(checkpoint: Checkpoint) -> dict[str, Tensor]:
    """Return the tensors of SAM in a checkpoint, under the names of `segment_anything`.

    Prefixes of wrappers are removed, such as `sam.` of torch_em and `module.` of data-parallel
    training, and so are tensors of other modules.
    """
    parts = ("image_encoder.", "prompt_encoder.", "mask_decoder.")
    found = {}
    for name, tensor in checkpoint.tensors.items():
        bare = name.removeprefix("module.").removeprefix("sam.")
        if bare.startswith(parts):
            found[bare] = tensor.float() if tensor.is_floating_point() else tensor
    return found


def read_vrp_encoder(checkpoint: Checkpoint, *, source: str) -> VRPEncoder | None:
    """Return the VRP encoder of a checkpoint; None if it has only other trained parts.

    Raises
    ------
    InputError
        If the checkpoint holds no trained part, or an incomplete VRP encoder.
    """
    others = (MASK_DECODER, IMAGE_ENCODER)
    tensors = {n: t for n, t in checkpoint.tensors.items() if not n.startswith(others)}
    if checkpoint.tensors and not tensors:
        return None
    return VRPEncoder.from_checkpoint(replace(checkpoint, tensors=tensors), source=source)


@torch.no_grad()
def load_tuned_weights(sam: Sam, checkpoint: Checkpoint, *, source: str) -> dict[str, Tensor]:
    """Load the fine-tuned parts of a checkpoint, if any, into SAM.

    Returns
    -------
    dict of str to Tensor
        LoRA updates, for `FullSizeModel.lora_updates`.

    Raises
    ------
    InputError
        If a part does not fit SAM.
    """
    decoder = _under(MASK_DECODER, checkpoint.tensors)
    if decoder:
        decoder = {name: tensor.float() for name, tensor in decoder.items()}
        load_tensors(sam.mask_decoder, decoder, source=source)
    updates = _under(IMAGE_ENCODER, checkpoint.tensors)
    for name in updates:
        layer = name.removesuffix(LORA_A)
        if layer == name:
            continue
        try:
            weight = sam.image_encoder.get_parameter(layer + ".weight")
            weight += updates[layer + LORA_B].float() @ updates[name].float()
        except (AttributeError, KeyError, RuntimeError) as error:
            raise InputError(
                f"{source} holds LoRA updates of another image encoder: load the model that it was "
                "trained with."
            ) from error
    return updates


def merge_lora(first: Mapping[str, Tensor], second: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Merge two LoRA updates into an equivalent one."""
    merged = dict(first)
    for name, tensor in second.items():
        axis = 0 if name.endswith(LORA_A) else 1
        merged[name] = (
            torch.cat([merged[name].to(tensor), tensor], axis) if name in merged else tensor
        )
    return merged


def _under(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {n.removeprefix(prefix): t for n, t in tensors.items() if n.startswith(prefix)}
