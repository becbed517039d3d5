"""`lite` as a torch module that maps images and a mask to probabilities."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from napari_vrp_sam.models.base import EncodedReference
from napari_vrp_sam.models.lite.model import LiteModel
from napari_vrp_sam.models.lite.network import LiteNetwork
from napari_vrp_sam.models.lite.parts import LiteConfig


class ReferencePrompted(nn.Module):
    """Architecture of packages for the BioImage Model Zoo: `lite` with a reference as input.

    Parameters
    ----------
    **sizes : int
        Fields of `LiteConfig`.
    """

    def __init__(self, **sizes: int) -> None:
        super().__init__()
        self.network = LiteNetwork(LiteConfig(**sizes))

    @torch.no_grad()
    def forward(self, target: Tensor, reference: Tensor, mask: Tensor) -> Tensor:
        """Segment each target of a batch, given its reference.

        Parameters
        ----------
        target : Tensor, shape (B, 3, H, W), float32
            Intensities in 0..1; gray images are repeated to three channels.
        reference : Tensor, shape (B, 3, h, w), float32
            Images with the same scaling.
        mask : Tensor, shape (B, 1, h, w)
            Above 0.5 on the class in the reference.

        Returns
        -------
        Tensor, shape (B, 1, H, W), float32
            Probability of the class; 0 if the mask is empty.
        """
        model = LiteModel(self.network)
        return torch.stack(
            [self._one(model, *items) for items in zip(target, reference, mask, strict=True)]
        )

    @staticmethod
    def _one(model: LiteModel, target: Tensor, reference: Tensor, mask: Tensor) -> Tensor:
        marked = (mask[0] > 0.5).to(target)
        if not marked.any():
            return torch.zeros_like(target[:1])
        prepared = model.prepare(
            [EncodedReference(model.encode(reference[None]), marked, 1, image=reference)]
        )
        features = model.encode(target[None])
        return model.decode(features, model.prompt(features, prepared)).sigmoid()
