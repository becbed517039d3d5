"""PerSAM without training: SAM prompted by what resembles the reference in its own features.

Zhang et al., "Personalize Segment Anything Model with One Shot", ICLR 2024, section 2.2.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass

import torch
import torch.nn.functional as F
from segment_anything.modeling import Sam
from segment_anything.utils.amg import batched_mask_to_box
from segment_anything.utils.transforms import ResizeLongestSide
from torch import Tensor

from napari_vrp_sam.models.base import EncodedReference, FrameFeatures, Prompts
from napari_vrp_sam.models.sam.mask_decoder import Guidance, decode_masks
from napari_vrp_sam.models.sam.square_canvas import frame_cells, pad_to_square


@dataclass(frozen=True, eq=False)
class PerSAMPrompts(Prompts):
    """Prompts of K classes, and what guides the mask decoder beside them.

    Attributes
    ----------
    points : Tensor, shape (K, 2, 2)
        (x, y) in pixels of SAM's input: where the frame is most and least like the class.
    guidance : Guidance
        For the first of the three passes through the decoder.
    """

    _: KW_ONLY
    points: Tensor
    guidance: Guidance


def class_embedding(references: Sequence[EncodedReference]) -> Tensor:
    """Mean of SAM's image embedding over the class, shape (D,); over several references, of means.

    Parameters
    ----------
    references : sequence of EncodedReference
        Of one class, each with some of it.
    """
    means = []
    for reference in references:
        embedding = reference.features.embedding[0]
        grid = (embedding.shape[-2], embedding.shape[-1])
        # On the CPU, because Metal pools only where sizes divide.
        padded = pad_to_square(reference.mask[None, None].cpu())
        share = F.adaptive_avg_pool2d(padded, grid)[0, 0].to(embedding)
        # Cells that are mostly the class; of a thin one those that have most of it.
        inside = share >= share.max().clamp(max=0.5)
        means.append(embedding[:, inside].mean(dim=1))
    return torch.stack(means).mean(dim=0)


def persam_prompts(
    sam: Sam, features: FrameFeatures, class_ids: tuple[int, ...], classes: Tensor
) -> PerSAMPrompts:
    """Prompts for one frame, a point in the class and one outside for each of K classes.

    Parameters
    ----------
    sam : Sam
    features : FrameFeatures
        Of one frame.
    class_ids : tuple of int
    classes : Tensor, shape (K, D)
        Of `class_embedding`.
    """
    embedding = F.normalize(features.embedding[0], dim=0)
    similarity = torch.einsum("kd,dhw->khw", F.normalize(classes, dim=1), embedding)

    # Looked for at the frame's own size, where no padding is.
    resized = ResizeLongestSide.get_preprocess_shape(*features.size, sam.image_encoder.img_size)
    fine = F.interpolate(similarity[:, None], scale_factor=4, mode="bilinear")
    whole = sam.postprocess_masks(fine, resized, features.size).flatten(1)
    width = features.size[1]
    extremes = torch.stack([whole.argmax(dim=1), whole.argmin(dim=1)], dim=1)
    pixels = torch.stack([extremes % width, extremes // width], dim=-1)
    points = pixels * _scale(features.size, resized, pixels)
    sparse, dense = sam.prompt_encoder((points, _labels(points)), None, None)

    guidance = Guidance(_attention(similarity, features.size), classes)
    return PerSAMPrompts(class_ids, sparse, dense, points=points, guidance=guidance)


def decode_persam(sam: Sam, features: FrameFeatures, prompts: PerSAMPrompts) -> Tensor:
    """Mask logits (K, 1, 4 h, 4 w) of SAM's canvas: a guided pass, then two that refine.

    Parameters
    ----------
    sam : Sam
    features : FrameFeatures
        Of one frame.
    prompts : PerSAMPrompts
    """
    position = sam.prompt_encoder.get_dense_pe()
    logits = decode_masks(
        sam.mask_decoder,
        features.embedding,
        position,
        prompts.sparse,
        prompts.dense,
        guidance=prompts.guidance,
    )

    def refined(logits: Tensor, boxes: Tensor | None) -> Tensor:
        sparse, dense = sam.prompt_encoder((prompts.points, _labels(prompts.points)), boxes, logits)
        masks, ious = sam.mask_decoder(
            features.embedding, position, sparse, dense, multimask_output=True
        )
        rows = torch.arange(len(masks), device=masks.device)
        best: Tensor = masks[rows, ious.argmax(dim=1)][:, None]
        return best

    first = refined(logits, None)
    resized = ResizeLongestSide.get_preprocess_shape(*features.size, sam.image_encoder.img_size)
    found = sam.postprocess_masks(first, resized, features.size)[:, 0] > sam.mask_threshold
    corners = batched_mask_to_box(found).reshape(-1, 2, 2)
    boxes = (corners * _scale(features.size, resized, corners)).flatten(1)
    # There is no box around nothing: that is the answer then.
    return torch.where(found.any(dim=(1, 2))[:, None, None, None], refined(first, boxes), first)


def _attention(similarity: Tensor, size: tuple[int, int]) -> Tensor:
    """Likeness to each class in 0..1, standardised over the frame; 0 on the padding.

    The authors stretch the frame over the whole grid; here each cell keeps its place.
    """
    rows, columns = frame_cells(size, similarity)
    visible = similarity[:, :rows, :columns]
    deviation, mean = torch.std_mean(visible, dim=(1, 2), keepdim=True, correction=0)
    attention = torch.zeros_like(similarity)
    attention[:, :rows, :columns] = ((visible - mean) / deviation.clamp_min(1e-6)).sigmoid()
    return attention.flatten(1)


def _scale(size: tuple[int, int], resized: tuple[int, int], like: Tensor) -> Tensor:
    """From (x, y) in the frame to (x, y) in SAM's input."""
    scale = (resized[1] / size[1], resized[0] / size[0])
    return torch.tensor(scale, device=like.device)


def _labels(points: Tensor) -> Tensor:
    """The first of two points is foreground, the other background."""
    return torch.tensor([1, 0], dtype=torch.int32, device=points.device).expand(len(points), 2)
