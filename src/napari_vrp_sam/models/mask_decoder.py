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
    tokens, pixels = attend(decoder, embedding, position, sparse, dense)
    return read_masks(decoder, tokens, decoder.output_upscaling(pixels))


def attend(
    decoder: MaskDecoder, embedding: Tensor, position: Tensor, sparse: Tensor, dense: Tensor
) -> tuple[Tensor, Tensor]:
    """Run the two-way transformer on the decoder's own tokens, prompts and image.

    Parameters are those of `decode_masks`.

    Returns
    -------
    tokens : Tensor, shape (B, 1 + mask tokens + N, D)
        The token of the predicted IoU first, the mask tokens next.
    pixels : Tensor, shape (B, D, h, w)
    """
    batch, dim, height, width = dense.shape
    output_tokens = torch.cat([decoder.iou_token.weight, decoder.mask_tokens.weight])
    tokens = torch.cat([output_tokens.expand(batch, -1, -1), sparse], dim=1)
    tokens, pixels = decoder.transformer(
        embedding + dense, position.expand(batch, -1, -1, -1), tokens
    )
    return tokens, pixels.transpose(1, 2).reshape(batch, dim, height, width)


def read_masks(decoder: MaskDecoder, tokens: Tensor, upscaled: Tensor) -> Tensor:
    """Mask logits (B, 1, 4 h, 4 w) of the first mask token, from pixels (B, D / 8, 4 h, 4 w)."""
    # Of the mask tokens the first is the one that SAM keeps for a single mask.
    kernel = decoder.output_hypernetworks_mlps[0](tokens[:, 1])
    logits: Tensor = torch.einsum("bc,bchw->bhw", kernel, upscaled)[:, None]
    return logits
