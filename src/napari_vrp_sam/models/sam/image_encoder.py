"""Faster forward pass for SAM's image encoder, with the modules and results of the original."""

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
    """Return image embeddings equal to those of `encoder(images)`.

    Parameters
    ----------
    encoder : ImageEncoderViT
        Encoder of `segment_anything`; adapters in its linear layers are applied.
    images : Tensor, shape (B, 3, side, side)
        Preprocessed images.
    attention : callable, optional
        Implementation of attention; default: the fastest on the device.
    compiled : bool
        Whether blocks run through `torch.compile`, which takes about a minute at first.

    Returns
    -------
    Tensor, shape (B, D, side / 16, side / 16)
    """
    attention = attention or attention_for(images)
    run_block = _compiled_block() if compiled else _block
    tokens = encoder.patch_embed(images)
    if encoder.pos_embed is not None:
        tokens = tokens + encoder.pos_embed
    for block in encoder.blocks:
        tokens = run_block(block, tokens, attention)
    embedding: Tensor = encoder.neck(tokens.permute(0, 3, 1, 2))
    return embedding


def attention_for(images: Tensor) -> Attention:
    """Return the fastest attention for the images' device and the current precision."""
    device = images.device.type
    if device == "cpu":
        return blockwise_attention
    if device == "cuda" and torch.is_autocast_enabled(device):
        try:
            from napari_vrp_sam.models.sam.attention_kernel import kernel_runs, triton_attention
        except ImportError:  # PyTorch includes Triton on Linux only
            return biased_sdpa
        if kernel_runs(images.device):
            return triton_attention
    return biased_sdpa


def _block(block: Any, tokens: Tensor, attention: Attention) -> Tensor:
    """Run one transformer block on tokens of shape (B, H, W, C).

    Windows are split after the projection to queries, keys and values, and merged before the
    output projection, so that tokens outside the image need neither.
    """
    layer = block.attn
    normed = block.norm1(tokens)
    qkv = layer.qkv(normed).unflatten(-1, (3, layer.num_heads, -1))
    # In SAM, tokens outside the image are zeros that pass through the same layer.
    padding = layer.qkv(normed.new_zeros(normed.shape[-1])).unflatten(-1, (3, layer.num_heads, -1))
    side = block.window_size or tokens.shape[1]
    inputs = AttentionInput(qkv, padding, layer.rel_pos_h, layer.rel_pos_w, side)
    tokens = tokens + layer.proj(attention(inputs))
    output: Tensor = tokens + block.mlp(block.norm2(tokens))
    return output


@cache
def _compiled_block() -> Any:
    # All blocks share two compiled versions: for windows and for global attention.
    return torch.compile(_block, dynamic=False)
