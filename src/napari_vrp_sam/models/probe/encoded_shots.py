"""References as the network sees them: features, annotation, and what each pixel says."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from napari_vrp_sam.models.base import EncodedReference, FrameFeatures

PROBE_STRIDE = 2
"""Pixels of the masks per cell of the probe's grid."""

SPARSE_KINDS = frozenset({"point", "scribble"})
"""Annotations around which all is unknown."""


@dataclass(frozen=True, eq=False)
class Shot:
    """One reference of each of B classes.

    Attributes
    ----------
    features : FrameFeatures
        Of B frames; the tensors below cover the padded frames.
    maps : tuple of Tensor, each of shape (B, C_i, h_i, w_i)
        What the probe reads: finest first; the finest has 1 / PROBE_STRIDE of the masks'
        resolution.
    mask : Tensor, shape (B, H, W)
        The annotation, 0..1.
    foreground, background : Tensor, shape (B, H, W)
        How surely a pixel belongs to the class, and to the background, 0..1; a pixel of an
        incomplete annotation can be neither.
    excluded : Tensor, shape (B, H, W)
        Pixels marked as another class: background for certain.
    known : Tensor, shape (B, H, W)
        How much a pixel counts, 0..1: 1 on the frame, 0 on padding and where pixels are ignored.
    sparse, loose : Tensor, shape (B,), bool
        Whether unmarked pixels are unknown (points, scribbles), and whether marked ones are
        (boxes).
    completed : bool
        Whether a probe has told what the annotations leave open.
    image : Tensor, shape (3, h, w), optional
        The frame without padding, where B is 1: to look at it in other ways.
    half : Tensor, shape (B, H, W), optional
        1 in one half of what is annotated, 0 in the other; see `halves`.
    """

    features: FrameFeatures
    maps: tuple[Tensor, ...]
    mask: Tensor
    foreground: Tensor
    background: Tensor
    excluded: Tensor
    known: Tensor
    sparse: Tensor
    loose: Tensor
    completed: bool = False
    image: Tensor | None = None
    half: Tensor | None = None


def make_shot(
    features: FrameFeatures,
    maps: tuple[Tensor, ...],
    masks: Tensor,
    kinds: Sequence[str],
    excluded: Tensor | None = None,
    ignored: Tensor | None = None,
) -> Shot:
    """Take annotations at their word: what is not marked is background.

    Parameters
    ----------
    features : FrameFeatures
        Of B frames.
    maps : tuple of Tensor, each of shape (B, C_i, h_i, w_i)
        What the probe reads, finest first. They may reach beyond the masks, below and to the
        right: there is padding.
    masks : Tensor, shape (B, H, W)
        Annotations in 0..1, with PROBE_STRIDE pixels per cell of the finest map.
    kinds : sequence of str
        How each was drawn: "point", "scribble", "box" or "mask".
    excluded : Tensor, shape (B, H, W), optional
        Pixels marked as another class.
    ignored : Tensor, shape (B, H, W), optional
        Pixels that say nothing about the class: bool, or the share that says nothing in 0..1.
    """
    height, width = masks.shape[-2:]
    rows, columns = (PROBE_STRIDE * cells for cells in maps[0].shape[-2:])

    def padded(values: Tensor) -> Tensor:
        return F.pad(values, (0, columns - width, 0, rows - height))

    def flags(values: Iterable[bool]) -> Tensor:
        return torch.tensor(list(values), device=masks.device)

    mask = padded(masks)
    # Padding is neither class nor background: it is no part of the frame.
    known = padded(torch.ones_like(masks) if ignored is None else 1 - ignored.to(masks))
    return Shot(
        features,
        maps,
        mask=mask,
        foreground=mask * known,
        background=(1 - mask) * known,
        excluded=torch.zeros_like(mask) if excluded is None else padded(excluded),
        known=known,
        sparse=flags(kind in SPARSE_KINDS for kind in kinds),
        loose=flags(kind == "box" for kind in kinds),
    )


def showing(shots: Sequence[Shot]) -> list[Shot]:
    """The shots that show the class; others only say what is background."""
    return [shot for shot in shots if bool(shot.mask.any())]


def on_probe_grid(shot: Shot) -> tuple[Tensor, Tensor]:
    """Foreground and background of every cell of the probe's grid, shape (B, h, w) each."""
    return F.avg_pool2d(shot.foreground, PROBE_STRIDE), F.avg_pool2d(shot.background, PROBE_STRIDE)


def marks_of_other_classes(
    reference: EncodedReference, references: Sequence[EncodedReference]
) -> Tensor | None:
    """Pixels that are background to a reference because another class is marked there.

    Parameters
    ----------
    reference : EncodedReference
    references : sequence of EncodedReference
        Of all classes.

    Returns
    -------
    Tensor, shape (H, W), optional
        In 0..1; none where no other class is marked on the same frame. Boxes do not count: their
        corners show other things.
    """
    others = [
        r.mask
        for r in references
        if r.frame is not None
        and r.frame == reference.frame
        and r.class_id != reference.class_id
        and r.kind != "box"
    ]
    return torch.stack(others).amax(0) * (1 - reference.mask) if others else None


def shot_of(reference: EncodedReference, all_references: Sequence[EncodedReference]) -> Shot:
    """One reference, and what the other classes on its frame say about it."""
    excluded = marks_of_other_classes(reference, all_references)
    shot = make_shot(
        reference.features,
        reference.features.semantic,
        reference.mask[None],
        [reference.kind],
        None if excluded is None else excluded[None],
        None if reference.ignored is None else reference.ignored[None],
    )
    return replace(shot, image=reference.image)
