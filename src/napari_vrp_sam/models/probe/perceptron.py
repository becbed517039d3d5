"""The perceptron probe, evaluated without ever holding a hidden layer of the whole frame.

A hidden layer at stride 2 has 64 channels: 67 MB for a frame of 1024 x 1024 pixels, written and
read again for each map that adds to it. On a processor that took six times as long as it does a
strip of rows at a time, which stays in the cache. A bilinear resize is linear and separable: coarse
maps are projected at their own resolution and widened once, and a strip is a small matrix of
weights times the rows that it lies between.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
import torch.nn.functional as F
from torch import Tensor

STRIP_BYTES = 2_000_000
"""Of a strip's hidden layer; half and twice as much were no faster."""


@dataclass(frozen=True, eq=False)
class PerceptronProbe:
    """A perceptron with one hidden layer, for each of B classes; implements `probe.Probe`.

    Attributes
    ----------
    mean, spread : Tensor, shape (B, 1, D)
        Standardisation, from the references.
    hidden, hidden_bias : Tensor, shapes (B, D, H) and (B, 1, H)
    output, output_bias : Tensor, shapes (B, H, 1) and (B, 1, 1)
    """

    mean: Tensor
    spread: Tensor
    hidden: Tensor
    hidden_bias: Tensor
    output: Tensor
    output_bias: Tensor

    def logits(self, maps: Sequence[Tensor], size: tuple[int, int]) -> Tensor:
        """See `Probe`; evaluated on the grid of the finest map."""
        # Each map is projected before it is resized: dozens of channels to interpolate instead of
        # hundreds.
        weight, bias = self.folded
        parts = torch.split(weight, [m.shape[1] for m in maps], dim=1)
        logits = (
            self._in_strips(maps, parts, bias)
            if maps[0].device.type == "cpu"
            else self._at_once(maps, parts, bias)
        )
        return F.interpolate(logits, size, mode="bilinear", align_corners=False)

    @cached_property
    def folded(self) -> tuple[Tensor, Tensor]:
        """Weights (B, D, H) and bias (B, 1, H) with the standardisation folded in."""
        # Where half precision is asked for, this is not where it may be used: means are large.
        with torch.autocast(self.hidden.device.type, enabled=False):
            weight = self.hidden / self.spread.transpose(1, 2)
            return weight, self.hidden_bias - self.mean @ weight

    def _at_once(self, maps: Sequence[Tensor], parts: Sequence[Tensor], bias: Tensor) -> Tensor:
        """Logits (B, 1, h, w) on the finest grid."""
        grid = (maps[0].shape[-2], maps[0].shape[-1])
        hidden = bias.transpose(1, 2)[..., None]
        for features, part in zip(maps, parts, strict=True):
            projected = torch.einsum("bck,bchw->bkhw", part, features.expand(len(part), -1, -1, -1))
            if projected.shape[-2:] != grid:
                projected = F.interpolate(projected, grid, mode="bilinear", align_corners=False)
            hidden = hidden.to(projected) + projected
        logits = torch.einsum("bkl,bkhw->blhw", self.output, F.gelu(hidden))
        return logits + self.output_bias[..., None]

    def _in_strips(self, maps: Sequence[Tensor], parts: Sequence[Tensor], bias: Tensor) -> Tensor:
        """The same, class by class and strip by strip."""
        height, width = maps[0].shape[-2:]
        logits = []
        for b in range(len(bias)):
            own = [m[b if len(m) > 1 else 0] for m in maps]
            strips = hidden_strips(own, [part[b] for part in parts], bias[b])
            values = [F.gelu(strip) @ self.output[b] + self.output_bias[b] for strip in strips]
            logits.append(torch.cat(values).view(1, height, width))
        return torch.stack(logits)


def hidden_strips(
    maps: Sequence[Tensor], weights: Sequence[Tensor], bias: Tensor
) -> Iterator[Tensor]:
    """Linear projections of maps on the grid of the first one, from top to bottom.

    Parameters
    ----------
    maps : sequence of Tensor, each of shape (C_i, h_i, w_i)
    weights : sequence of Tensor, each of shape (C_i, H)
    bias : Tensor, shape (1, H)

    Yields
    ------
    Tensor, shape (rows * w, H)
        What resizing all maps to one grid, joining and projecting them would give.
    """
    height, width = maps[0].shape[-2:]
    pairs = list(zip(maps, weights, strict=True))
    fine = [pair for pair in pairs if pair[0].shape[-2:] == (height, width)]
    coarse = [
        _widened(*pair, height, width) for pair in pairs if pair[0].shape[-2:] != (height, width)
    ]
    rows = max(1, STRIP_BYTES // (width * bias.numel() * bias.element_size()))
    for top in range(0, height, rows):
        bottom = min(top + rows, height)
        features, weight = fine[0]  # the finest is always among them
        hidden = torch.addmm(bias, _cells(features[:, top:bottom]).to(weight), weight)
        # Not in place, which `torch.vmap` cannot batch.
        for features, weight in fine[1:]:
            hidden = torch.addmm(hidden, _cells(features[:, top:bottom]).to(weight), weight)
        by_row = hidden.view(bottom - top, -1)
        for between, lines in coarse:
            first, last = _reach(between[top:bottom])
            by_row = torch.addmm(by_row, between[top:bottom, first:last], lines[first:last])
        yield by_row.view(hidden.shape)


def _widened(features: Tensor, weight: Tensor, height: int, width: int) -> tuple[Tensor, Tensor]:
    """A projected map resized along its rows alone, and what resizes it along its columns.

    Returns
    -------
    between : Tensor, shape (height, h_i)
        Weights of the map's rows in each row of the result.
    lines : Tensor, shape (h_i, width * H)
    """
    count = features.shape[1]
    projected = (_cells(features).to(weight) @ weight).view(1, count, -1, weight.shape[1])
    lines = F.interpolate(
        projected.permute(0, 3, 1, 2), (count, width), mode="bilinear", align_corners=False
    )
    unit = torch.eye(count, dtype=weight.dtype)[None, None]
    between = F.interpolate(unit, (height, count), mode="bilinear", align_corners=False)
    return between[0, 0], lines.permute(0, 2, 3, 1).reshape(count, -1)


def _cells(features: Tensor) -> Tensor:
    """Maps (C, h, w) as (h * w, C); no copy for either order of axes in memory."""
    if features.stride(0) == 1:
        return features.permute(1, 2, 0).flatten(0, 1)
    return features.flatten(1).T


def _reach(between: Tensor) -> tuple[int, int]:
    """First and last column that is not zero all along."""
    used = between.any(dim=0).nonzero()
    return int(used[0]), int(used[-1]) + 1
