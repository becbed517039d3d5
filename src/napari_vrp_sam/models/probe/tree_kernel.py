"""Cells down the trees of a forest as one GPU kernel, in Triton.

As single operations of PyTorch each level of the trees reads and writes where all cells are: six
milliseconds for a frame of 1024 x 1024 pixels on an H100, a quarter of all that `lite` does. Here
a cell's place stays on the chip from the root to the leaf.

Imported where there is a CUDA device; without Triton the import fails.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

import torch
import triton
import triton.language as tl
from torch import Tensor

if TYPE_CHECKING:
    from napari_vrp_sam.models.probe.tree_tables import TreeTables

CELLS = 128
"""Cells of a block: neighbours mostly look at the same channel, which is then read at once."""


@cache
def kernel_runs(device: torch.device) -> bool:
    """Whether the kernel can be built here and gives the right numbers; tried once."""
    generator = torch.Generator().manual_seed(0)
    tables = complete_tree(depth=4, channels=3, generator=generator).to(device)
    features = torch.rand(3, 1000, generator=generator).to(device)
    try:
        found = descend(tables, features)
    except Exception:
        return False
    return torch.allclose(found, tables.level_by_level(features), atol=1e-6)


def complete_tree(depth: int, channels: int, generator: torch.Generator) -> TreeTables:
    """Two trees of random thresholds that are filled to their last level."""
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
    """Mean probability of the class, shape (N,), of cells with features (D, N), float32."""
    features = features.contiguous()
    count = features.shape[1]
    found = torch.empty(count, dtype=torch.float32, device=features.device)
    _descend[(triton.cdiv(count, CELLS),)](
        features,
        tables.roots,
        tables.channel,
        tables.threshold,
        tables.children,
        tables.probability,
        found,
        count,
        len(tables.roots),
        tables.depth,
        cells=CELLS,
    )
    return found


@triton.jit  # type: ignore[untyped-decorator]
def _descend(  # type: ignore[no-untyped-def]
    features,
    roots,
    channel,
    threshold,
    children,
    probability,
    found,
    count,
    trees,
    depth,
    cells: tl.constexpr,
) -> Any:
    """A block of cells through all trees."""
    cell = tl.program_id(0) * cells + tl.arange(0, cells)
    there = cell < count
    total = tl.zeros([cells], tl.float32)
    for tree in range(trees):
        node = tl.zeros([cells], tl.int32) + tl.load(roots + tree)
        for _ in range(depth):
            place = tl.load(channel + node).to(tl.int64) * count + cell
            value = tl.load(features + place, mask=there, other=0.0)
            above = value > tl.load(threshold + node)
            node = tl.load(children + 2 * node + above.to(tl.int32))
        total += tl.load(probability + node)
    tl.store(found + cell, total / trees, mask=there)
