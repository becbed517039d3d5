"""Episodes of few-shot training: annotated references, and targets with ground truth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from napari_vrp_sam.annotations.labels import IGNORED
from napari_vrp_sam.annotations.reference import AnnotationKind
from napari_vrp_sam.annotations.simulate import simulate_annotation
from napari_vrp_sam.training.synthetic.parts.draws import FloatArray

KIND_PROBABILITIES: dict[AnnotationKind, float] = {
    "mask": 0.5,
    "box": 0.17,
    "scribble": 0.17,
    "point": 0.16,
}
"""Probability of each kind of annotation in training."""


@dataclass(frozen=True, eq=False)
class Episode:
    """K annotated references and M targets of one class.

    Attributes
    ----------
    references : ndarray, shape (K, 3, H, W), float32
        Frames in 0..1.
    reference_masks : ndarray, shape (K, H, W), float32
        Annotations of the references in 0..1.
    kinds : tuple of str
        Annotation kind of each reference.
    targets : ndarray, shape (M, 3, H, W), float32
        Frames in 0..1.
    target_masks : ndarray, shape (M, H, W), uint8
        1 on the class, 0 elsewhere, 255 where the ground truth is unknown.
    source : str
        Name of the dataset or synthetic world.
    reference_ignored : ndarray, shape (K, H, W), bool, optional
        Pixels of the references that are excluded from training.
    """

    references: FloatArray
    reference_masks: FloatArray
    kinds: tuple[AnnotationKind, ...]
    targets: FloatArray
    target_masks: NDArray[np.uint8]
    source: str
    reference_ignored: NDArray[np.bool_] | None = None


class EpisodeSource(Protocol):
    """A generator of episodes."""

    def sample(self, rng: np.random.Generator, references: int = 1, targets: int = 2) -> Episode:
        """Draw an episode that depends only on the state of `rng`."""
        ...


def make_episode(
    images: Sequence[FloatArray],
    labels: Sequence[NDArray[np.uint8]],
    references: int,
    rng: np.random.Generator,
    source: str,
) -> Episode:
    """Simulate annotations and arrange frames as an episode.

    Parameters
    ----------
    images : sequence of ndarray, shape (H, W, 3), float32
        Frames in 0..1, references first.
    labels : sequence of ndarray, shape (H, W)
        1 on the class, 255 ignored; the class must occur in each reference.
    references : int
        Number of frames that are references.
    rng : Generator
    source : str
        Name of the dataset or synthetic world.
    """
    # One kind for all references, because users rarely mix tools within a stack.
    kinds = tuple(KIND_PROBABILITIES)
    kind = kinds[int(rng.choice(len(kinds), p=list(KIND_PROBABILITIES.values())))]
    masks = [annotate(mask == 1, kind, rng) for mask in labels[:references]]
    frames = np.ascontiguousarray(np.stack(images).transpose(0, 3, 1, 2), dtype=np.float32)
    return Episode(
        references=frames[:references],
        reference_masks=np.stack(masks),
        kinds=(kind,) * references,
        targets=frames[references:],
        target_masks=np.stack(labels[references:]).astype(np.uint8),
        source=source,
    )


def annotate(mask: NDArray[np.bool_], kind: AnnotationKind, rng: np.random.Generator) -> FloatArray:
    """Simulate an annotation; a box is drawn around each object or around all, by chance."""
    each = kind == "box" and rng.random() < 0.5
    return simulate_annotation(mask, kind, rng, count=None, each=each)


def collate(episodes: Sequence[Episode]) -> dict[str, Any]:
    """Stack episodes with equal numbers of references and of targets into a batch.

    Returns
    -------
    dict
        float32 tensors: ``references`` (B, K, 3, H, W), ``reference_masks`` (B, K, H, W),
        ``targets`` (B, M, 3, H, W), ``target_masks`` (B, M, H, W; 0 on ignored pixels).
        bool tensors: ``reference_ignored`` (B, K, H, W) and ``valid`` (B, M, H, W; False on
        ignored pixels). Lists of length B: ``kinds`` (K names each) and ``sources``.
    """
    labels = np.stack([e.target_masks for e in episodes])
    valid = labels != IGNORED
    ignored = [
        np.zeros(e.reference_masks.shape, bool)
        if e.reference_ignored is None
        else e.reference_ignored
        for e in episodes
    ]
    return {
        "references": torch.from_numpy(np.stack([e.references for e in episodes])),
        "reference_masks": torch.from_numpy(np.stack([e.reference_masks for e in episodes])),
        "reference_ignored": torch.from_numpy(np.stack(ignored)),
        "kinds": [list(e.kinds) for e in episodes],
        "targets": torch.from_numpy(np.stack([e.targets for e in episodes])),
        "target_masks": torch.from_numpy((labels * valid).astype(np.float32)),
        "valid": torch.from_numpy(valid),
        "sources": [e.source for e in episodes],
    }
