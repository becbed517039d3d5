"""Thin objects, such as vessels and cracks: frames are enlarged before `lite` sees them.

On the grids of `lite`, which have at most one cell for two pixels, objects of few pixels look like
their surroundings. See the table of `docs/accuracy.md`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from napari_vrp_sam.models.base import EncodedReference
from napari_vrp_sam.models.object_scale import median_width

ZOOM = 2
"""Factor by which frames with thin objects are enlarged."""

THIN = 4.5
"""Largest median width of thin objects, in pixels. All seven classes of training datasets up to
this width gained; wider ones gained or lost."""

THIN_ESTIMATED = 6.0
"""Largest median width of masks that are estimated from points and scribbles. They are wider than
the objects. Of 16 training datasets, most of which have thin classes, 13 gained (see the table)."""

MAX_SIDE = 640
"""Longest side of annotated frames that are enlarged, because a frame takes four times as long."""


def choose_zoom(
    masks: Sequence[NDArray[np.bool_]], estimated: Sequence[NDArray[np.bool_]] = ()
) -> int:
    """Return the factor by which to enlarge frames with objects like those of masks (Y, X).

    It is above 1 if the objects of at least half of all masks are thin. Other classes beside them
    gain, too, on most datasets. `estimated` contains masks estimated from points or scribbles.
    """
    if any(max(mask.shape) > MAX_SIDE for mask in (*masks, *estimated)):
        return 1
    widths = sorted(
        width / limit
        for of_kind, limit in ((masks, THIN), (estimated, THIN_ESTIMATED))
        for width in map(median_width, of_kind)
        if width is not None
    )
    return ZOOM if widths and widths[(len(widths) - 1) // 2] <= 1 else 1


def enlarge(pixels: Tensor, zoom: int) -> Tensor:
    """Enlarge frames or soft masks in 0..1, shape (B, C, H, W)."""
    if zoom == 1:
        return pixels
    large = F.interpolate(pixels, scale_factor=zoom, mode="bicubic", align_corners=False)
    return large.clamp(0, 1)


def enlarge_reference(reference: EncodedReference, zoom: int) -> EncodedReference:
    """Return a reference whose masks and image have the size of its encoded, enlarged frame."""
    if zoom == 1:
        return reference
    image = reference.image
    return replace(
        reference,
        mask=enlarge(reference.mask[None, None], zoom)[0, 0],
        image=None if image is None else enlarge(image[None], zoom)[0],
        ignored=_repeat(reference.ignored, zoom),
        negative=_repeat(reference.negative, zoom),
    )


def reduce_logits(logits: Tensor, zoom: int) -> Tensor:
    """Average logits (K, H, W) of enlarged frames to the size of the frames."""
    return logits if zoom == 1 else F.avg_pool2d(logits[None], zoom)[0]


def _repeat(mask: Tensor | None, zoom: int) -> Tensor | None:
    if mask is None:
        return None
    return mask.repeat_interleave(zoom, -2).repeat_interleave(zoom, -1)
