"""Dense head of a fine-tuned probe model, on the frozen maps of its backbone."""

from __future__ import annotations

from torch import Tensor

from napari_vrp_sam.models.backbones.dense_features import DenseBackbone
from napari_vrp_sam.models.heads.dense_head import DenseHead, HeadSettings
from napari_vrp_sam.models.padding import pad_frames


class FrozenHead(DenseHead):
    """Dense head that shares the backbone of its model.

    Parameters
    ----------
    backbone : DenseBackbone
        Not part of the state of the head: it is not trained.
    settings : HeadSettings

    Attributes
    ----------
    scale : float
        Factor by which the backbone enlarges frames; that of the model.
    """

    def __init__(self, backbone: DenseBackbone, settings: HeadSettings) -> None:
        super().__init__(backbone.channels, settings)
        self._backbone = (backbone,)  # in a tuple, so that torch does not register it
        self.scale = 1.0
        self.eval()

    def forward(self, frames: Tensor) -> Tensor:
        """Return logits (B, K, h, w), at half the padded size, of frames (B, 3, H, W) in 0..1."""
        frames = pad_frames(frames)
        return self.logits(self._backbone[0](frames, self.scale), frames)
