"""One episode of few-shot training: annotated references, and targets with their truth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from napari_vrp_sam.annotations.labels import IGNORED
from napari_vrp_sam.annotations.reference import AnnotationKind
from napari_vrp_sam.annotations.simulate import simulate
from napari_vrp_sam.training.synthetic.draws import FloatArray

KIND_SHARES: dict[AnnotationKind, float] = {
    "mask": 0.5,
    "box": 0.17,
    "scribble": 0.17,
    "point": 0.16,
}
"""How often each kind of annotation is drawn in training."""


@dataclass(frozen=True, eq=False)
class Episode:
    """K annotated references and M targets of one class.

    Attributes
    ----------
    references : ndarray, shape (K, 3, H, W), float32
        Frames in 0..1.
    reference_masks : ndarray, shape (K, H, W), float32
        Their annotations in 0..1.
    kinds : tuple of str
        How each reference was annotated.
    targets : ndarray, shape (M, 3, H, W), float32
    target_masks : ndarray, shape (M, H, W), uint8
        1 where the class is, 0 elsewhere, 255 where nobody knows.
    source : str
        Data set or synthetic world that it came from.
    reference_ignored : ndarray, shape (K, H, W), bool, optional
        Pixels of the references that teach nothing.
    """

    references: FloatArray
    reference_masks: FloatArray
    kinds: tuple[AnnotationKind, ...]
    targets: FloatArray
    target_masks: NDArray[np.uint8]
    source: str
    reference_ignored: NDArray[np.bool_] | None = None


class EpisodeSource(Protocol):
    """Where episodes come from."""

    def sample(self, rng: np.random.Generator, references: int = 1, targets: int = 2) -> Episode:
        """An episode that depends on the state of `rng` alone."""
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
        References first.
    labels : sequence of ndarray, shape (H, W)
        1 where the class is, 255 ignored; each reference has some of the class.
    references : int
        How many of the frames are references.
    rng : Generator
    source : str
    """
    # a user keeps to one tool within a stack
    kinds = tuple(KIND_SHARES)
    kind = kinds[int(rng.choice(len(kinds), p=list(KIND_SHARES.values())))]
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
    """Annotate as `simulate` does; half of the boxes are drawn around every object by itself."""
    each = kind == "box" and rng.random() < 0.5
    return simulate(mask, kind, rng, count=None, each=each)


def collate(episodes: Sequence[Episode]) -> dict[str, Any]:
    """A batch of episodes with equal numbers of references and of targets.

    Returns
    -------
    dict
        Of float32: ``references`` (B, K, 3, H, W), ``reference_masks`` (B, K, H, W), ``targets``
        (B, M, 3, H, W), ``target_masks`` (B, M, H, W; 0 where pixels are ignored). Of bool:
        ``valid`` (B, M, H, W), False where pixels are ignored. Lists of length B: ``kinds``
        (K names each) and ``sources``.
    """
    labels = np.stack([episode.target_masks for episode in episodes])
    valid = labels != IGNORED
    return {
        "references": torch.from_numpy(np.stack([e.references for e in episodes])),
        "reference_masks": torch.from_numpy(np.stack([e.reference_masks for e in episodes])),
        "reference_ignored": torch.from_numpy(np.stack([_ignored(e) for e in episodes])),
        "kinds": [list(e.kinds) for e in episodes],
        "targets": torch.from_numpy(np.stack([e.targets for e in episodes])),
        "target_masks": torch.from_numpy((labels * valid).astype(np.float32)),
        "valid": torch.from_numpy(valid),
        "sources": [e.source for e in episodes],
    }


def _ignored(episode: Episode) -> NDArray[np.bool_]:
    if episode.reference_ignored is None:
        return np.zeros(episode.reference_masks.shape, dtype=bool)
    return episode.reference_ignored
