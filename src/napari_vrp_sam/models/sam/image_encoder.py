"""SAM's image encoder as `segment_anything` has it, run faster: same modules, same numbers."""

from __future__ import annotations

from functools import cache
from typing import Any

import torch
from segment_anything.modeling import ImageEncoderViT
from torch import Tensor

from napari_vrp_sam.models.sam.attention import (
    Attention,
    AttentionInput,
    biased_sdpa,
    blockwise_attention,
)


def encode_images(
    encoder: ImageEncoderViT,
    images: Tensor,
    attention: Attention | None = None,
    *,
    compiled: bool = False,
) -> Tensor:
    """Embeddings of images, as `encoder(images)` gives them.

    Parameters
    ----------
    encoder : ImageEncoderViT
        Nothing of it is changed; adapters in its linear layers count.
    images : Tensor, shape (B, 3, side, side)
        Preprocessed.
    attention : callable, optional
        How attention is computed, the quickest on the device unless given.
    compiled : bool
        Whether blocks run through `torch.compile`: quicker, after a minute or so.

    Returns
    -------
    Tensor, shape (B, D, side / 16, side / 16)
    """
    attention = attention or attention_for(images)
    block_of = _compiled_block() if compiled else _block
    tokens = encoder.patch_embed(images)
    if encoder.pos_embed is not None:
        tokens = tokens + encoder.pos_embed
    for block in encoder.blocks:
        tokens = block_of(block, tokens, attention)
    embedding: Tensor = encoder.neck(tokens.permute(0, 3, 1, 2))
    return embedding


def attention_for(images: Tensor) -> Attention:
    """The quickest attention on the images' device, in the precision of the moment."""
    device = images.device.type
    if device == "cpu":
        return blockwise_attention
    if device == "cuda" and torch.is_autocast_enabled(device):
        try:
            from napari_vrp_sam.models.sam.attention_kernel import kernel_runs, triton_attention
        except ImportError:  # Triton comes with PyTorch on Linux only
            return biased_sdpa
        if kernel_runs(images.device):
            return triton_attention
    return biased_sdpa


def _block(block: Any, tokens: Tensor, attention: Attention) -> Tensor:
    """One transformer block on tokens of shape (B, H, W, C).

    Windows are cut after the projection to queries, keys and values, and joined before the one
    back: their tokens outside of the image need neither.
    """
    layer = block.attn
    normed = block.norm1(tokens)
    qkv = layer.qkv(normed).unflatten(-1, (3, layer.num_heads, -1))
    # In SAM these tokens are zeros that pass through the same layer.
    beyond = layer.qkv(normed.new_zeros(normed.shape[-1])).unflatten(-1, (3, layer.num_heads, -1))
    side = block.window_size or tokens.shape[1]
    given = AttentionInput(qkv, beyond, layer.rel_pos_h, layer.rel_pos_w, side)
    tokens = tokens + layer.proj(attention(given))
    output: Tensor = tokens + block.mlp(block.norm2(tokens))
    return output


@cache
def _compiled_block() -> Any:
    """Compiled once for windows and once for the whole image, whatever the number of blocks."""
    return torch.compile(_block, dynamic=False)
