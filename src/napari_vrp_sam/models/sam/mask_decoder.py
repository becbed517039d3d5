"""SAM's mask decoder for batches of images that each have their own prompts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from segment_anything.modeling import MaskDecoder, TwoWayTransformer
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Guidance:
    """Training-free guidance of the decoder towards a class (PerSAM).

    Attributes
    ----------
    attention : Tensor, shape (B, h * w)
        Similarity of the image cells to the class, 0..1, added to the attention weights.
    embedding : Tensor, shape (B, D)
        Embedding of the class, added to all tokens before each layer.
    """

    attention: Tensor
    embedding: Tensor


def decode_masks(
    decoder: MaskDecoder,
    embedding: Tensor,
    position: Tensor,
    sparse: Tensor,
    dense: Tensor,
    *,
    guidance: Guidance | None = None,
) -> Tensor:
    """Decode one mask per set of prompts.

    The result equals `decoder(..., multimask_output=False)` called image by image; SAM's own
    `forward` pairs every image of a batch with every set of prompts.

    Parameters
    ----------
    decoder : MaskDecoder
        Decoder of `segment_anything`, of any width.
    embedding : Tensor, shape (B, D, h, w) or (1, D, h, w)
        Image embeddings, one per set of prompts or one for all.
    position : Tensor, shape (1, D, h, w)
        Position embedding of the image cells.
    sparse : Tensor, shape (B, N, D)
        Prompt tokens.
    dense : Tensor, shape (B, D, h, w)
        Dense prompts.
    guidance : Guidance, optional

    Returns
    -------
    Tensor, shape (B, 1, 4 h, 4 w)
        Mask logits.
    """
    tokens, pixels = attend(decoder, embedding, position, sparse, dense, guidance=guidance)
    return read_masks(decoder, tokens, decoder.output_upscaling(pixels))


def attend(
    decoder: MaskDecoder,
    embedding: Tensor,
    position: Tensor,
    sparse: Tensor,
    dense: Tensor,
    *,
    guidance: Guidance | None = None,
) -> tuple[Tensor, Tensor]:
    """Run the two-way transformer on output tokens, prompts and image.

    See `decode_masks` for the parameters.

    Returns
    -------
    tokens : Tensor, shape (B, 1 + mask tokens + N, D)
        Token of the predicted IoU, mask tokens, prompt tokens.
    pixels : Tensor, shape (B, D, h, w)
    """
    batch, dim, height, width = dense.shape
    output_tokens = torch.cat([decoder.iou_token.weight, decoder.mask_tokens.weight])
    tokens = torch.cat([output_tokens.expand(batch, -1, -1), sparse], dim=1)
    image, positions = embedding + dense, position.expand(batch, -1, -1, -1)
    if guidance is None:
        tokens, pixels = decoder.transformer(image, positions, tokens)
    else:
        tokens, pixels = _attend_guided(decoder.transformer, image, positions, tokens, guidance)
    return tokens, pixels.transpose(1, 2).reshape(batch, dim, height, width)


def read_masks(decoder: MaskDecoder, tokens: Tensor, upscaled: Tensor) -> Tensor:
    """Return mask logits (B, 1, 4 h, 4 w) from tokens and upscaled pixels (B, D / 8, 4 h, 4 w)."""
    # The first mask token is the one that SAM uses for a single mask.
    kernel = decoder.output_hypernetworks_mlps[0](tokens[:, 1])
    logits: Tensor = torch.einsum("bc,bchw->bhw", kernel, upscaled)[:, None]
    return logits


def _attend_guided(
    transformer: TwoWayTransformer,
    image: Tensor,
    position: Tensor,
    tokens: Tensor,
    guidance: Guidance,
) -> tuple[Tensor, Tensor]:
    """Run `TwoWayTransformer.forward` with PerSAM's guided attention and semantic prompting."""
    keys, position = (x.flatten(2).transpose(1, 2) for x in (image, position))
    target = guidance.embedding[:, None]
    # As in the original code, the position embedding of the tokens includes the class too.
    tokens = tokens + target
    queries = tokens
    for number, layer in enumerate(transformer.layers):
        if number == 0:
            queries = layer.self_attn(q=queries, k=queries, v=queries)
        else:
            queries = queries + target
            positioned = queries + tokens
            queries = queries + layer.self_attn(q=positioned, k=positioned, v=queries)
        queries = layer.norm1(queries)
        found = _guided_attention(
            layer.cross_attn_token_to_image,
            queries + tokens,
            keys + position,
            keys,
            guidance.attention,
        )
        queries = layer.norm2(queries + found)
        queries = layer.norm3(queries + layer.mlp(queries))
        positioned = queries + tokens
        keys = keys + layer.cross_attn_image_to_token(q=keys + position, k=positioned, v=queries)
        keys = layer.norm4(keys)
    found = transformer.final_attn_token_to_image(
        q=queries + tokens + target, k=keys + position, v=keys
    )
    return transformer.norm_final_attn(queries + found), keys


def _guided_attention(layer: Any, q: Tensor, k: Tensor, v: Tensor, similarity: Tensor) -> Tensor:
    """Run SAM's attention with similarities added to its weights, normalised again."""
    q, k, v = (
        project(x).unflatten(-1, (layer.num_heads, -1)).transpose(1, 2)
        for project, x in ((layer.q_proj, q), (layer.k_proj, k), (layer.v_proj, v))
    )
    weights = (q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5).softmax(dim=-1)
    weights = (weights + similarity[:, None, None]).softmax(dim=-1)
    out: Tensor = layer.out_proj((weights @ v).transpose(1, 2).flatten(2))
    return out
