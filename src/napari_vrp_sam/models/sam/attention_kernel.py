"""Attention with SAM's relative-position bias as one GPU kernel, in Triton.

Flash attention (Dao et al., 2022) that adds the bias to each block of scores while it is on the
chip, reads queries, keys and values where the linear layer left them, and cuts windows on the way:
no mask is written, nothing is copied or padded. Inference only, in half precision.

Imported where there is a CUDA device; without Triton the import fails.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import torch
import torch.nn.functional as F
import triton
import triton.language as tl
from torch import Tensor

from napari_vrp_sam.models.sam.attention import AttentionInput, biased_sdpa

LOG2_E = 1.4426950408889634

GLOBAL_TILE = {"queries": 64, "keys": 64, "num_warps": 4, "num_stages": 3}
WINDOW_TILE = {"queries": 64, "keys": 64, "num_warps": 4, "num_stages": 2}
"""Sizes of blocks, the quickest of three on an H100; `keys` is a multiple of the padded side of a
window, and its square at most."""


def triton_attention(given: AttentionInput) -> Tensor:
    """Implements `image_attention.Attention`; by other means where the kernel does not fit."""
    if not _fits(given.qkv.shape[-1]) or given.side > GLOBAL_TILE["keys"]:
        return biased_sdpa(given)
    found: Tensor = torch.ops.napari_vrp_sam.image_attention(
        given.qkv, given.beyond, given.rows, given.columns, given.side
    )
    return found


@cache
def kernel_runs(device: torch.device) -> bool:
    """Whether the kernel can be built here and gives the right numbers; tried once."""
    if torch.cuda.get_device_capability(device) < (8, 0):
        return False
    # Larger scores would be rounded by more than a mistake makes: these differ by 0.002 if all is
    # well, and the results have a deviation of 0.13.
    qkv, beyond, rows, columns = (
        (0.3 * torch.randn(shape, device=device)).bfloat16()
        for shape in ((1, 20, 20, 3, 2, 32), (3, 2, 32), (27, 32), (27, 32))
    )
    try:
        found = triton_attention(AttentionInput(qkv, beyond, rows, columns, 14))
    except Exception:
        return False
    exact = biased_sdpa(
        AttentionInput(qkv.float(), beyond.float(), rows.float(), columns.float(), 14)
    )
    return torch.allclose(found.float(), exact, atol=0.02)


def _fits(dim: int) -> bool:
    """Whether a head is as wide as one or two powers of two."""
    rest = dim - _power(dim)
    return dim >= 16 and (rest == 0 or (rest >= 16 and rest == _power(rest)))


def _power(number: int) -> int:
    """The highest power of two that is no larger."""
    return 1 << (number.bit_length() - 1)


@torch.library.custom_op("napari_vrp_sam::image_attention", mutates_args=())
def _image_attention(
    qkv: Tensor, beyond: Tensor, rows: Tensor, columns: Tensor, side: int
) -> Tensor:
    return launch(qkv, beyond, rows, columns, side)


@_image_attention.register_fake
def _(qkv: Tensor, beyond: Tensor, rows: Tensor, columns: Tensor, side: int) -> Tensor:  # noqa: ARG001
    return qkv.new_empty((*qkv.shape[:3], qkv.shape[4] * qkv.shape[5]))


def launch(
    qkv: Tensor,
    beyond: Tensor,
    rows: Tensor,
    columns: Tensor,
    side: int,
    tile: dict[str, int] | None = None,
) -> Tensor:
    """Run the kernel; parameters are those of `AttentionInput`, and sizes of blocks."""
    batch, height, width, _, heads, dim = qkv.shape
    qkv = qkv.contiguous()
    padded = triton.next_power_of_2(side)
    tile = dict(tile or (GLOBAL_TILE if padded == GLOBAL_TILE["keys"] else WINDOW_TILE))
    queries, keys = tile.pop("queries"), tile.pop("keys")
    # Products of each query with all distances: which of them is meant, the kernel works out.
    table = torch.cat([rows, columns]).to(qkv.dtype)
    table = F.pad(table, (0, 0, 0, -len(table) % 8))
    of_heads = qkv[:, :, :, 0].reshape(-1, heads, dim).transpose(0, 1)
    bias = torch.bmm(of_heads, table.T.expand(heads, -1, -1))
    found = qkv.new_empty(batch, height, width, heads * dim)
    down, right = triton.cdiv(height, side), triton.cdiv(width, side)
    _attend[triton.cdiv(side * side, queries), batch * down * right * heads](
        qkv,
        bias,
        beyond.to(qkv.dtype).contiguous(),
        found,
        LOG2_E * dim**-0.5,
        batch,
        height,
        width,
        down,
        right,
        heads=heads,
        dim=dim,
        first=_power(dim),
        second=dim - _power(dim),
        side=side,
        padded=padded,
        stride=len(table),
        queries=queries,
        keys=keys,
        reaches_out=(down * side, right * side) != (height, width),
        **tile,
    )
    return found


@triton.jit  # type: ignore[untyped-decorator]
def _attend(  # type: ignore[no-untyped-def]  # noqa: C901 - branches are compiled away
    qkv,
    bias,
    beyond,
    found,
    scale,
    batch,
    height,
    width,
    down,
    right,
    heads: tl.constexpr,
    dim: tl.constexpr,
    first: tl.constexpr,
    second: tl.constexpr,
    side: tl.constexpr,
    padded: tl.constexpr,
    stride: tl.constexpr,
    queries: tl.constexpr,
    keys: tl.constexpr,
    reaches_out: tl.constexpr,
) -> Any:
    """A block of queries of one head and window; channels are read as `first` and `second`."""
    log2_e: tl.constexpr = 1.4426950408889634
    width_of_all: tl.constexpr = heads * dim
    rows: tl.constexpr = keys // padded
    cut: tl.constexpr = (padded != side) or (side % rows != 0)
    head = tl.program_id(1) % heads
    window = tl.program_id(1) // heads
    left = window % right * side
    top = window // right % down * side
    image = window // (right * down)

    at = tl.program_id(0) * queries + tl.arange(0, queries)
    row, column = at // side, at % side
    seen = (at < side * side) & (top + row < height) & (left + column < width)
    token = (image * height + top + row).to(tl.int64) * width + left + column
    d = tl.arange(0, first)
    start = qkv + token[:, None] * (3 * width_of_all) + head * dim
    q = tl.load(start + d[None, :], mask=seen[:, None], other=0.0)
    if second > 0:
        e = first + tl.arange(0, second)
        q2 = tl.load(start + e[None, :], mask=seen[:, None], other=0.0)

    j = tl.arange(0, keys)
    key_column = j % padded
    # Where the products with distance 0 are, of rows and columns.
    own = bias + (head.to(tl.int64) * batch * height * width + token) * stride
    row_zero = own + row + side - 1
    column_zero = own + 2 * side - 1 + column + side - 1
    if rows == 1:
        # A block of keys is a row of the image: its columns are the same in each.
        inside = seen[:, None] & (key_column < side)[None, :]
        column_bias = tl.load(column_zero[:, None] - key_column[None, :], mask=inside, other=0.0)
        column_bias = column_bias.to(tl.float32) * log2_e
    else:
        # Bias of rows, then of columns; a product with zeros and ones hands it to the keys.
        k = tl.arange(0, 2 * padded)
        of_row = k < padded
        step = tl.where(of_row, k, k - padded)
        place = tl.where(of_row[None, :], row_zero[:, None], column_zero[:, None])
        inside = seen[:, None] & (step < side)[None, :]
        both = tl.load(place - step[None, :], mask=inside, other=0.0)

    highest = tl.full([queries], float("-inf"), tl.float32)
    total = tl.zeros([queries], tl.float32)
    sums = tl.zeros([queries, first], tl.float32)
    if second > 0:
        sums2 = tl.zeros([queries, second], tl.float32)
    if reaches_out:
        out_k = tl.load(beyond + width_of_all + head * dim + d)
        out_v = tl.load(beyond + 2 * width_of_all + head * dim + d)
        if second > 0:
            out_k2 = tl.load(beyond + width_of_all + head * dim + e)
            out_v2 = tl.load(beyond + 2 * width_of_all + head * dim + e)

    for row_of_block in range(0, side, rows):
        key_row = row_of_block + j // padded
        valid = (key_row < side) & (key_column < side)
        there = valid & (top + key_row < height) & (left + key_column < width)
        other = (image * height + top + key_row).to(tl.int64) * width + left + key_column
        k_start = qkv + other * (3 * width_of_all) + width_of_all + head * dim
        v_start = k_start + width_of_all
        if cut or reaches_out:
            k_block = tl.load(k_start[None, :] + d[:, None], mask=there[None, :], other=0.0)
            v_block = tl.load(v_start[:, None] + d[None, :], mask=there[:, None], other=0.0)
        else:
            k_block = tl.load(k_start[None, :] + d[:, None])
            v_block = tl.load(v_start[:, None] + d[None, :])
        if reaches_out:
            k_block = tl.where(there[None, :], k_block, out_k[:, None])
            v_block = tl.where(there[:, None], v_block, out_v[None, :])
        scores = tl.dot(q, k_block)
        if second > 0:
            k2 = tl.load(k_start[None, :] + e[:, None], mask=there[None, :], other=0.0)
            v2 = tl.load(v_start[:, None] + e[None, :], mask=there[:, None], other=0.0)
            if reaches_out:
                k2 = tl.where(there[None, :], k2, out_k2[:, None])
                v2 = tl.where(there[:, None], v2, out_v2[None, :])
            scores = tl.dot(q2, k2, scores)
        if rows == 1:
            row_bias = tl.load(row_zero - row_of_block, mask=seen, other=0.0).to(tl.float32)
            scores = scores * scale + column_bias + row_bias[:, None] * log2_e
        else:
            wanted = tl.where(of_row[:, None], key_row[None, :], key_column[None, :])
            picked = (wanted == step[:, None]).to(both.dtype)
            scores = scores * scale + tl.dot(both, picked) * log2_e
        if cut:
            scores = tl.where(valid[None, :], scores, float("-inf"))
        now = tl.maximum(highest, tl.max(scores, 1))
        shrunk = tl.exp2(highest - now)
        weights = tl.exp2(scores - now[:, None])
        total = total * shrunk + tl.sum(weights, 1)
        weights = weights.to(q.dtype)
        sums = tl.dot(weights, v_block, sums * shrunk[:, None])
        if second > 0:
            sums2 = tl.dot(weights, v2, sums2 * shrunk[:, None])
        highest = now

    end = found + token[:, None] * width_of_all + head * dim
    tl.store(end + d[None, :], (sums / total[:, None]).to(q.dtype), mask=seen[:, None])
    if second > 0:
        tl.store(end + e[None, :], (sums2 / total[:, None]).to(q.dtype), mask=seen[:, None])
