"""Triton kernel, run in Triton's interpreter, against the CPU implementation."""

from __future__ import annotations

from collections.abc import Callable

import pytest

pytest.importorskip("triton", reason="comes with PyTorch on Linux")

COMPARISON = """
import torch
from napari_vrp_sam.models.sam.attention_kernel import launch
from napari_vrp_sam.models.sam.attention import AttentionInput, blockwise_attention

torch.manual_seed(0)
tile = {"queries": 32, "keys": 32, "num_warps": 4, "num_stages": 2}
# (batch, height, width, heads, channels of a head, side of windows)
cases = [(1, 8, 8, 2, 32, 8), (1, 32, 32, 1, 16, 32), (2, 10, 13, 2, 80, 7), (1, 9, 9, 1, 48, 5)]
for batch, height, width, heads, dim, side in cases:
    qkv, padding = torch.randn(batch, height, width, 3, heads, dim), torch.randn(3, heads, dim)
    tables = (torch.randn(2 * side - 1, dim) for _ in range(2))
    inputs = AttentionInput(qkv, padding, *tables, side)
    output = launch(inputs, tile)
    torch.testing.assert_close(output, blockwise_attention(inputs), rtol=1e-4, atol=1e-4)
    print("close")
"""


@pytest.mark.slow
def test_kernel_equals_cpu_implementation(
    in_interpreter: Callable[[str], str],
) -> None:
    assert in_interpreter(COMPARISON).split() == 4 * ["close"]
