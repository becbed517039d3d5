"""References as the network sees them: features, annotation, and what each pixel says."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from napari_vrp_sam.models.probe import Probe, fit_linear, fit_perceptron, gather, stratify
from napari_vrp_sam.models.types import EncodedReference, FrameFeatures

PROBE_STRIDE = 2
"""Pixels of the masks per cell of the probe's grid."""

PROBE_CELLS = 16_384
"""Cells the probe is fitted on, at most; a 256 px frame has as many."""

TRAINING_CELLS = 2048
"""The same inside a training episode, where the probe is linear: it is fitted at every step."""

PROBE_STRENGTH = 0.01
"""Ridge penalty of the linear probe; see `fit_linear`."""

COMPLETION_STRENGTHS = (100.0, 10.0, 1.0)
"""Ridge penalties of the rounds that complete an annotation. Strong ones, since a probe free to
learn the marked pixels by heart tells them from unmarked pixels of the same object."""

MARKED_QUANTILE = 0.2
"""Unmarked pixels less like the class than this share of the marked ones are background."""

OUTSIDE_QUANTILE = 0.9
"""Pixels in a box no more like the class than this share of those around it are background."""

QUANTILE_VALUES = 16_000_000
"""Values that `torch.quantile` takes on every release and device."""

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


def fit_shots(shots: Sequence[Shot], *, linear: bool = False) -> tuple[Probe, list[Shot]]:
    """Fit the probe on all references, completing incomplete annotations on the way.

    Parameters
    ----------
    shots : sequence of Shot
    linear : bool, default False
        Fit the closed-form probe of the training episodes instead of the perceptron.

    Returns
    -------
    probe : Probe
    shots : list of Shot
        With foreground and background as the last round saw them.
    """
    shots = list(shots)
    if any(bool((shot.sparse | shot.loose).any()) for shot in shots):
        for strength in COMPLETION_STRENGTHS:
            rough = _fit(shots, strength)
            shots = [_complete(shot, rough) for shot in shots]
    return _fit(shots, PROBE_STRENGTH if linear else None), shots


def _fit(shots: Sequence[Shot], strength: float | None) -> Probe:
    """The linear probe of a ridge penalty; without one the perceptron."""
    pixels, targets, weights = [], [], []
    for shot in shots:
        grid = (shot.mask.shape[-2] // PROBE_STRIDE, shot.mask.shape[-1] // PROBE_STRIDE)
        pixels.append(gather(shot.maps, grid))
        foreground = F.avg_pool2d(shot.foreground, PROBE_STRIDE).flatten(1)
        background = F.avg_pool2d(shot.background, PROBE_STRIDE).flatten(1)
        total = foreground + background
        targets.append(foreground / total.clamp_min(1e-6))
        # Few marks stand for the whole object: both sides weigh alike until it is completed.
        lift = background.sum(1, keepdim=True) / foreground.sum(1, keepdim=True).clamp_min(1e-6)
        lift = torch.where(shot.sparse[:, None] & (not shot.completed), lift, torch.ones_like(lift))
        weights.append(foreground * lift + background)
    x, y, w = torch.cat(pixels, 1), torch.cat(targets, 1), torch.cat(weights, 1)
    cells = PROBE_CELLS if strength is None else TRAINING_CELLS
    if x.shape[1] > cells:
        x, y, w = _thin(x, y, w, cells)
    if strength is not None:
        return fit_linear(x, y, w, strength=strength, iterations=5)
    return fit_perceptron(x, y, w)


def _thin(x: Tensor, y: Tensor, w: Tensor, cells: int) -> tuple[Tensor, Tensor, Tensor]:
    """A sample of the cells with the weights that make it stand for all of them."""
    chance, importance = stratify(y, w)
    generator = torch.Generator().manual_seed(0)
    picks = torch.multinomial(chance, cells, replacement=True, generator=generator)
    kept = importance.gather(1, picks).to(x.device)
    picks = picks.to(x.device)
    return x.gather(1, picks[..., None].expand(-1, -1, x.shape[-1])), y.gather(1, picks), kept


def _complete(shot: Shot, probe: Probe) -> Shot:
    """What a rough probe makes of the pixels that the annotation leaves open.

    Learning from positive and unlabelled pixels: the reliable ones are kept on either side, and
    those between count for neither.
    """
    size = (shot.mask.shape[-2], shot.mask.shape[-1])
    belief = probe.logits(shot.maps, size)[:, 0]
    unmarked = shot.known * (1 - shot.mask) * (1 - shot.excluded)
    foreground, background = [], []
    for b, mask, free, excluded, sparse in zip(
        belief, shot.mask, unmarked, shot.excluded, shot.sparse, strict=True
    ):
        # Half of the strongest mark: brushes may be soft, or faint all over.
        marked = b[mask > 0.5 * mask.max()]
        if sparse:
            low, high = quantile(marked, MARKED_QUANTILE), quantile(marked, 0.5)
            foreground.append(torch.maximum(mask, free * (b >= high)))
            background.append(torch.maximum(excluded, free * (b < low)))
        else:
            around = b[free > 0]
            bound = quantile(around, OUTSIDE_QUANTILE) if len(around) else b.min()
            # Half of the box is kept whatever comes.
            bound = torch.minimum(bound, marked.median())
            foreground.append(mask * (b >= bound))
            background.append(torch.maximum(1 - mask, mask * (b < bound)))
    incomplete = (shot.sparse | shot.loose)[:, None, None]
    return replace(
        shot,
        foreground=torch.where(incomplete, torch.stack(foreground) * shot.known, shot.foreground),
        background=torch.where(incomplete, torch.stack(background) * shot.known, shot.background),
        completed=True,
    )


def quantile(values: Tensor, share: float) -> Tensor:
    """`torch.quantile` of any number of values, shape (N,): of very many, evenly spaced ones."""
    # Older releases, and Metal still, refuse more than 2^24 values.
    return values[:: -(-len(values) // QUANTILE_VALUES)].quantile(share)
