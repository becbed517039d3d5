"""Inference with the backbone: batch norm folded in, wide layers computed in bands of rows.

An inverted residual block has six times as many channels inside as outside. For a large frame these
inner layers have hundreds of megabytes, and a CPU spends more time on moving than on computing
them. Bands of rows stay in the cache, and give the same result.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import chain
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

BAND_BYTES = 4_000_000
"""Size of the widest layer of a band on a CPU; twice as much was not faster."""

RELU6_MAX = 6.0


@dataclass(frozen=True, eq=False)
class _Convolution:
    """Convolution with the following batch norm folded in, padded as in TensorFlow ("same")."""

    weight: Tensor
    bias: Tensor
    stride: int
    groups: int
    activated: bool

    @classmethod
    def fold(cls, convolution: nn.Conv2d, norm: Any) -> _Convolution:
        folded = fuse_conv_bn_eval(convolution, norm)
        assert folded.bias is not None
        return cls(
            folded.weight.detach().contiguous(memory_format=torch.channels_last),
            folded.bias.detach(),
            folded.stride[0],
            folded.groups,
            not isinstance(norm.act, nn.Identity),
        )

    @property
    def size(self) -> int:
        return int(self.weight.shape[-1])

    def padding(self, length: int) -> tuple[int, int]:
        """Return the padding before and after an axis."""
        total = max((-(-length // self.stride) - 1) * self.stride + self.size - length, 0)
        return total // 2, total - total // 2

    def __call__(
        self, x: Tensor, rows: tuple[int, int] = (0, 0), columns: tuple[int, int] = (0, 0)
    ) -> Tensor:
        """Convolve and activate, with zero padding above and below, left and right."""
        if rows[0] == rows[1] and columns[0] == columns[1]:
            padding = (rows[0], columns[0])
        else:
            x, padding = F.pad(x, (*columns, *rows)), (0, 0)
        y = F.conv2d(x, self.weight, self.bias, self.stride, padding, groups=self.groups)
        return y.clamp_(0, RELU6_MAX) if self.activated else y


@dataclass(frozen=True, eq=False)
class _Block:
    """Inverted residual block; the first one of the backbone has no expansion."""

    expand: _Convolution | None
    depthwise: _Convolution
    project: _Convolution
    skip: bool

    @classmethod
    def fold(cls, block: Any) -> _Block:
        convolutions = [m for m in block.children() if isinstance(m, nn.Conv2d)]
        norms = [m for m in block.children() if isinstance(m, nn.BatchNorm2d)]
        *expand, depthwise, project = map(_Convolution.fold, convolutions, norms)
        return cls(expand[0] if expand else None, depthwise, project, block.has_skip)

    def __call__(self, x: Tensor) -> Tensor:
        rows, columns = (-(-side // self.depthwise.stride) for side in x.shape[-2:])
        band = self._band_height(x)
        if band >= rows:
            return self._compute_rows(x, 0, rows)
        result = torch.empty(
            (len(x), len(self.project.weight), rows, columns),
            dtype=x.dtype,
            device=x.device,
            memory_format=torch.channels_last,
        )
        for top in range(0, rows, band):
            bottom = min(top + band, rows)
            result[:, :, top:bottom] = self._compute_rows(x, top, bottom)
        return result

    def _compute_rows(self, x: Tensor, top: int, bottom: int) -> Tensor:
        """Compute some rows of the result from the input rows in their receptive field."""
        height, width = x.shape[-2:]
        before, _ = self.depthwise.padding(height)
        first = top * self.depthwise.stride - before
        last = (bottom - 1) * self.depthwise.stride - before + self.depthwise.size
        above, below = max(-first, 0), max(last - height, 0)
        y = x[:, :, first + above : last - below]
        if self.expand is not None:
            y = self.expand(y)
        y = self.depthwise(y, (above, below), self.depthwise.padding(width))
        y = self.project(y)
        return y.add_(x[:, :, top:bottom]) if self.skip else y

    def _band_height(self, x: Tensor) -> int:
        """Return the number of rows of the result to compute at once."""
        if x.device.type != "cpu":  # bands do not fit a GPU's cache, and each launch takes time
            return int(x.shape[-2])
        row = len(self.depthwise.weight) * self.depthwise.stride * x.shape[-1]
        return max(1, BAND_BYTES // (len(x) * row * x.element_size()))


class FoldedBackbone:
    """EfficientNet-Lite of `timm` without gradients, folded again whenever its weights change.

    It is not a module, so its tensors are not in any state dict.
    """

    def __init__(self, backbone: Any) -> None:
        self._backbone = backbone
        self._versions: tuple[tuple[int, int], ...] | None = None
        self._stem: _Convolution
        self._stages: tuple[tuple[_Block, ...], ...] = ()

    @torch.no_grad()
    def __call__(self, frames: Tensor) -> list[Tensor]:
        """Return the feature maps of frames of shape (B, 3, H, W), as the backbone does."""
        self._update()
        return self._maps(frames)

    def _maps(self, frames: Tensor) -> list[Tensor]:
        height, width = frames.shape[-2:]
        x = self._stem(frames, self._stem.padding(height), self._stem.padding(width))
        maps = []
        for number, stage in enumerate(self._stages, start=1):
            for block in stage:
                x = block(x)
            if number in self._backbone._stage_out_idx:  # noqa: SLF001 # timm has no public name
                maps.append(x)
        return maps

    def _update(self) -> None:
        """Fold the weights if they were trained, loaded or moved since the last call."""
        tensors = chain(self._backbone.parameters(), self._backbone.buffers())
        versions = tuple((t.data_ptr(), t._version) for t in tensors)  # noqa: SLF001
        if versions != self._versions:
            self._stem = _Convolution.fold(self._backbone.conv_stem, self._backbone.bn1)
            self._stages = tuple(tuple(map(_Block.fold, stage)) for stage in self._backbone.blocks)
            self._versions = versions
