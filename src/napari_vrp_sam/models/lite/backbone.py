"""The backbone as inference runs it: batch norm folded in, wide layers a band of rows at a time.

An inverted residual block widens its input sixfold before it narrows it again. Of a large frame
what lies between takes hundreds of megabytes, and a processor spends more time on moving them than
on computing. In bands of rows it never leaves the cache; the result is the same.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_weights

BAND_BYTES = 4_000_000
"""Of the widest layer of a block, on a processor; twice as much was no faster."""

CEILING = 6.0
"""Of the activation, ReLU6."""


@dataclass(frozen=True, eq=False)
class _Convolution:
    """A convolution with the batch norm after it folded in, padded as TensorFlow does ("same")."""

    weight: Tensor
    bias: Tensor
    stride: int
    groups: int
    activated: bool

    @classmethod
    def of(cls, convolution: nn.Conv2d, norm: nn.Module, *, activated: bool = True) -> _Convolution:
        assert isinstance(norm, nn.BatchNorm2d)
        assert norm.running_mean is not None
        assert norm.running_var is not None
        weight, bias = fuse_conv_bn_weights(
            convolution.weight,
            convolution.bias,
            norm.running_mean,
            norm.running_var,
            norm.eps,
            norm.weight,
            norm.bias,
        )
        return cls(
            weight.detach().contiguous(memory_format=torch.channels_last),
            bias.detach(),
            convolution.stride[0],
            convolution.groups,
            activated,
        )

    @property
    def size(self) -> int:
        return int(self.weight.shape[-1])

    def padding(self, length: int) -> tuple[int, int]:
        """Before and after an axis of some length."""
        total = max((-(-length // self.stride) - 1) * self.stride + self.size - length, 0)
        return total // 2, total - total // 2

    def __call__(self, x: Tensor, rows: tuple[int, int], columns: tuple[int, int]) -> Tensor:
        """The activation, with zeros around: `rows` above and below, `columns` beside."""
        if rows[0] == rows[1] and columns[0] == columns[1]:
            padding = (rows[0], columns[0])
        else:
            x, padding = F.pad(x, (*columns, *rows)), (0, 0)
        y = F.conv2d(x, self.weight, self.bias, self.stride, padding, groups=self.groups)
        return y.clamp_(0, CEILING) if self.activated else y


@dataclass(frozen=True, eq=False)
class _Block:
    """An inverted residual block; the first one has nothing that widens."""

    widen: _Convolution | None
    spatial: _Convolution
    narrow: _Convolution
    skip: bool

    @classmethod
    def of(cls, block: Any) -> _Block:
        if hasattr(block, "conv_pwl"):
            return cls(
                _Convolution.of(block.conv_pw, block.bn1),
                _Convolution.of(block.conv_dw, block.bn2),
                _Convolution.of(block.conv_pwl, block.bn3, activated=False),
                block.has_skip,
            )
        return cls(
            None,
            _Convolution.of(block.conv_dw, block.bn1),
            _Convolution.of(block.conv_pw, block.bn2, activated=False),
            block.has_skip,
        )

    def __call__(self, x: Tensor) -> Tensor:
        height, width = x.shape[-2:]
        rows = -(-height // self.spatial.stride)
        band = self._band(x)
        if band >= rows:
            return self._rows(x, 0, rows)
        columns = -(-width // self.spatial.stride)
        result = torch.empty(
            (len(x), len(self.narrow.weight), rows, columns),
            dtype=x.dtype,
            device=x.device,
            memory_format=torch.channels_last,
        )
        for top in range(0, rows, band):
            bottom = min(top + band, rows)
            result[:, :, top:bottom] = self._rows(x, top, bottom)
        return result

    def _rows(self, x: Tensor, top: int, bottom: int) -> Tensor:
        """Some rows of the result, from the rows of the input that they see."""
        height, width = x.shape[-2:]
        before, _ = self.spatial.padding(height)
        first = top * self.spatial.stride - before
        last = (bottom - 1) * self.spatial.stride - before + self.spatial.size
        above, below = max(-first, 0), max(last - height, 0)
        y = x[:, :, first + above : last - below]
        if self.widen is not None:
            y = self.widen(y, (0, 0), (0, 0))
        y = self.spatial(y, (above, below), self.spatial.padding(width))
        y = self.narrow(y, (0, 0), (0, 0))
        return y.add_(x[:, :, top:bottom]) if self.skip else y

    def _band(self, x: Tensor) -> int:
        """Rows of the result to compute at once."""
        if x.device.type != "cpu":  # its cache is none of ours, and each launch has a price
            return int(x.shape[-2])
        wide = len(self.spatial.weight) * self.spatial.stride * x.shape[-1]
        return max(1, BAND_BYTES // (len(x) * wide * x.element_size()))


class FoldedBackbone:
    """Maps of a backbone of `timm`, without gradients; follows its weights when they change.

    It is no module: what it holds is no part of a state dict.

    Parameters
    ----------
    backbone : nn.Module
        EfficientNet-Lite as `timm.create_model(..., features_only=True)` makes it.
    """

    def __init__(self, backbone: Any) -> None:
        self._backbone = backbone
        self._known: tuple[tuple[int, int], ...] | None = None
        self._stem: _Convolution
        self._stages: tuple[tuple[_Block, ...], ...] = ()

    @torch.no_grad()
    def __call__(self, frames: Tensor) -> list[Tensor]:
        """Maps of frames of shape (B, 3, H, W), as the backbone itself gives them."""
        self._follow()
        return self._maps(frames)

    def _maps(self, frames: Tensor) -> list[Tensor]:
        height, width = frames.shape[-2:]
        x = self._stem(frames, self._stem.padding(height), self._stem.padding(width))
        maps = []
        for number, stage in enumerate(self._stages, start=1):
            for block in stage:
                x = block(x)
            if number in self._backbone._stage_out_idx:  # noqa: SLF001 # nothing else tells
                maps.append(x)
        return maps

    def _follow(self) -> None:
        """Fold anew what has been trained, loaded or moved since."""
        now = tuple((t.data_ptr(), t._version) for t in self._tensors())  # noqa: SLF001
        if now == self._known:
            return
        self._stem = _Convolution.of(self._backbone.conv_stem, self._backbone.bn1)
        self._stages = tuple(tuple(map(_Block.of, stage)) for stage in self._backbone.blocks)
        self._known = now

    def _tensors(self) -> Iterator[Tensor]:
        yield from self._backbone.parameters()
        yield from self._backbone.buffers()
