"""Attention with SAM's relative position bias as one GPU kernel, in Triton.

Flash attention (Dao et al., 2022) that adds the bias to each block of scores on the chip, reads
queries, keys and values in the layout of the linear layer, and splits windows on the fly: it
writes no mask, and copies or pads nothing. For inference in half precision only.

This module is imported only if a CUDA device is available; it requires Triton.
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
"""Block sizes, the fastest of three on an H100. `keys` must be a multiple of the padded side of a
window and at most its square."""


def triton_attention(inputs: AttentionInput) -> Tensor:
    """Compute attention with the kernel, or with `biased_sdpa` for sizes that it does not support.

    See `attention.Attention`.
    """
    if not _supports_width(inputs.qkv.shape[-1]) or inputs.side > GLOBAL_TILE["keys"]:
        return biased_sdpa(inputs)
    output: Tensor = torch.ops.napari_vrp_sam.image_attention(
        inputs.qkv, inputs.padding, inputs.rows, inputs.columns, inputs.side
    )
    return output


@cache
def kernel_runs(device: torch.device) -> bool:
    """Return whether the kernel compiles on a device and gives correct results."""
    if torch.cuda.get_device_capability(device) < (8, 0):
        return False
    # With larger scores, rounding errors would hide mistakes. Here they are 0.002, and the outputs
    # have a standard deviation of 0.13.
    qkv, padding, rows, columns = (
        (0.3 * torch.randn(shape, device=device)).bfloat16()
        for shape in ((1, 20, 20, 3, 2, 32), (3, 2, 32), (27, 32), (27, 32))
    )
    try:
        output = triton_attention(AttentionInput(qkv, padding, rows, columns, 14))
    except Exception:
        return False
    exact = biased_sdpa(
        AttentionInput(qkv.float(), padding.float(), rows.float(), columns.float(), 14)
    )
    return torch.allclose(output.float(), exact, atol=0.02)


def _supports_width(dim: int) -> bool:
    """Return whether the width of a head is a power of two or the sum of two."""
    rest = dim - _power_of_two(dim)
    return dim >= 16 and (rest == 0 or (rest >= 16 and rest == _power_of_two(rest)))


def _power_of_two(number: int) -> int:
    """Return the largest power of two up to a number."""
    return 1 << (number.bit_length() - 1)


@torch.library.custom_op("napari_vrp_sam::image_attention", mutates_args=())
def _image_attention(
    qkv: Tensor, padding: Tensor, rows: Tensor, columns: Tensor, side: int
) -> Tensor:
    return launch(AttentionInput(qkv, padding, rows, columns, side))


@_image_attention.register_fake
def _(qkv: Tensor, padding: Tensor, rows: Tensor, columns: Tensor, side: int) -> Tensor:  # noqa: ARG001
    return qkv.new_empty((*qkv.shape[:3], qkv.shape[4] * qkv.shape[5]))


def launch(inputs: AttentionInput, tile: dict[str, int] | None = None) -> Tensor:
    """Run the kernel, by default with `GLOBAL_TILE` or `WINDOW_TILE` as block sizes."""
    qkv, side, (down, right) = inputs.qkv.contiguous(), inputs.side, inputs.windows
    batch, height, width, _, heads, dim = qkv.shape
    padded = triton.next_power_of_2(side)
    tile = dict(tile or (GLOBAL_TILE if padded == GLOBAL_TILE["keys"] else WINDOW_TILE))
    queries, keys = tile.pop("queries"), tile.pop("keys")
    # Products of each query with the embeddings of all distances; the kernel selects from them.
    embeddings = torch.cat([inputs.rows, inputs.columns]).to(qkv.dtype)
    embeddings = F.pad(embeddings, (0, 0, 0, -len(embeddings) % 8))
    head_queries = qkv[:, :, :, 0].reshape(-1, heads, dim).transpose(0, 1)
    bias = torch.bmm(head_queries, embeddings.T.expand(heads, -1, -1))
    output = qkv.new_empty(batch, height, width, heads * dim)
    _attend[triton.cdiv(side * side, queries), batch * down * right * heads](
        qkv, bias, inputs.padding.to(qkv.dtype).contiguous(), output,
        LOG2_E * dim**-0.5, batch, height, width, down, right,
        heads=heads, dim=dim, first=_power_of_two(dim), second=dim - _power_of_two(dim),
        side=side, padded=padded, stride=len(embeddings), queries=queries, keys=keys,
        has_padding=(down * side, right * side) != (height, width), **tile,
    )  # fmt: skip
    return output


@triton.jit  # type: ignore[untyped-decorator]
def _attend(  # type: ignore[no-untyped-def]  # noqa: C901 - branches are compiled away
    qkv, bias, padding, output, scale, batch, height, width, down, right,
    heads: tl.constexpr, dim: tl.constexpr, first: tl.constexpr, second: tl.constexpr,
    side: tl.constexpr, padded: tl.constexpr, stride: tl.constexpr, queries: tl.constexpr,
    keys: tl.constexpr, has_padding: tl.constexpr,
) -> Any:  # fmt: skip
    """Attend for one block of queries; the channels of a head are split in `first` and `second`."""
    log2_e: tl.constexpr = 1.4426950408889634
    token_width: tl.constexpr = heads * dim
    rows: tl.constexpr = keys // padded
    has_gaps: tl.constexpr = (padded != side) or (side % rows != 0)
    head = tl.program_id(1) % heads
    window = tl.program_id(1) // heads
    left = window % right * side
    top = window // right % down * side
    image = window // (right * down)

    at = tl.program_id(0) * queries + tl.arange(0, queries)
    row, column = at // side, at % side
    valid_query = (at < side * side) & (top + row < height) & (left + column < width)
    token = (image * height + top + row).to(tl.int64) * width + left + column
    d = tl.arange(0, first)
    start = qkv + token[:, None] * (3 * token_width) + head * dim
    q = tl.load(start + d[None, :], mask=valid_query[:, None], other=0.0)
    if second > 0:
        e = first + tl.arange(0, second)
        q2 = tl.load(start + e[None, :], mask=valid_query[:, None], other=0.0)

    j = tl.arange(0, keys)
    key_column = j % padded
    # Addresses of the products with the embeddings of distance 0.
    query_bias = bias + (head.to(tl.int64) * batch * height * width + token) * stride
    row_zero = query_bias + row + side - 1
    column_zero = query_bias + 2 * side - 1 + column + side - 1
    if rows == 1:
        # Each block of keys is one row of the window, so the column bias is the same.
        inside = valid_query[:, None] & (key_column < side)[None, :]
        column_bias = tl.load(column_zero[:, None] - key_column[None, :], mask=inside, other=0.0)
        column_bias = column_bias.to(tl.float32) * log2_e
    else:
        # Bias of rows, then of columns; a product with a 0/1 matrix distributes it to the keys.
        k = tl.arange(0, 2 * padded)
        of_row = k < padded
        step = tl.where(of_row, k, k - padded)
        address = tl.where(of_row[None, :], row_zero[:, None], column_zero[:, None])
        inside = valid_query[:, None] & (step < side)[None, :]
        both = tl.load(address - step[None, :], mask=inside, other=0.0)

    maximum = tl.full([queries], float("-inf"), tl.float32)
    total = tl.zeros([queries], tl.float32)
    sums = tl.zeros([queries, first], tl.float32)
    if second > 0:
        sums2 = tl.zeros([queries, second], tl.float32)
    if has_padding:
        pad_k = tl.load(padding + token_width + head * dim + d)
        pad_v = tl.load(padding + 2 * token_width + head * dim + d)
        if second > 0:
            pad_k2 = tl.load(padding + token_width + head * dim + e)
            pad_v2 = tl.load(padding + 2 * token_width + head * dim + e)

    for row_of_block in range(0, side, rows):
        key_row = row_of_block + j // padded
        valid = (key_row < side) & (key_column < side)
        on_image = valid & (top + key_row < height) & (left + key_column < width)
        other = (image * height + top + key_row).to(tl.int64) * width + left + key_column
        k_start = qkv + other * (3 * token_width) + token_width + head * dim
        v_start = k_start + token_width
        if has_gaps or has_padding:
            k_block = tl.load(k_start[None, :] + d[:, None], mask=on_image[None, :], other=0.0)
            v_block = tl.load(v_start[:, None] + d[None, :], mask=on_image[:, None], other=0.0)
        else:
            k_block = tl.load(k_start[None, :] + d[:, None])
            v_block = tl.load(v_start[:, None] + d[None, :])
        if has_padding:
            k_block = tl.where(on_image[None, :], k_block, pad_k[:, None])
            v_block = tl.where(on_image[:, None], v_block, pad_v[None, :])
        scores = tl.dot(q, k_block)
        if second > 0:
            k2 = tl.load(k_start[None, :] + e[:, None], mask=on_image[None, :], other=0.0)
            v2 = tl.load(v_start[:, None] + e[None, :], mask=on_image[:, None], other=0.0)
            if has_padding:
                k2 = tl.where(on_image[None, :], k2, pad_k2[:, None])
                v2 = tl.where(on_image[:, None], v2, pad_v2[None, :])
            scores = tl.dot(q2, k2, scores)
        if rows == 1:
            row_bias = tl.load(row_zero - row_of_block, mask=valid_query, other=0.0).to(tl.float32)
            scores = scores * scale + column_bias + row_bias[:, None] * log2_e
        else:
            index = tl.where(of_row[:, None], key_row[None, :], key_column[None, :])
            select = (index == step[:, None]).to(both.dtype)
            scores = scores * scale + tl.dot(both, select) * log2_e
        if has_gaps:
            scores = tl.where(valid[None, :], scores, float("-inf"))
        new_maximum = tl.maximum(maximum, tl.max(scores, 1))
        rescale = tl.exp2(maximum - new_maximum)
        weights = tl.exp2(scores - new_maximum[:, None])
        total = total * rescale + tl.sum(weights, 1)
        weights = weights.to(q.dtype)
        sums = tl.dot(weights, v_block, sums * rescale[:, None])
        if second > 0:
            sums2 = tl.dot(weights, v2, sums2 * rescale[:, None])
        maximum = new_maximum

    target = output + token[:, None] * token_width + head * dim
    mask = valid_query[:, None]
    tl.store(target + d[None, :], (sums / total[:, None]).to(q.dtype), mask=mask)
    if second > 0:
        tl.store(target + e[None, :], (sums2 / total[:, None]).to(q.dtype), mask=mask)
