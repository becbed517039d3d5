"""What a weights file of a full-size model may hold: not SAM itself, but all that was trained.

The VRP encoder's tensors stand under their own names; those of a tuned mask decoder begin with
`mask_decoder.`, and low-rank changes of the image encoder's weights with `image_encoder.`: for the
weight W of a layer, W + B A, from `<layer>.lora_A` of shape (rank, in) and `<layer>.lora_B` of
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


def read_vrp_encoder(checkpoint: Checkpoint, *, source: str) -> VRPEncoder | None:
    """The VRP encoder of a file, with none of which a tuned mask decoder can do.

    Raises
    ------
    InputError
        If the file holds neither, or only a part of one.
    """
    own, others = {}, False
    for name, tensor in checkpoint.tensors.items():
        if name.startswith((MASK_DECODER, IMAGE_ENCODER)):
            others = True
        else:
            own[name] = tensor
    if others and not own:
        return None
    return VRPEncoder.from_checkpoint(replace(checkpoint, tensors=own), source=source)


@torch.no_grad()
def load_tuned_weights(sam: Sam, checkpoint: Checkpoint, *, source: str) -> dict[str, Tensor]:
    """Give SAM the tuned parts of a file, if it has any.

    Returns
    -------
    dict of str to Tensor
        The low-rank changes, for `FullSizeModel.additions`.

    Raises
    ------
    InputError
        If they do not fit.
    """
    decoder = _under(MASK_DECODER, checkpoint.tensors)
    if decoder:
        decoder = {name: tensor.float() for name, tensor in decoder.items()}
        load_tensors(sam.mask_decoder, decoder, source=source)
    additions = _under(IMAGE_ENCODER, checkpoint.tensors)
    for name in additions:
        layer = name.removesuffix(LORA_A)
        if layer == name:
            continue
        try:
            weight = sam.image_encoder.get_parameter(layer + ".weight")
            weight += additions[layer + LORA_B].float() @ additions[name].float()
        except (AttributeError, KeyError, RuntimeError) as error:
            raise InputError(f"{source} holds changes of another image encoder.") from error
    return additions


def merge_lora(first: Mapping[str, Tensor], second: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """One low-rank change that does what two do."""
    both = dict(first)
    for name, tensor in second.items():
        axis = 0 if name.endswith(LORA_A) else 1
        both[name] = torch.cat([both[name].to(tensor), tensor], axis) if name in both else tensor
    return both


def _under(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {n.removeprefix(prefix): t for n, t in tensors.items() if n.startswith(prefix)}
