"""Evaluation of a forest by one GPU kernel, in Triton.

As PyTorch operations, each level of the trees reads and writes the nodes of all cells: 6 ms for a
frame of 1024 x 1024 pixels on an H100, a quarter of the time of `lite`. In the kernel the node of a
cell stays in registers from the root to the leaf.

Import this module only where there is a CUDA device. It needs Triton.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from napari_vrp_sam.models.probe.tree_tables import TreeTables

CELLS = 128
"""Cells per block; neighbours mostly compare the same channel, which is then read at once."""


@cache
def kernel_runs(device: torch.device) -> bool:
    """Return whether the kernel compiles on a device and gives the right result; cached."""
    generator = torch.Generator().manual_seed(0)
    tables = _random_forest(depth=4, channels=3, generator=generator).to(device)
    features = torch.rand(3, 1000, generator=generator).to(device)
    try:
        result = descend(tables, features)
    except Exception:
        return False
    return torch.allclose(result, tables(features), atol=1e-6)


def _random_forest(depth: int, channels: int, generator: torch.Generator) -> TreeTables:
    """Return two complete trees with random thresholds and probabilities."""
    count = 2 ** (depth + 1) - 1
    node = torch.arange(count)
    leaf = node >= count // 2
    below = torch.where(leaf, node, 2 * node + 1)
    above = torch.where(leaf, node, 2 * node + 2)
    children = torch.stack([below, above], dim=1).flatten()
    return TreeTables(
        torch.tensor([0, count], dtype=torch.int32),
        torch.randint(channels, (2 * count,), generator=generator, dtype=torch.int32),
        torch.rand(2 * count, generator=generator),
        torch.cat([children, children + count]).int(),
        torch.rand(2 * count, generator=generator),
        depth,
    )


def descend(tables: TreeTables, features: Tensor) -> Tensor:
    """Return the mean probability of the class, shape (N,), of cells (D, N), float32."""
    features = features.contiguous()
    count = features.shape[1]
    probability = torch.empty(count, dtype=torch.float32, device=features.device)
    _descend[(triton.cdiv(count, CELLS),)](
        features,
        tables.roots,
        tables.channel,
        tables.threshold,
        tables.children,
        tables.probability,
        probability,
        count,
        len(tables.roots),
        tables.depth,
        cells=CELLS,
    )
    return probability


@triton.jit  # type: ignore[untyped-decorator]
def _descend(  # type: ignore[no-untyped-def]
    features,
    roots,
    channel,
    threshold,
    children,
    probability,
    result,
    count,
    trees,
    depth,
    cells: tl.constexpr,
) -> Any:
    """Evaluate all trees for one block of cells."""
    cell = tl.program_id(0) * cells + tl.arange(0, cells)
    inside = cell < count
    total = tl.zeros([cells], tl.float32)
    for tree in range(trees):
        node = tl.zeros([cells], tl.int32) + tl.load(roots + tree)
        for _ in range(depth):
            index = tl.load(channel + node).to(tl.int64) * count + cell
            value = tl.load(features + index, mask=inside, other=0.0)
            above = value > tl.load(threshold + node)
            node = tl.load(children + 2 * node + above.to(tl.int32))
        total += tl.load(probability + node)
    tl.store(result + cell, total / trees, mask=inside)
