"""Attention of SAM's image encoder with its relative position bias.

SAM adds to the score of query (r, c) and key (r', c') the dot products of the query with a row
embedding of r - r' and a column embedding of c - c'. Its own code holds the scores of all pairs in
memory three times. Here, `blockwise_attention` holds one block of scores at a time, `biased_sdpa`
only the bias, and the kernel in `attention_kernel` neither.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

BLOCK_SCORES = 2**20
"""Number of scores per block in `blockwise_attention`: 4 MB in float32, which fits a CPU cache."""

MASK_SCORES = 2**30
"""Number of scores per bias mask in `biased_sdpa`: 2 GB in half precision."""


@dataclass(frozen=True, eq=False)
class AttentionInput:
    """Input of one attention layer of the image encoder.

    Attributes
    ----------
    qkv : Tensor, shape (B, H, W, 3, heads, D)
        Queries, keys and values of the tokens of an image.
    padding : Tensor, shape (3, heads, D)
        Query, key and value of a token outside the image. SAM does not mask these tokens in
        windows that extend beyond the image.
    rows, columns : Tensor, shape (2 side - 1, D)
        Embeddings of relative positions, starting at 1 - side.
    side : int
        Side of the square windows in tokens; for global attention, the side of the image.
    """

    qkv: Tensor
    padding: Tensor
    rows: Tensor
    columns: Tensor
    side: int

    @property
    def windows(self) -> tuple[int, int]:
        """Number of windows along the height and the width of the image."""
        return -(-self.qkv.shape[1] // self.side), -(-self.qkv.shape[2] // self.side)


Attention = Callable[[AttentionInput], Tensor]
"""Function that returns the output of all heads, shape (B, H, W, heads * D)."""


def blockwise_attention(inputs: AttentionInput) -> Tensor:
    """Compute attention block by block, which is fastest on CPUs, in bfloat16 too."""

    def attend(q: Tensor, k: Tensor, v: Tensor, bias: Tensor) -> Tensor:
        scores = torch.baddbmm(bias, q, k.transpose(1, 2), alpha=q.shape[-1] ** -0.5)
        return scores.softmax(dim=-1) @ v

    return _attend_in_blocks(inputs, attend, BLOCK_SCORES)


def biased_sdpa(inputs: AttentionInput) -> Tensor:
    """Compute attention with PyTorch's fused kernel and the bias as its mask."""

    def attend(q: Tensor, k: Tensor, v: Tensor, bias: Tensor) -> Tensor:
        return F.scaled_dot_product_attention(q[None], k[None], v[None], attn_mask=bias[None])[0]

    return _attend_in_blocks(inputs, attend, MASK_SCORES)


def _attend_in_blocks(
    inputs: AttentionInput, attend: Callable[[Tensor, Tensor, Tensor, Tensor], Tensor], limit: int
) -> Tensor:
    q, k, v, row_bias, column_bias = _split_windows(inputs)
    output = torch.empty_like(q)
    for windows, queries in _blocks(q.shape[0], q.shape[1], limit):
        # For pairs of queries and keys: (N, queries, side, 1) + (N, queries, 1, side).
        bias = row_bias[windows, queries, :, None] + column_bias[windows, queries, None]
        output[windows, queries] = attend(
            q[windows, queries], k[windows], v[windows], bias.flatten(2)
        )
    return _merge_windows(output, inputs)


def _blocks(windows: int, tokens: int, limit: int) -> Iterator[tuple[slice, slice]]:
    """Yield blocks of windows and queries with at most `limit` scores."""
    window_step = max(1, limit // tokens**2)
    query_step = min(tokens, max(1, limit // tokens))
    for window in range(0, windows, window_step):
        for query in range(0, tokens, query_step):
            yield slice(window, window + window_step), slice(query, query + query_step)


def _split_windows(inputs: AttentionInput) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Return queries, keys and values of windows and heads, and biases for rows and columns.

    Queries, keys and values have the shape (N, side * side, D), biases (N, side * side, side).
    """
    qkv, side, (down, right) = inputs.qkv, inputs.side, inputs.windows
    batch, height, width, _, heads, dim = qkv.shape
    if (down * side, right * side) != (height, width):
        padded = inputs.padding.to(qkv).expand(batch, down * side, right * side, 3, heads, dim)
        padded = padded.contiguous()
        padded[:, :height, :width] = qkv
        qkv = padded
    qkv = qkv.reshape(batch, down, side, right, side, 3, heads, dim)
    qkv = qkv.permute(5, 0, 1, 3, 6, 2, 4, 7).reshape(3, -1, side, side, dim)
    q, k, v = qkv.unbind(0)
    row_bias = torch.einsum("nrcd,rkd->nrck", q, _pairwise(inputs.rows, side).to(q))
    column_bias = torch.einsum("nrcd,ckd->nrck", q, _pairwise(inputs.columns, side).to(q))
    q, k, v, row_bias, column_bias = (x.flatten(1, 2) for x in (q, k, v, row_bias, column_bias))
    return q, k, v, row_bias, column_bias


def _pairwise(embeddings: Tensor, side: int) -> Tensor:
    """Return embeddings of all pairs of positions, shape (side, side, D)."""
    at = torch.arange(side, device=embeddings.device)
    return embeddings[at[:, None] - at + side - 1]


def _merge_windows(output: Tensor, inputs: AttentionInput) -> Tensor:
    batch, height, width, _, heads, dim = inputs.qkv.shape
    side, (down, right) = inputs.side, inputs.windows
    output = output.reshape(batch, down, right, heads, side, side, dim)
    image = output.permute(0, 1, 4, 2, 5, 3, 6).reshape(batch, down * side, right * side, -1)
    return image[:, :height, :width]
