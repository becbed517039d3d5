"""PerSAM without training: SAM prompted by similarity to the reference in its own features.

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
    """Prompts of K classes, and guidance of the mask decoder.

    Attributes
    ----------
    points : Tensor, shape (K, 2, 2)
        Points (x, y) in pixels of SAM's input with the highest and lowest similarity to the class.
    guidance : Guidance
        Guidance for the first of the three passes through the decoder.
    """

    _: KW_ONLY
    points: Tensor
    guidance: Guidance


def class_embedding(references: Sequence[EncodedReference]) -> Tensor:
    """Return the mean of SAM's image embedding over a class, shape (D,), averaged over references.

    All references must show the class.
    """
    means = []
    for reference in references:
        embedding = reference.features.embedding[0]
        grid = (embedding.shape[-2], embedding.shape[-1])
        # On the CPU, because Metal (MPS) pools only by integer factors.
        padded = pad_to_square(reference.mask[None, None].cpu())
        share = F.adaptive_avg_pool2d(padded, grid)[0, 0].to(embedding)
        # Cells that the class mostly covers, or for a thin object those that it covers most.
        inside = share >= share.max().clamp(max=0.5)
        means.append(embedding[:, inside].mean(dim=1))
    return torch.stack(means).mean(dim=0)


def persam_prompts(
    sam: Sam, features: FrameFeatures, class_ids: tuple[int, ...], classes: Tensor
) -> PerSAMPrompts:
    """Return a foreground and a background point in one frame for each of K classes.

    `classes` are embeddings of shape (K, D), see `class_embedding`.
    """
    embedding = F.normalize(features.embedding[0], dim=0)
    similarity = torch.einsum("kd,dhw->khw", F.normalize(classes, dim=1), embedding)

    # Extremes are searched at the size of the frame, which has no padding.
    resized = ResizeLongestSide.get_preprocess_shape(*features.size, sam.image_encoder.img_size)
    fine = F.interpolate(similarity[:, None], scale_factor=4, mode="bilinear")
    full = sam.postprocess_masks(fine, resized, features.size).flatten(1)
    width = features.size[1]
    extremes = torch.stack([full.argmax(dim=1), full.argmin(dim=1)], dim=1)
    pixels = torch.stack([extremes % width, extremes // width], dim=-1)
    points = pixels * _scale(features.size, resized, pixels)
    sparse, dense = sam.prompt_encoder((points, _labels(points)), None, None)

    guidance = Guidance(_attention(similarity, features.size), classes)
    return PerSAMPrompts(class_ids, sparse, dense, points=points, guidance=guidance)


def decode_persam(sam: Sam, features: FrameFeatures, prompts: PerSAMPrompts) -> Tensor:
    """Return mask logits (K, 1, 4 h, 4 w) for one frame: a guided pass, then two refinements."""
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
    mask = sam.postprocess_masks(first, resized, features.size)[:, 0] > sam.mask_threshold
    corners = batched_mask_to_box(mask).reshape(-1, 2, 2)
    boxes = (corners * _scale(features.size, resized, corners)).flatten(1)
    # An empty mask has no box and is final.
    return torch.where(mask.any(dim=(1, 2))[:, None, None, None], refined(first, boxes), first)


def _attention(similarity: Tensor, size: tuple[int, int]) -> Tensor:
    """Return the similarity to each class in 0..1, standardised over the frame; 0 on the padding.

    The original code stretches the frame over the whole grid; here cells stay aligned.
    """
    rows, columns = frame_cells(size, similarity)
    visible = similarity[:, :rows, :columns]
    deviation, mean = torch.std_mean(visible, dim=(1, 2), keepdim=True, correction=0)
    attention = torch.zeros_like(similarity)
    attention[:, :rows, :columns] = ((visible - mean) / deviation.clamp_min(1e-6)).sigmoid()
    return attention.flatten(1)


def _scale(size: tuple[int, int], resized: tuple[int, int], like: Tensor) -> Tensor:
    """Return factors from (x, y) in the frame to (x, y) in SAM's input."""
    scale = (resized[1] / size[1], resized[0] / size[0])
    return torch.tensor(scale, device=like.device)


def _labels(points: Tensor) -> Tensor:
    """Return labels for pairs of a foreground and a background point."""
    return torch.tensor([1, 0], dtype=torch.int32, device=points.device).expand(len(points), 2)
