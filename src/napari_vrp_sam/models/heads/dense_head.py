"""Dense head: the part of a fine-tuned model that is specific to the user's classes.

It reads the maps of a backbone, and is trained on the annotated frames as a U-Net would be, but on
pretrained features. The model itself is not changed: it segments beside the head, and the share of
the head depends on how well it reproduces the present annotation (see `share`).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from napari_vrp_sam.errors import InputError
from napari_vrp_sam.models.probe.classical_features import intensities, structures
from napari_vrp_sam.models.weights.catalogue import DENSE_HEAD_PREFIX

DIM = 64
"""Channels of the pyramid."""

CLASSICAL_CHANNELS = 28

CLASSES_KEY, SHARE_KEY, ZOOM_KEY = "dense_classes", "dense_share", "dense_zoom"
"""Metadata of the weights file: classes, share and zoom of the head."""


class HeadSettings(NamedTuple):
    """Settings of a head that its weights file holds.

    Attributes
    ----------
    class_ids : tuple of int
        The K classes of the head, ascending.
    share : float
        Largest share of the head's logits in the result, 0..1; the rest is from the model.
    expected_iou : float, optional
        IoU on the frames held out during training.
    zoom : int
        Factor by which frames are enlarged for a head that was trained on thin objects.
    """

    class_ids: tuple[int, ...]
    share: float = 0.5
    expected_iou: float | None = None
    zoom: int = 1


class DenseHead(nn.Module):
    """Network that segments a fixed set of classes; subclasses have a backbone.

    Parameters
    ----------
    channels : sequence of int
        Channels of the maps of the backbone, finest first.
    settings : HeadSettings
    """

    def __init__(self, channels: Sequence[int], settings: HeadSettings) -> None:
        super().__init__()
        self.class_ids, self.share, self.expected_iou, self.zoom = settings
        self.lateral = nn.ModuleList(nn.Conv2d(c, DIM, kernel_size=1) for c in channels)
        self.smooth = nn.ModuleList(_separable_convolution() for _ in channels[:-1])
        self.classical = nn.Conv2d(CLASSICAL_CHANNELS, DIM, kernel_size=1)
        between = nn.Conv2d(DIM, DIM // 2, kernel_size=3, padding=1)
        last = nn.Conv2d(DIM // 2, len(self.class_ids), kernel_size=1)
        assert last.bias is not None
        nn.init.constant_(last.bias, -1.0)  # most of a frame is background
        self.output = nn.Sequential(nn.GroupNorm(8, DIM), between, nn.GELU(), last)

    def logits(self, maps: Sequence[Tensor], frames: Tensor) -> Tensor:
        """Return the logits of padded frames.

        Parameters
        ----------
        maps : sequence of Tensor, each of shape (B, C_i, h_i, w_i)
            Maps of the backbone, finest first.
        frames : Tensor, shape (B, 3, H, W)
            Frames in 0..1, H and W multiples of the padding.

        Returns
        -------
        Tensor, shape (B, K, H / 2, W / 2)
        """
        classical = torch.cat([intensities(frames), structures(frames)], dim=1)
        merged = self.lateral[-1](maps[-1])
        for level in reversed(range(len(maps) - 1)):
            merged = _resize(merged, maps[level]) + self.lateral[level](maps[level])
            merged = merged + self.smooth[level](merged)
        logits: Tensor = self.output(_resize(merged, classical) + self.classical(classical))
        return logits

    def segment(self, frames: Tensor) -> Tensor:
        """Return logits of frames (B, 3, H, W) that `resize_to_frame` resizes to their size."""
        logits: Tensor = self(frames)
        return logits

    def tensors(self) -> dict[str, Tensor]:
        """Return the weights in half precision, under their names in a weights file."""
        return {
            DENSE_HEAD_PREFIX + name: tensor.half() if tensor.is_floating_point() else tensor
            for name, tensor in self.state_dict().items()
        }

    def metadata(self) -> dict[str, str]:
        """Return the metadata that `read_settings` needs."""
        return {
            CLASSES_KEY: ",".join(map(str, self.class_ids)),
            SHARE_KEY: str(self.share),
            ZOOM_KEY: str(self.zoom),
        }


def read_settings(metadata: Mapping[str, str], *, source: str) -> HeadSettings:
    """Read the settings of a head; `source` names the file in the message.

    Raises
    ------
    InputError
        If the metadata are damaged.
    """
    try:
        class_ids = tuple(int(class_id) for class_id in metadata[CLASSES_KEY].split(","))
        expected_iou = json.loads(metadata.get("metrics", "{}")).get("held_out_iou_after")
        share, zoom = float(metadata[SHARE_KEY]), int(metadata.get(ZOOM_KEY, 1))
        return HeadSettings(class_ids, share, expected_iou, zoom)
    except (KeyError, ValueError) as error:
        raise InputError(f"{source} is damaged ({error}): replace it.") from error


def head_state(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors of the head in a weights file, in single precision."""
    return {
        name.removeprefix(DENSE_HEAD_PREFIX): t.float() if t.is_floating_point() else t
        for name, t in tensors.items()
        if name.startswith(DENSE_HEAD_PREFIX)
    }


def _resize(maps: Tensor, like: Tensor) -> Tensor:
    size = like.shape[-2:]
    if maps.shape[-2:] == size:
        return maps
    return F.interpolate(maps, size, mode="bilinear", align_corners=False)


def _separable_convolution() -> nn.Sequential:
    return nn.Sequential(
        nn.GroupNorm(8, DIM),
        nn.Conv2d(DIM, DIM, kernel_size=3, padding=1, groups=DIM),
        nn.Conv2d(DIM, DIM, kernel_size=1),
        nn.GELU(),
    )
