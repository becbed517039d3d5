"""Prompts per object for SAM, and the merged answer of its mask decoder."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import KW_ONLY, dataclass

import numpy as np
import torch
from segment_anything.modeling import MaskDecoder, Sam
from torch import Tensor

from napari_vrp_sam.models.base import FrameFeatures, Prompts
from napari_vrp_sam.models.sam.mask_decoder import attend
from napari_vrp_sam.models.sam.objects.candidates import Candidates, find_candidates

LOGIT_LIMIT = 8.0
"""Bound of the logits of pseudo-masks and objects."""

DECODED_AT_ONCE = 16
"""Number of objects in a batch of the mask decoder."""

MARGIN = 0.1
"""Margin around a candidate's box where SAM's mask counts, relative to the size of the box."""

Decode = Callable[[Tensor, Tensor, Tensor], tuple[Tensor, Tensor]]
"""Mask decoder: from points (N, 2) and boxes (N, 4) in cells of the pseudo-mask and mask prompts
(N, 1, h, w), to mask logits (N, M, h, w) and their predicted IoUs (N, M)."""


@dataclass(frozen=True, eq=False)
class ObjectPrompts(Prompts):
    """Prompts of K classes, with the object candidates of each.

    Attributes
    ----------
    candidates : tuple of Candidates
        Empty for classes of which the mask decoder has no share.
    """

    _: KW_ONLY
    candidates: tuple[Candidates, ...]


def class_candidates(logits: Tensor, shares: Sequence[float]) -> tuple[Candidates, ...]:
    """Find the object candidates of K classes in pseudo-mask logits (K, 1, h, w)."""
    probability = logits[:, 0].sigmoid().cpu().numpy()
    empty = np.zeros(probability.shape[1:], np.float32)
    return tuple(
        find_candidates(one if share else empty)
        for one, share in zip(probability, shares, strict=True)
    )


def merge_objects(logits: Tensor, candidates: Sequence[Candidates], decode: Decode) -> Tensor:
    """Segment all candidates with a mask decoder, and merge their masks.

    Of the masks of a candidate, the one with the highest predicted IoU counts, and its logits are
    multiplied by it. Where several candidates overlap, the highest logit counts; outside of their
    boxes, the pseudo-mask remains.

    Parameters
    ----------
    logits : Tensor, shape (K, 1, h, w)
        Logits of the pseudo-masks.
    candidates : sequence of Candidates
        Candidates of each class.
    decode : Decode

    Returns
    -------
    Tensor, shape (K, 1, h, w)
    """
    logits = logits.clamp(-LOGIT_LIMIT, LOGIT_LIMIT)
    classes = np.repeat(np.arange(len(candidates)), [len(c) for c in candidates])
    if not len(classes):
        return logits
    rows, columns = logits.shape[-2:]
    points, boxes, masks = (
        torch.from_numpy(np.concatenate([getattr(c, name) for c in candidates])).to(logits.device)
        for name in ("points", "boxes", "masks")
    )
    lowest = torch.finfo(logits.dtype).min
    merged = torch.full_like(logits[:, 0], lowest)
    for start in range(0, len(classes), DECODED_AT_ONCE):
        part = slice(start, start + DECODED_AT_ONCE)
        prompts = logits[torch.from_numpy(classes[part]).to(logits.device)]
        prompts = prompts.masked_fill(~masks[part, None], -LOGIT_LIMIT)
        found, quality = decode(points[part], boxes[part], prompts)
        quality, best = quality.float().max(dim=1)
        each = torch.arange(len(best), device=best.device)
        scaled = found[each, best].float() * quality.clamp(0, 1)[:, None, None]
        scaled = scaled.clamp(-LOGIT_LIMIT, LOGIT_LIMIT)
        scaled = scaled.masked_fill(~_around(boxes[part], rows, columns), lowest)
        for number, one in zip(classes[part], scaled.to(merged), strict=True):
            merged[number] = torch.maximum(merged[number], one)
    return torch.where(merged[:, None] == lowest, logits, merged[:, None])


def _around(boxes: Tensor, rows: int, columns: int) -> Tensor:
    """Return the cells (N, rows, columns) in boxes and their margins."""
    size = (boxes[:, 2:] - boxes[:, :2]).amax(dim=1, keepdim=True)
    low, high = boxes[:, :2] - MARGIN * size - 1, boxes[:, 2:] + MARGIN * size + 1
    x = torch.arange(columns, device=boxes.device) + 0.5
    y = torch.arange(rows, device=boxes.device) + 0.5
    across = (x >= low[:, :1]) & (x <= high[:, :1])
    down = (y >= low[:, 1:]) & (y <= high[:, 1:])
    return down[:, :, None] & across[:, None, :]


def sam_decoder(sam: Sam, features: FrameFeatures, visible: tuple[int, int]) -> Decode:
    """Return the mask decoder of a SAM for objects on one frame.

    Parameters
    ----------
    sam : Sam
    features : FrameFeatures
        Features of one frame.
    visible : tuple of int
        Rows and columns of the pseudo-mask, whose cells are those of SAM's masks.
    """
    rows, columns = visible
    encoder, decoder = sam.prompt_encoder, sam.mask_decoder
    cell = encoder.input_image_size[0] / encoder.mask_input_size[0]
    position = encoder.get_dense_pe()

    def decode(points: Tensor, boxes: Tensor, prompts: Tensor) -> tuple[Tensor, Tensor]:
        canvas = prompts.new_full((len(prompts), 1, *encoder.mask_input_size), -LOGIT_LIMIT)
        canvas[..., :rows, :columns] = prompts
        labels = torch.ones(len(points), 1, dtype=torch.int32, device=points.device)
        centres = (points[:, None] + 0.5) * cell
        sparse, dense = encoder((centres, labels), boxes * cell, canvas)
        masks, quality = decode_candidates(decoder, features.embedding, position, sparse, dense)
        return masks[..., :rows, :columns], quality

    return decode


def decode_candidates(
    decoder: MaskDecoder, embedding: Tensor, position: Tensor, sparse: Tensor, dense: Tensor
) -> tuple[Tensor, Tensor]:
    """Decode all masks of N prompts on one image.

    Returns
    -------
    masks : Tensor, shape (N, M, 4 h, 4 w)
        SAM's single mask, then those for ambiguous prompts.
    predicted_iou : Tensor, shape (N, M)
    """
    tokens, pixels = attend(decoder, embedding, position, sparse, dense)
    upscaled = decoder.output_upscaling(pixels)
    kernels = torch.stack(
        [mlp(tokens[:, 1 + i]) for i, mlp in enumerate(decoder.output_hypernetworks_mlps)], dim=1
    )
    masks = torch.einsum("nmc,nchw->nmhw", kernels, upscaled)
    return masks, decoder.iou_prediction_head(tokens[:, 0])
