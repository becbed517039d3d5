"""Model that learns and segments in milliseconds, for tests of everything around a model."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from napari_vrp_sam.models.base import EncodedReference, FrameFeatures, Model, Prompts


class PixelModel(nn.Module, Model):
    """Nearest-mean classifier of pixels: a class against everything that is not annotated.

    A pixel belongs to the class if its colour, averaged over a small neighbourhood, is nearer to
    the mean colour of the annotated pixels than to that of the others. It finds objects that are
    brighter or darker than their surroundings and nothing else, but does so exactly
    reproducibly, on any device, and in any process.

    Parameters
    ----------
    reach : int, default: 1
        Number of pixels on each side that are averaged.

    Examples
    --------
    >>> from napari_vrp_sam import segment_stack
    >>> import numpy as np
    >>> stack = np.zeros((3, 32, 32), np.uint8)
    >>> stack[:, 8:20, 8:20] = 200
    >>> labels = segment_stack(
    ...     stack, stack[1] // 200, axes="ZYX", reference_frame=1, model=PixelModel(0), device="cpu"
    ... )
    >>> bool((labels == stack // 200).all())
    True
    """

    name = "pixels"

    def __init__(self, reach: int = 1) -> None:
        super().__init__()
        self.reach = reach
        self.eval()

    def encode(self, frames: Tensor) -> FrameFeatures:
        """See `Model.encode`."""
        side = 2 * self.reach + 1
        padded = nn.functional.pad(frames, [self.reach] * 4, mode="replicate")
        features = nn.functional.avg_pool2d(padded, side, stride=1)
        return FrameFeatures((int(frames.shape[-2]), int(frames.shape[-1])), features, ())

    def prepare(self, references: Sequence[EncodedReference]) -> dict[int, Tensor]:
        """Return the mean colours inside and outside of each class, shape (2, 3), by class."""
        sums: dict[int, list[Tensor]] = {}
        # In an order of their own, so that sums do not depend on the order of the references.
        for reference in sorted(references, key=lambda one: (one.class_id, one.frame or 0)):
            features = reference.features.embedding[0].double()
            inside = reference.mask.double()
            known = torch.ones_like(inside)
            if reference.ignored is not None:
                known = known * ~reference.ignored
            outside = (1 - inside) * known
            parts = [
                torch.cat([(features * w).sum((1, 2)), w.sum()[None]]) for w in (inside, outside)
            ]
            sums.setdefault(reference.class_id, []).append(torch.stack(parts))
        totals = {key: torch.stack(sums[key]).sum(0) for key in sorted(sums)}
        return {key: (t[:, :-1] / t[:, -1:].clamp(min=1)).float() for key, t in totals.items()}

    def prompt(self, features: FrameFeatures, prepared: dict[int, Tensor]) -> Prompts:
        """See `Model.prompt`."""
        means = torch.stack(list(prepared.values()))
        return Prompts(tuple(prepared), means, features.embedding.new_zeros(0))

    def decode(self, features: FrameFeatures, prompts: Prompts) -> Tensor:
        """See `Model.decode`."""
        colours = features.embedding[0][None, None]
        near, far = ((colours - prompts.sparse[..., None, None]) ** 2).sum(2).unbind(1)
        logits: Tensor = 30 * (far - near)
        return logits
