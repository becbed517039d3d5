"""Computation of all frames of a batch at once, as if each were computed alone."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from napari_vrp_sam.models.base import FrameFeatures


def vectorised(function: Callable[[FrameFeatures], Tensor], features: FrameFeatures) -> Tensor:
    """Return the stacked results of a function of the features of one frame.

    Parameters
    ----------
    function : callable
        Called once, by `torch.vmap`, with features of shape (1, C, h, w).
    features : FrameFeatures
        Features of B frames.

    Returns
    -------
    Tensor, shape (B, ...)
    """

    def of_maps(*maps: Tensor) -> Tensor:
        embedding, *semantic = (m[None] for m in maps)
        return function(FrameFeatures(features.size, embedding, tuple(semantic)))

    # `torch.vmap` does not support PyTorch's other implementations of attention.
    fast_path = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with sdpa_kernel(SDPBackend.MATH):
            results: Tensor = torch.vmap(of_maps)(features.embedding, *features.semantic)
    finally:
        torch.backends.mha.set_fastpath_enabled(fast_path)
    return results
