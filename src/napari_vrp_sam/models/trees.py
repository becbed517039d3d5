"""A probe of extremely randomised trees, for what thresholds on a few channels decide."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from napari_vrp_sam.models.probe import gather

TREES = 30
MAX_DEPTH = 20
MIN_LEAF = 3
MAX_CELLS = 12_000
"""Cells that trees are grown on; more take longer and gain little."""

CERTAINTY = 0.003
"""Least probability of either side: what no tree has seen is not impossible."""


@dataclass(frozen=True, eq=False)
class TreesProbe:
    """Extremely randomised trees of scikit-learn, one forest for each of B classes.

    Attributes
    ----------
    forests : tuple
        Fitted classifiers of 0 and 1.
    """

    forests: tuple[Any, ...]

    def logits(self, maps: Sequence[Tensor], size: tuple[int, int]) -> Tensor:
        """See `Probe`; evaluated on the grid of the finest map."""
        grid = (maps[0].shape[-2], maps[0].shape[-1])
        pixels = gather(maps, grid).cpu().numpy()
        probability = np.stack(
            [
                _probability(forest, pixels[b if len(pixels) > 1 else 0])
                for b, forest in enumerate(self.forests)
            ]
        )
        logits = torch.from_numpy(probability).clamp(CERTAINTY, 1 - CERTAINTY).logit()
        return F.interpolate(
            logits.reshape(-1, 1, *grid).to(maps[0]), size, mode="bilinear", align_corners=False
        )


def fit_trees(
    features: Tensor, target: Tensor, weight: Tensor, *, trees: int = TREES, seed: int = 0
) -> TreesProbe:
    """Grow trees for each of B classes; arguments as for `probe.fit_linear`.

    Parameters
    ----------
    features, target, weight : Tensor, shapes (B, N, D), (B, N) and (B, N)
    trees : int, default 30
    seed : int, default 0
        The same references give the same trees.
    """
    from sklearn.ensemble import ExtraTreesClassifier

    kept = np.random.default_rng(seed).permutation(features.shape[1])[:MAX_CELLS]
    forests = []
    for x, y, w in zip(features, target, weight, strict=True):
        forest = ExtraTreesClassifier(
            trees, max_depth=MAX_DEPTH, min_samples_leaf=MIN_LEAF, random_state=seed
        )
        pixels, is_class, share = (v.cpu().numpy()[kept] for v in (x, y > 0.5, w))
        used = share > 0
        forests.append(forest.fit(pixels[used], is_class[used], sample_weight=share[used]))
    return TreesProbe(tuple(forests))


def _probability(forest: Any, pixels: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Probability of the class, shape (N,), float32."""
    # Cells that are all on one side leave the other unknown to the forest.
    column = np.flatnonzero(forest.classes_)
    if not len(column):
        return np.zeros(len(pixels), dtype=np.float32)
    probability: np.ndarray[Any, Any] = forest.predict_proba(pixels)[:, column[0]]
    return probability.astype(np.float32)
