"""Perceptron probe, evaluated without holding the hidden layer of a whole frame.

At stride 2, a hidden layer of 64 channels has 67 MB for a frame of 1024 x 1024 pixels. On a CPU,
strips of rows that fit into the cache are six times as fast. Bilinear resizing is linear and
separable: coarse maps are projected at their own resolution and resized along their rows once, then
along their columns strip by strip.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
import torch.nn.functional as F
from torch import Tensor

STRIP_BYTES = 2_000_000
"""Size of a strip of the hidden layer; half and twice as much were not faster."""


@dataclass(frozen=True, eq=False)
class PerceptronProbe:
    """Perceptron with one hidden layer for each of B classes. Implements `probe.Probe`.

    Mean and spread (B, 1, D) standardise the features. The layers have the weights (B, D, H) and
    (B, H, 1) and the biases (B, 1, H) and (B, 1, 1).
    """

    mean: Tensor
    spread: Tensor
    hidden: Tensor
    hidden_bias: Tensor
    output: Tensor
    output_bias: Tensor

    def logits(self, maps: Sequence[Tensor], size: tuple[int, int]) -> Tensor:
        """Return logits of shape (B, 1, *size), resized from the grid of the finest map."""
        # Projected before resizing: dozens of channels to interpolate instead of hundreds.
        weight, bias = self.folded
        parts = torch.split(weight, [m.shape[1] for m in maps], dim=1)
        evaluate = self.in_strips if maps[0].device.type == "cpu" else self.at_once
        return F.interpolate(
            evaluate(maps, parts, bias), size, mode="bilinear", align_corners=False
        )

    @cached_property
    def folded(self) -> tuple[Tensor, Tensor]:
        """Weights (B, D, H) and bias (B, 1, H) with the standardisation folded in."""
        # The means are too large for half precision.
        with torch.autocast(self.hidden.device.type, enabled=False):
            weight = self.hidden / self.spread.transpose(1, 2)
            return weight, self.hidden_bias - self.mean @ weight

    def at_once(self, maps: Sequence[Tensor], parts: Sequence[Tensor], bias: Tensor) -> Tensor:
        """Return logits (B, 1, h, w) on the finest grid."""
        grid = maps[0].shape[-2:]
        hidden = bias.transpose(1, 2)[..., None]
        for features, part in zip(maps, parts, strict=True):
            projected = torch.einsum("bck,bchw->bkhw", part, features.expand(len(part), -1, -1, -1))
            if projected.shape[-2:] != grid:
                projected = F.interpolate(projected, grid, mode="bilinear", align_corners=False)
            hidden = hidden.to(projected) + projected
        logits = torch.einsum("bkl,bkhw->blhw", self.output, F.gelu(hidden))
        return logits + self.output_bias[..., None]

    def in_strips(self, maps: Sequence[Tensor], parts: Sequence[Tensor], bias: Tensor) -> Tensor:
        """Return the same logits, computed class by class and strip by strip."""
        height, width = maps[0].shape[-2:]
        logits = []
        for b in range(len(bias)):
            frame = [m[b if len(m) > 1 else 0] for m in maps]
            strips = hidden_strips(frame, [part[b] for part in parts], bias[b])
            values = [F.gelu(strip) @ self.output[b] + self.output_bias[b] for strip in strips]
            logits.append(torch.cat(values).view(1, height, width))
        return torch.stack(logits)


def hidden_strips(
    maps: Sequence[Tensor], weights: Sequence[Tensor], bias: Tensor
) -> Iterator[Tensor]:
    """Yield strips (rows * w, H) of the linear projection of maps on the grid of the first one.

    The result is that of resizing the maps (C_i, h_i, w_i) to one grid, concatenating them, and
    multiplying by the weights (C_i, H).
    """
    height, width = maps[0].shape[-2:]
    fine, coarse = [], []
    for features, weight in zip(maps, weights, strict=True):
        if features.shape[-2:] == (height, width):
            fine.append((features, weight))
        else:
            coarse.append(_resize_along_rows(features, weight, height, width))
    rows = max(1, STRIP_BYTES // (width * bias.numel() * bias.element_size()))
    for top in range(0, height, rows):
        bottom = min(top + rows, height)
        hidden = bias
        # Not in place, because `torch.vmap` cannot batch that.
        for features, weight in fine:
            hidden = torch.addmm(hidden, _cells(features[:, top:bottom]).to(weight), weight)
        by_row = hidden.view(bottom - top, -1)
        for row_weights, lines in coarse:
            strip = row_weights[top:bottom]
            used = strip.any(dim=0).nonzero()
            first, last = int(used[0]), int(used[-1]) + 1
            by_row = torch.addmm(by_row, strip[:, first:last], lines[first:last])
        yield by_row.view(hidden.shape)


def _resize_along_rows(
    features: Tensor, weight: Tensor, height: int, width: int
) -> tuple[Tensor, Tensor]:
    """Project a map and resize it along its rows, to lines (h_i, width * H).

    The other result are the weights (height, h_i) that resize the lines along the columns.
    """
    count = features.shape[1]
    projected = (_cells(features).to(weight) @ weight).view(1, count, -1, weight.shape[1])
    lines = F.interpolate(
        projected.permute(0, 3, 1, 2), (count, width), mode="bilinear", align_corners=False
    )
    unit = torch.eye(count, dtype=weight.dtype)[None, None]
    row_weights = F.interpolate(unit, (height, count), mode="bilinear", align_corners=False)
    return row_weights[0, 0], lines.permute(0, 2, 3, 1).reshape(count, -1)


def _cells(features: Tensor) -> Tensor:
    """Return a map (C, h, w) as (h * w, C), without a copy for either memory layout."""
    if features.stride(0) == 1:
        return features.permute(1, 2, 0).flatten(0, 1)
    return features.flatten(1).T
