"""Tokens of the mask decoder for a whole frame that is seen tile by tile.

Prompts and the decoder's tokens attend to everything in sight, so a tile by itself gets other
tokens than its neighbour, and another mask where the two meet. Here they attend once to cells of
the whole frame; what each tile then does with them is a matter of each cell by itself.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from napari_vrp_sam.models.base import FrameFeatures, GridPosition, Prompts
from napari_vrp_sam.models.lite.network import LOGIT_LIMIT, Conditioning, LiteNetwork
from napari_vrp_sam.models.vrp.prompt_generator import sine_axis


@dataclass(frozen=True, eq=False)
class TileContext:
    """What tokens attend to, of n cells of a frame.

    Attributes
    ----------
    image : Tensor, shape (K, n, D)
        Image embedding and dense prompt of each class.
    position : Tensor, shape (1, n, D)
        SAM's embedding of the positions.
    references : tuple of tuple of Tensor, each of shape (1, n, D)
        For each class and reference what the VRP encoder makes of the cells.
    reference_position : Tensor, shape (1, n, D)
        Its own embedding of the positions.
    """

    image: Tensor
    position: Tensor
    references: tuple[tuple[Tensor, ...], ...]
    reference_position: Tensor


@dataclass(frozen=True, eq=False)
class FrameContext:
    """Tokens of K classes after they have seen the whole frame.

    Attributes
    ----------
    tokens : Tensor, shape (K, T, D)
        As they enter the transformer.
    layers : tuple of Tensor, each of shape (K, T, D)
        As each of its layers leaves them to the image.
    last : Tensor, shape (K, T, D)
        As they come out.
    """

    tokens: Tensor
    layers: tuple[Tensor, ...]
    last: Tensor


def glimpse(
    network: LiteNetwork,
    features: FrameFeatures,
    prompts: Prompts,
    conditionings: Sequence[Conditioning],
    place: GridPosition,
    cells: tuple[slice, slice],
) -> TileContext:
    """Look at some cells of a tile.

    Parameters
    ----------
    network : LiteNetwork
    features : FrameFeatures
        Of the tile.
    prompts : Prompts
        Of the tile by itself; its dense prompts and pseudo-masks count.
    conditionings : sequence of Conditioning
        Of the K classes.
    place : GridPosition
    cells : tuple of slice
        Rows and columns of the tile's cells, with steps.
    """
    assert prompts.pseudo_mask is not None
    semantic = network.semantic_features(features)
    beliefs = F.avg_pool2d(prompts.pseudo_mask.sigmoid(), 4)
    encoder = network.vrp_encoder
    seen = tuple(
        tuple(
            _cells(encoder.enhanced_target(encoding, semantic, belief[None]), cells)
            for encoding in conditioning.encodings
        )
        for conditioning, belief in zip(conditionings, beliefs, strict=True)
    )
    height, width = features.embedding.shape[-2:]
    rows = torch.arange(place.top, place.top + height, device=semantic.device)[cells[0]]
    columns = torch.arange(place.left, place.left + width, device=semantic.device)[cells[1]]
    dim = features.embedding.shape[1]
    halves = [
        sine_axis(length, dim, like=semantic)[at]
        for length, at in zip(place.grid, (rows, columns), strict=True)
    ]
    sine = torch.cat(
        [
            halves[0][:, None].expand(-1, len(columns), -1),
            halves[1][None].expand(len(rows), -1, -1),
        ],
        dim=-1,
    )
    return TileContext(
        _cells(features.embedding + prompts.dense, cells),
        _position(network, place.grid, rows, columns),
        seen,
        sine.flatten(0, 1)[None],
    )


def overview(
    network: LiteNetwork, glimpses: Sequence[TileContext], conditionings: Sequence[Conditioning]
) -> FrameContext:
    """Let the tokens attend to all that was seen."""
    decoder, generator = network.decoder, network.vrp_encoder.generator
    sine = torch.cat([g.reference_position for g in glimpses], dim=1)
    sparse = []
    for at, conditioning in enumerate(conditionings):
        of_shots = []
        for shot, encoding in enumerate(conditioning.encodings):
            values = torch.cat([g.references[at][shot] for g in glimpses], dim=1)
            of_shots.append(generator.attend_target_cells(encoding.queries, values + sine, values))
        sparse.append(torch.cat(of_shots, dim=1))
    own = torch.cat([decoder.iou_token.weight, decoder.mask_tokens.weight])
    tokens = torch.cat([own.expand(len(sparse), -1, -1), equally_many(sparse)], dim=1)
    keys = torch.cat([g.image for g in glimpses], dim=1)
    position = torch.cat([g.position for g in glimpses], dim=1)

    # As the transformer's own `forward`, which does not tell what its layers leave.
    transformer = decoder.transformer
    queries, layers = tokens, []
    for layer in transformer.layers:
        queries, keys = layer(queries=queries, keys=keys, query_pe=tokens, key_pe=position)
        layers.append(queries)
    attended = transformer.final_attn_token_to_image(q=queries + tokens, k=keys + position, v=keys)
    return FrameContext(tokens, tuple(layers), transformer.norm_final_attn(queries + attended))


def decode_tile(
    network: LiteNetwork,
    features: FrameFeatures,
    dense: Tensor,
    pseudo_mask: Tensor,
    seen: FrameContext,
    place: GridPosition,
) -> Tensor:
    """Mask logits of a tile, as `LiteNetwork.decode`, with the tokens of the whole frame.

    Parameters
    ----------
    network : LiteNetwork
    features : FrameFeatures
        Of the tile.
    dense : Tensor, shape (K, D, h, w)
    pseudo_mask : Tensor, shape (K, 1, 4 h, 4 w)
        Logits.
    seen : FrameContext
    place : GridPosition

    Returns
    -------
    Tensor, shape (K, 1, 4 h, 4 w)
    """
    decoder = network.decoder
    image = features.embedding + dense
    classes, _, height, width = image.shape
    rows, columns = (
        torch.arange(start, start + length, device=image.device)
        for start, length in ((place.top, height), (place.left, width))
    )
    position = _position(network, place.grid, rows, columns)
    keys = _cells(image)
    for layer, queries in zip(decoder.transformer.layers, seen.layers, strict=True):
        attended = layer.cross_attn_image_to_token(
            q=keys + position, k=queries + seen.tokens, v=queries
        )
        keys = layer.norm4(keys + attended)
    masks = decoder.read(
        seen.last,
        keys.transpose(1, 2).reshape(image.shape),
        [fine.expand(classes, -1, -1, -1) for fine in features.semantic[:2]],
        pseudo_mask / LOGIT_LIMIT,
    )
    return masks + network.residual_gain * pseudo_mask


def equally_many(sparse: Sequence[Tensor]) -> Tensor:
    """Tokens of classes, each (1, N, D), as a batch: classes with fewer repeat theirs."""
    longest = max(tokens.shape[1] for tokens in sparse)
    repeated = [t.repeat(1, -(-longest // t.shape[1]), 1)[:, :longest] for t in sparse]
    return torch.cat(repeated)


def _cells(maps: Tensor, cells: tuple[slice, slice] = (slice(None), slice(None))) -> Tensor:
    """Cells of maps (B, D, h, w) as (B, n, D)."""
    return maps[..., cells[0], cells[1]].flatten(2).transpose(1, 2)


def _position(network: LiteNetwork, grid: tuple[int, int], rows: Tensor, columns: Tensor) -> Tensor:
    """SAM's position embedding of some rows and columns of a grid, shape (1, n, D)."""
    matrix = network.prompt_encoder.pe_layer.positional_encoding_gaussian_matrix
    y, x = torch.meshgrid((rows + 0.5) / grid[0], (columns + 0.5) / grid[1], indexing="ij")
    angle = 2 * math.pi * ((2 * torch.stack([x, y], dim=-1) - 1) @ matrix)
    return torch.cat([angle.sin(), angle.cos()], dim=-1).flatten(0, 1)[None]
