"""Encoded references in batches of classes, with the label of each pixel as far as it is known."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from napari_vrp_sam.models.base import SPARSE_KINDS, EncodedReference, FrameFeatures

PROBE_STRIDE = 2
"""Pixels of the masks per cell of the probe's grid."""


@dataclass(frozen=True, eq=False)
class Shot:
    """One reference for each of B classes, as counted in "5-shot".

    Attributes
    ----------
    features : FrameFeatures
        Features of B frames. All tensors below cover the padded frames.
    maps : tuple of Tensor, each of shape (B, C_i, h_i, w_i)
        Feature maps for the probe, finest first. A cell of the finest map covers `PROBE_STRIDE`
        pixels of the masks along each axis.
    mask : Tensor, shape (B, H, W)
        Annotation in 0..1.
    foreground, background : Tensor, shape (B, H, W)
        Probabilities in 0..1 that a pixel belongs to the class and to the background. Both are 0
        where the label is unknown.
    excluded : Tensor, shape (B, H, W)
        Pixels annotated as another class or as not the class, which are background.
    known : Tensor, shape (B, H, W)
        Weight of each pixel in 0..1: 1 on the frame, 0 on padding and on ignored pixels.
    sparse : Tensor, shape (B,), bool
        Classes annotated by points, scribbles or partial masks: unmarked pixels are unknown.
    box : Tensor, shape (B,), bool
        Classes annotated by boxes: marked pixels are unknown.
    completed : bool
        Whether `complete_shots` has labelled the unknown pixels.
    image : Tensor, shape (3, h, w), optional
        Pixels of the frame without padding, for augmented views; only if B is 1.
    fold : Tensor, shape (B, H, W), optional
        Hold-out fold of each pixel, 0 or 1; see `assign_folds`.
    """

    features: FrameFeatures
    maps: tuple[Tensor, ...]
    mask: Tensor
    foreground: Tensor
    background: Tensor
    excluded: Tensor
    known: Tensor
    sparse: Tensor
    box: Tensor
    completed: bool = False
    image: Tensor | None = None
    fold: Tensor | None = None

    @property
    def incomplete(self) -> bool:
        """True if any annotation leaves pixels of the frame unknown."""
        return bool((self.sparse | self.box).any())


def make_shot(
    features: FrameFeatures,
    maps: tuple[Tensor, ...],
    masks: Tensor,
    kinds: Sequence[str],
    excluded: Tensor | None = None,
    ignored: Tensor | None = None,
) -> Shot:
    """Build a shot in which all unmarked pixels are background.

    Parameters
    ----------
    features : FrameFeatures
        Features of B frames.
    maps : tuple of Tensor, each of shape (B, C_i, h_i, w_i)
        Feature maps for the probe, finest first. They may extend beyond the masks at the bottom and
        right, where the frames are padded.
    masks : Tensor, shape (B, H, W)
        Annotations in 0..1, with `PROBE_STRIDE` pixels per cell of the finest map.
    kinds : sequence of str
        Kind of each annotation: "point", "scribble", "partial", "box" or "mask".
    excluded : Tensor, shape (B, H, W), optional
        Pixels annotated as another class or as not the class.
    ignored : Tensor, shape (B, H, W), optional
        Pixels that are neither class nor background: bool, or a fraction in 0..1.
    """
    height, width = masks.shape[-2:]
    rows, columns = (PROBE_STRIDE * cells for cells in maps[0].shape[-2:])

    def pad(values: Tensor) -> Tensor:
        return F.pad(values, (0, columns - width, 0, rows - height))

    mask = pad(masks)
    known = pad(torch.ones_like(masks) if ignored is None else 1 - ignored.to(masks))
    return Shot(
        features,
        maps,
        mask=mask,
        foreground=mask * known,
        background=(1 - mask) * known,
        excluded=torch.zeros_like(mask) if excluded is None else pad(excluded),
        known=known,
        sparse=torch.tensor([kind in SPARSE_KINDS for kind in kinds], device=mask.device),
        box=torch.tensor([kind == "box" for kind in kinds], device=mask.device),
    )


def shot_from_reference(
    reference: EncodedReference, references: Sequence[EncodedReference]
) -> Shot:
    """Build the shot of one reference, given the references of all classes."""
    excluded = excluded_pixels(reference, references)
    shot = make_shot(
        reference.features,
        reference.features.semantic,
        reference.mask[None],
        [reference.kind],
        None if excluded is None else excluded[None],
        None if reference.ignored is None else reference.ignored[None],
    )
    return replace(shot, image=reference.image)


def excluded_pixels(
    reference: EncodedReference, references: Sequence[EncodedReference]
) -> Tensor | None:
    """Return the mask (H, W) in 0..1 of the pixels that are known not to be the class, if any.

    These are its negative pixels, and the other classes on its frame. Boxes of other classes do not
    count, because their corners may show any class.
    """
    others = [
        r.mask
        for r in references
        if r.frame is not None
        and r.frame == reference.frame
        and r.class_id != reference.class_id
        and r.kind != "box"
    ]
    excluded = torch.stack(others).amax(0) * (1 - reference.mask) if others else None
    if reference.negative is None:
        return excluded
    negative = reference.negative.to(reference.mask)
    return negative if excluded is None else torch.maximum(excluded, negative)


def shots_with_class(shots: Sequence[Shot]) -> list[Shot]:
    """Return the shots whose annotation is not empty; the others show background only."""
    return [shot for shot in shots if bool(shot.mask.any())]


def pool_labels(shot: Shot) -> tuple[Tensor, Tensor]:
    """Return foreground and background on the probe's grid, shape (B, h, w) each."""
    return F.avg_pool2d(shot.foreground, PROBE_STRIDE), F.avg_pool2d(shot.background, PROBE_STRIDE)


def assign_folds(shots: Sequence[Shot]) -> list[Shot]:
    """Return the references of one class with a hold-out fold for every pixel.

    Several references alternate between the folds. A single one is cut at the median of the class,
    along the axis of its largest variance. References without the class are in the first fold.
    """
    if len(shots_with_class(shots)) > 1:
        folds = itertools.count()
        return [
            replace(s, fold=torch.full_like(s.mask, next(folds) % 2 if bool(s.mask.any()) else 0))
            for s in shots
        ]
    return [replace(shot, fold=_split_at_median(shot.foreground)) for shot in shots]


def restrict_to_fold(shot: Shot, fold: int) -> Shot:
    """Return a shot in which all pixels outside one fold, 0 or 1, are unknown."""
    assert shot.fold is not None
    inside = shot.fold if fold else 1 - shot.fold
    names = ("mask", "foreground", "background", "excluded", "known")
    return replace(shot, **{name: getattr(shot, name) * inside for name in names})


def _split_at_median(foreground: Tensor) -> Tensor:
    """Return 1 beyond the median of the class and 0 before it, shape (1, H, W)."""
    profiles = [foreground[0].sum(dim=1).cpu(), foreground[0].sum(dim=0).cpu()]
    variances = []
    for profile in profiles:
        position = torch.arange(len(profile), dtype=torch.float32)
        share = profile / profile.sum().clamp_min(1e-6)
        mean = (share * position).sum()
        variances.append(float((share * (position - mean).square()).sum()))
    axis = int(variances[1] > variances[0])
    cumulative = profiles[axis].cumsum(dim=0)
    beyond = (cumulative > cumulative[-1] / 2).to(foreground)
    return (beyond[None, None] if axis else beyond[None, :, None]).expand_as(foreground)
