"""SAM's mask decoder for a batch of images, each with prompts of its own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from segment_anything.modeling import MaskDecoder, TwoWayTransformer
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Guidance:
    """What draws the decoder's attention to a class, without any training (PerSAM).

    Attributes
    ----------
    attention : Tensor, shape (B, h * w)
        Likeness to the class, 0..1, added to what tokens attend to in the image.
    embedding : Tensor, shape (B, D)
        Of the class, added to all tokens before each layer.
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
    image, positions = embedding + dense, position.expand(batch, -1, -1, -1)
    if guidance is None:
        tokens, pixels = decoder.transformer(image, positions, tokens)
    else:
        tokens, pixels = _attend_guided(decoder.transformer, image, positions, tokens, guidance)
    return tokens, pixels.transpose(1, 2).reshape(batch, dim, height, width)


def read_masks(decoder: MaskDecoder, tokens: Tensor, upscaled: Tensor) -> Tensor:
    """Mask logits (B, 1, 4 h, 4 w) of the first mask token, from pixels (B, D / 8, 4 h, 4 w)."""
    # Of the mask tokens the first is the one that SAM keeps for a single mask.
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
    """`TwoWayTransformer.forward`, with target-guided attention and target-semantic prompting."""
    keys, position = (x.flatten(2).transpose(1, 2) for x in (image, position))
    target = guidance.embedding[:, None]
    # As the authors' code has it, the tokens' position embedding holds the class too.
    tokens = tokens + target
    queries = tokens
    for number, layer in enumerate(transformer.layers):
        if number == 0:
            queries = layer.self_attn(q=queries, k=queries, v=queries)
        else:
            queries = queries + target
            placed = queries + tokens
            queries = queries + layer.self_attn(q=placed, k=placed, v=queries)
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
        placed = queries + tokens
        keys = keys + layer.cross_attn_image_to_token(q=keys + position, k=placed, v=queries)
        keys = layer.norm4(keys)
    found = transformer.final_attn_token_to_image(
        q=queries + tokens + target, k=keys + position, v=keys
    )
    return transformer.norm_final_attn(queries + found), keys


def _guided_attention(layer: Any, q: Tensor, k: Tensor, v: Tensor, towards: Tensor) -> Tensor:
    """SAM's attention, its weights shifted towards a likeness and normalised again."""
    q, k, v = (
        project(x).unflatten(-1, (layer.num_heads, -1)).transpose(1, 2)
        for project, x in ((layer.q_proj, q), (layer.k_proj, k), (layer.v_proj, v))
    )
    weights = (q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5).softmax(dim=-1)
    weights = (weights + towards[:, None, None]).softmax(dim=-1)
    out: Tensor = layer.out_proj((weights @ v).transpose(1, 2).flatten(2))
    return out
