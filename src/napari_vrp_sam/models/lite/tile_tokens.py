"""Tokens of the mask decoder for a whole frame that is decoded tile by tile.

Prompts and tokens attend to all cells of a frame. Computed for each tile separately, they would
differ between neighbours, and so would the masks at the seam. So the tokens attend once to sampled
cells of the whole frame; every cell of a tile then attends to these tokens independently.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from napari_vrp_sam.models.base import FrameFeatures, GridPosition, Prompts
from napari_vrp_sam.models.lite.network import Conditioning, LiteNetwork
from napari_vrp_sam.models.lite.parts import LOGIT_LIMIT
from napari_vrp_sam.models.lite.scenes import LEVEL
from napari_vrp_sam.models.vrp.prompt_generator import sine_axis_embedding


@dataclass(frozen=True, eq=False)
class TileContext:
    """Keys and values of n cells of a tile, to which the tokens of the frame attend.

    `image` (K, n, D) is the image embedding plus dense prompts, `enhanced` are the features
    (1, n, D) of the VRP encoder for each class and reference. Both have their position embeddings
    (1, n, D).
    """

    image: Tensor
    position: Tensor
    enhanced: tuple[tuple[Tensor, ...], ...]
    enhanced_position: Tensor
    features: Tensor
    """Features (n, C) that describe the scene; see `scenes.describe_scene`."""


@dataclass(frozen=True, eq=False)
class FrameContext:
    """Tokens (K, T, D) of K classes that have attended to the whole frame.

    They are those before the mask decoder's transformer, after each of its layers, and at its end.
    `scene` (C,) describes the whole frame.
    """

    tokens: Tensor
    layers: tuple[Tensor, ...]
    final: Tensor
    scene: Tensor


def tile_context(
    network: LiteNetwork,
    features: FrameFeatures,
    prompts: Prompts,
    conditionings: Sequence[Conditioning],
    place: GridPosition,
    cells: tuple[slice, slice],
) -> TileContext:
    """Collect the keys and values of some cells of a tile, given as rows and columns.

    `features` and `prompts` are those of the tile, and `conditionings` those of its K classes. Only
    the dense prompts and pseudo-masks of the prompts are used.
    """
    assert prompts.pseudo_mask is not None
    semantic = network.semantic_features(features)
    probabilities = F.avg_pool2d(prompts.pseudo_mask.sigmoid(), 4)
    encoder = network.vrp_encoder
    enhanced = tuple(
        tuple(
            _flatten(encoder.enhance_target(encoding, semantic, probability[None]), cells)
            for encoding in conditioning.encodings
        )
        for conditioning, probability in zip(conditionings, probabilities, strict=True)
    )
    dim = features.embedding.shape[1]
    rows, columns = (
        indices[chosen]
        for indices, chosen in zip(_cell_indices(features.embedding, place), cells, strict=True)
    )
    y, x = (
        sine_axis_embedding(length, dim, like=semantic)[indices]
        for length, indices in zip(place.grid, (rows, columns), strict=True)
    )
    sine = torch.cat(
        [y[:, None].expand(-1, len(columns), -1), x[None].expand(len(rows), -1, -1)], dim=-1
    )
    return TileContext(
        _flatten(features.embedding + prompts.dense, cells),
        _position_embedding(network, place.grid, rows, columns),
        enhanced,
        sine.flatten(0, 1)[None],
        _flatten(features.semantic[LEVEL], cells)[0],
    )


def frame_context(
    network: LiteNetwork, tiles: Sequence[TileContext], conditionings: Sequence[Conditioning]
) -> FrameContext:
    """Let the tokens attend to the cells of all tiles."""
    decoder, generator = network.decoder, network.vrp_encoder.generator
    sine = torch.cat([tile.enhanced_position for tile in tiles], dim=1)
    sparse = []
    for k, conditioning in enumerate(conditionings):
        prompts = []
        for shot, encoding in enumerate(conditioning.encodings):
            values = torch.cat([tile.enhanced[k][shot] for tile in tiles], dim=1)
            prompts.append(generator.attend_target_tokens(encoding.queries, values + sine, values))
        sparse.append(torch.cat(prompts, dim=1))
    output_tokens = torch.cat([decoder.iou_token.weight, decoder.mask_tokens.weight])
    tokens = torch.cat([output_tokens.expand(len(sparse), -1, -1), stack_tokens(sparse)], dim=1)
    keys = torch.cat([tile.image for tile in tiles], dim=1)
    position = torch.cat([tile.position for tile in tiles], dim=1)

    # `TwoWayTransformer.forward`, which does not return the tokens between its layers.
    transformer = decoder.transformer
    queries, layers = tokens, []
    for layer in transformer.layers:
        queries, keys = layer(queries=queries, keys=keys, query_pe=tokens, key_pe=position)
        layers.append(queries)
    attended = transformer.final_attn_token_to_image(q=queries + tokens, k=keys + position, v=keys)
    final = transformer.norm_final_attn(queries + attended)
    scene = torch.cat([tile.features for tile in tiles]).mean(dim=0)
    return FrameContext(tokens, tuple(layers), final, scene)


def decode_tile(
    network: LiteNetwork,
    features: FrameFeatures,
    dense: Tensor,
    pseudo_mask: Tensor,
    context: FrameContext,
    place: GridPosition,
) -> Tensor:
    """Return the mask logits of a tile as `LiteNetwork.decode`, with tokens of the whole frame."""
    decoder = network.decoder
    image = features.embedding + dense
    position = _position_embedding(network, place.grid, *_cell_indices(image, place))
    keys = _flatten(image)
    for layer, queries in zip(decoder.transformer.layers, context.layers, strict=True):
        attended = layer.cross_attn_image_to_token(
            q=keys + position, k=queries + context.tokens, v=queries
        )
        keys = layer.norm4(keys + attended)
    masks = decoder.upscale_and_read(
        context.final,
        keys.transpose(1, 2).reshape(image.shape),
        [fine.expand(len(image), -1, -1, -1) for fine in features.semantic[:2]],
        pseudo_mask / LOGIT_LIMIT,
    )
    return masks + network.residual_gain * pseudo_mask


def stack_tokens(tokens: Sequence[Tensor]) -> Tensor:
    """Stack the tokens of classes, each (1, N, D); shorter sequences repeat theirs."""
    longest = max(t.shape[1] for t in tokens)
    repeated = [t.repeat(1, -(-longest // t.shape[1]), 1)[:, :longest] for t in tokens]
    return torch.cat(repeated)


def _flatten(maps: Tensor, cells: tuple[slice, slice] = (slice(None), slice(None))) -> Tensor:
    """Return some cells of maps (B, D, h, w) as (B, n, D)."""
    return maps[..., cells[0], cells[1]].flatten(2).transpose(1, 2)


def _cell_indices(tile: Tensor, place: GridPosition) -> tuple[Tensor, Tensor]:
    """Return rows and columns of the tile's cells on the grid of the frame."""
    rows = torch.arange(place.top, place.top + tile.shape[-2], device=tile.device)
    return rows, torch.arange(place.left, place.left + tile.shape[-1], device=tile.device)


def _position_embedding(
    network: LiteNetwork, grid: tuple[int, int], rows: Tensor, columns: Tensor
) -> Tensor:
    """Return SAM's position embedding of some rows and columns of a grid, shape (1, n, D)."""
    matrix = network.prompt_encoder.pe_layer.positional_encoding_gaussian_matrix
    y, x = torch.meshgrid((rows + 0.5) / grid[0], (columns + 0.5) / grid[1], indexing="ij")
    angle = 2 * math.pi * ((2 * torch.stack([x, y], dim=-1) - 1) @ matrix)
    return torch.cat([angle.sin(), angle.cos()], dim=-1).flatten(0, 1)[None]
