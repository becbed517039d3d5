"""Dense features of any network of timm."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from typing import Any

import timm
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from napari_vrp_sam.errors import InputError
from napari_vrp_sam.models.weights.checkpoints import read_checkpoint

VIT_BLOCKS = 4
"""Number of the last blocks of a vision transformer whose tokens are concatenated."""

MAX_TOKENS = 37
"""Largest side of a window in tokens: DINOv2 was trained on 37 x 37. Attention over a larger grid
takes time in proportion to the square of its area."""

OVERLAP = 4
"""Number of tokens that neighbouring windows share."""


class DenseBackbone(nn.Module):
    """Frozen network of timm that returns feature maps of frames of any size.

    Parameters
    ----------
    name : str
        Name of a network of timm, such as "vit_small_patch14_reg4_dinov2.lvd142m".
    weights : path-like, optional
        Weights file in timm's format. Default: random weights.

    Attributes
    ----------
    unit : int
        Pixels per token of a vision transformer, or the coarsest stride of a convolutional network.
    tokens : bool
        True for a vision transformer, which has one grid; False for a pyramid of several strides.
    channels : tuple of int
        Channels of the maps, finest first.

    Raises
    ------
    InputError
        If timm has no such network, the network has no feature maps, or the file does not fit.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, name: str, weights: str | os.PathLike[str] | None = None) -> None:
        super().__init__()
        self.name = name
        self.network = _create(name, weights)
        strides = [int(level["reduction"]) for level in self.network.feature_info]
        self.tokens = len(set(strides)) == 1
        self.unit = max(strides)
        widths = [int(level["num_chs"]) for level in self.network.feature_info]
        self.channels = (sum(widths[-VIT_BLOCKS:]),) if self.tokens else tuple(widths)
        config = self.network.pretrained_cfg
        for kind in ("mean", "std"):
            self.register_buffer(kind, torch.tensor(config[kind])[:, None, None], persistent=False)
        self.requires_grad_(requires_grad=False)
        self.train()

    def train(self, mode: bool = True) -> DenseBackbone:  # noqa: ARG002, FBT001, FBT002
        """Stay in evaluation mode, which freezes the batch statistics too."""
        return super().train(mode=False)

    def forward(self, frames: Tensor, scale: float = 1.0) -> tuple[Tensor, ...]:
        """Return feature maps that cover the frames exactly, finest first.

        Parameters
        ----------
        frames : Tensor, shape (B, 3, H, W)
            Frames in 0..1.
        scale : float
            Factor by which the frames are enlarged before they are encoded.

        Returns
        -------
        tuple of Tensor, each of shape (B, C_i, h_i, w_i)
            One map for a vision transformer: the normalised tokens of its last blocks,
            concatenated. Else one map for each stride.
        """
        height, width = frames.shape[-2:]
        rows, columns = (max(1, round(side * scale / self.unit)) for side in (height, width))
        size = rows * self.unit, columns * self.unit
        if size != (height, width):
            frames = F.interpolate(
                frames, size, mode="bilinear", align_corners=False, antialias=frames.is_cpu
            )
        normalised = (frames - self.mean) / self.std
        if not self.tokens:
            return tuple(self.network.forward_intermediates(normalised, intermediates_only=True))
        if max(rows, columns) <= MAX_TOKENS:
            return (self._tokens(normalised),)
        return (self._tokens_in_windows(normalised, rows, columns),)

    def _tokens(self, frames: Tensor) -> Tensor:
        blocks = self.network.forward_intermediates(
            frames, indices=VIT_BLOCKS, norm=True, intermediates_only=True
        )
        return torch.cat(blocks, dim=1)

    def _tokens_in_windows(self, frames: Tensor, rows: int, columns: int) -> Tensor:
        unit = self.unit
        found: Tensor | None = None
        for top, bottom, first_row in windows(rows):
            for left, right, first_column in windows(columns):
                y, x = slice(top * unit, bottom * unit), slice(left * unit, right * unit)
                tokens = self._tokens(frames[..., y, x])
                if found is None:
                    found = tokens.new_empty((*tokens.shape[:2], rows, columns))
                # Later windows replace the second half of the overlap with earlier ones.
                found[..., first_row:bottom, first_column:right] = tokens[
                    ..., first_row - top :, first_column - left :
                ]
        assert found is not None
        return found


def windows(length: int) -> Iterator[tuple[int, int, int]]:
    """Yield windows of equal length that cover an axis, with overlaps of at least `OVERLAP`.

    Yields
    ------
    start, stop, first : int
        `first` is where the window begins to replace its predecessor.
    """
    count = 1 if length <= MAX_TOKENS else -(-(length - OVERLAP) // (MAX_TOKENS - OVERLAP))
    side = -(-(length + (count - 1) * OVERLAP) // count)
    previous = 0
    for index in range(count):
        start = round(index * (length - side) / max(1, count - 1))
        yield start, start + side, start if not index else (start + previous) // 2
        previous = start + side


def _create(name: str, weights: str | os.PathLike[str] | None) -> Any:
    if not timm.is_model(name):
        raise InputError(
            f"timm has no network '{name}': choose one of timm.list_models(), without 'timm:'."
        )
    options: dict[str, Any] = {"num_classes": 0}
    if weights is not None:
        tensors = _without_classifier(read_checkpoint(weights).tensors, name)
        # timm's own reader renames the tensors of older files.
        overlay = {"num_classes": 0, "state_dict": tensors}
        options |= {"pretrained": True, "pretrained_cfg_overlay": overlay}
    try:
        try:
            network: Any = timm.create_model(name, dynamic_img_size=True, **options)
        except TypeError:  # only vision transformers have a fixed size that can be made dynamic
            network = timm.create_model(name, **options)
    except (RuntimeError, ValueError, KeyError) as error:
        if weights is None:
            raise
        raise InputError(
            f"{os.fspath(weights)} does not hold weights of '{name}': choose another file."
        ) from error
    if not hasattr(network, "forward_intermediates"):
        raise InputError(f"'{name}' has no feature maps: choose another network of timm.")
    return network


def _without_classifier(tensors: Mapping[str, Tensor], name: str) -> dict[str, Tensor]:
    config = timm.models.get_pretrained_cfg(name)
    names = (config and config.classifier) or ()
    classifiers = (names,) if isinstance(names, str) else names
    prefixes = tuple(f"{classifier}." for classifier in classifiers)
    return {key: tensor for key, tensor in tensors.items() if not key.startswith(prefixes)}
