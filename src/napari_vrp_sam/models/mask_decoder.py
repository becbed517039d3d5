"""SAM's mask decoder for a batch of images, each with prompts of its own."""

from __future__ import annotations

import torch
from segment_anything.modeling import MaskDecoder
from torch import Tensor


def decode_masks(
    decoder: MaskDecoder, embedding: Tensor, position: Tensor, sparse: Tensor, dense: Tensor
) -> Tensor:
    """Decode one mask for each prompt set.

    Gives what `decoder(..., multimask_output=False)` gives when it is called image by image:
    SAM's own forward pairs every image of a batch with every prompt set.

    Parameters
    ----------
    decoder : MaskDecoder
        Of `segment_anything`, any width.
    embedding : Tensor, shape (B, D, h, w) or (1, D, h, w)
        Image embeddings; a single one is shared by all prompt sets.
    position : Tensor, shape (1, D, h, w)
        Position embedding of the image grid.
    sparse : Tensor, shape (B, N, D)
        Prompt tokens.
    dense : Tensor, shape (B, D, h, w)
        Dense prompts.

    Returns
    -------
    Tensor, shape (B, 1, 4 h, 4 w)
        Mask logits.
    """
    batch, _, height, width = dense.shape
    # The mask token comes first among those that the hypernetworks read: the single mask is its.
    output_tokens = torch.cat([decoder.iou_token.weight, decoder.mask_tokens.weight])
    tokens = torch.cat([output_tokens.expand(batch, -1, -1), sparse], dim=1)
    image = embedding + dense
    attended, image = decoder.transformer(image, position.expand(batch, -1, -1, -1), tokens)

    image = image.transpose(1, 2).reshape(batch, -1, height, width)
    upscaled = decoder.output_upscaling(image)
    kernel = decoder.output_hypernetworks_mlps[0](attended[:, 1])
    logits: Tensor = torch.einsum("bc,bchw->bhw", kernel, upscaled)[:, None]
    return logits
