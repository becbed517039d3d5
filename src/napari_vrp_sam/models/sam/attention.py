"""Attention of SAM's image encoder with its relative-position bias, without the score matrix.

SAM adds to the score of query (r, c) and key (r', c') the products of the query with a row
embedding of r - r' and a column embedding of c - c'. Its own code writes the scores of all pairs to
memory three times over; here no more of them exist at once than a cache holds (`blockwise_attention`), or
none (`biased_sdpa` with the bias as a mask, and the kernel in `attention_kernel`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

BLOCK_SCORES = 2**20
"""Scores that `blockwise_attention` holds at once: 4 MB in single precision, which a cache holds."""

MASK_SCORES = 2**30
"""Scores of a mask that `biased_sdpa` makes at once: 2 GB in half precision."""


@dataclass(frozen=True, eq=False)
class AttentionInput:
    """What one attention layer of the image encoder works on.

    Attributes
    ----------
    qkv : Tensor, shape (B, H, W, 3, heads, D)
        Queries, keys and values of the tokens of an image.
    beyond : Tensor, shape (3, heads, D)
        Those of a token outside of the image: where windows reach beyond it, SAM lets them count.
    rows, columns : Tensor, shape (2 side - 1, D)
        Embeddings of the relative position, from 1 - side on.
    side : int
        Of the square windows, in tokens; the image's own where attention is global.
    """

    qkv: Tensor
    beyond: Tensor
    rows: Tensor
    columns: Tensor
    side: int


Attention = Callable[[AttentionInput], Tensor]
"""From the input to what the heads give, of shape (B, H, W, heads * D)."""


def blockwise_attention(given: AttentionInput) -> Tensor:
    """Scores block by block: the quickest on processors, also in bfloat16."""

    def attend(q: Tensor, k: Tensor, v: Tensor, bias: Tensor) -> Tensor:
        scores = torch.baddbmm(bias, q, k.transpose(1, 2), alpha=q.shape[-1] ** -0.5)
        return scores.softmax(dim=-1) @ v

    return _in_parts(given, attend, BLOCK_SCORES)


def biased_sdpa(given: AttentionInput) -> Tensor:
    """PyTorch's fused attention, the bias as its mask."""

    def attend(q: Tensor, k: Tensor, v: Tensor, bias: Tensor) -> Tensor:
        return F.scaled_dot_product_attention(q[None], k[None], v[None], attn_mask=bias[None])[0]

    return _in_parts(given, attend, MASK_SCORES)


def _in_parts(
    given: AttentionInput, attend: Callable[[Tensor, Tensor, Tensor, Tensor], Tensor], limit: int
) -> Tensor:
    """Attention of so many scores at a time, at most."""
    q, k, v, row_bias, column_bias = _windows(given)
    found = torch.empty_like(q)
    for part, queries in _blocks(q.shape[:2], limit):
        # Of each pair of a query and a key: (N, queries, side, 1) + (N, queries, 1, side).
        bias = row_bias[part, queries, :, None] + column_bias[part, queries, None]
        found[part, queries] = attend(q[part, queries], k[part], v[part], bias.flatten(2))
    return _joined(found, given)


def relative(table: Tensor, side: int) -> Tensor:
    """Embeddings of all pairs of positions, shape (side, side, D), out of those of distances."""
    at = torch.arange(side, device=table.device)
    return table[at[:, None] - at + side - 1]


def _windows(given: AttentionInput) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Queries, keys and values of windows and heads, (N, side * side, D), and biases.

    The biases, (N, side * side, side), are for the rows and for the columns of the keys.
    """
    batch, height, width, _, heads, dim = given.qkv.shape
    side = given.side
    down, right = -(-height // side), -(-width // side)
    qkv = given.qkv
    if (down * side, right * side) != (height, width):
        # A window's tokens outside of the image are not masked, but have no content.
        larger = given.beyond.to(qkv).expand(batch, down * side, right * side, 3, heads, dim)
        larger = larger.contiguous()
        larger[:, :height, :width] = qkv
        qkv = larger
    qkv = qkv.reshape(batch, down, side, right, side, 3, heads, dim)
    qkv = qkv.permute(5, 0, 1, 3, 6, 2, 4, 7).reshape(3, -1, side, side, dim)
    q, k, v = qkv.unbind(0)
    row_bias = torch.einsum("nrcd,rkd->nrck", q, relative(given.rows, side).to(q))
    column_bias = torch.einsum("nrcd,ckd->nrck", q, relative(given.columns, side).to(q))
    q, k, v, row_bias, column_bias = (
        part.flatten(1, 2) for part in (q, k, v, row_bias, column_bias)
    )
    return q, k, v, row_bias, column_bias


def _joined(found: Tensor, given: AttentionInput) -> Tensor:
    """The image out of its windows and heads."""
    batch, height, width, _, heads, dim = given.qkv.shape
    side = given.side
    down, right = -(-height // side), -(-width // side)
    found = found.reshape(batch, down, right, heads, side, side, dim)
    whole = found.permute(0, 1, 4, 2, 5, 3, 6).reshape(batch, down * side, right * side, -1)
    return whole[:, :height, :width]


def _blocks(shape: tuple[int, ...], limit: int) -> Iterator[tuple[slice, slice]]:
    """Windows and queries with so many scores together, at most."""
    count, tokens = shape
    windows = max(1, limit // tokens**2)
    queries = min(tokens, max(1, limit // tokens))
    for start in range(0, count, windows):
        for first in range(0, tokens, queries):
            yield slice(start, start + windows), slice(first, first + queries)
