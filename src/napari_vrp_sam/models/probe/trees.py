"""A probe of extremely randomised trees, for what thresholds on a few channels decide."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from napari_vrp_sam.models.probe.probe import gather
from napari_vrp_sam.models.probe.tree_tables import TreeTables

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
    _tables: dict[torch.device, tuple[TreeTables, ...]] = field(
        default_factory=dict, init=False, repr=False
    )

    def logits(self, maps: Sequence[Tensor], size: tuple[int, int]) -> Tensor:
        """See `Probe`; evaluated on the grid of the finest map."""
        grid = (maps[0].shape[-2], maps[0].shape[-1])
        cells = gather(maps, grid)
        evaluate = self._in_tables if cells.is_cuda else self._in_threads
        logits = evaluate(cells).clamp(CERTAINTY, 1 - CERTAINTY).logit()
        return F.interpolate(
            logits.reshape(-1, 1, *grid).to(maps[0]), size, mode="bilinear", align_corners=False
        )

    def _in_threads(self, cells: Tensor) -> Tensor:
        """Probabilities (B, N) of cells (B or 1, N, D), by scikit-learn."""
        # Its own threads add up trees in any order: here results repeat to the last bit.
        threads = torch.get_num_threads()
        frames = [np.array_split(frame, threads) for frame in cells.cpu().numpy()]
        with ThreadPoolExecutor(threads) as pool:
            rows = [
                np.concatenate(list(pool.map(partial(_probability, forest), parts)))
                for forest, parts in zip(self.forests, self._own(frames), strict=True)
            ]
        return torch.from_numpy(np.stack(rows))

    def _in_tables(self, cells: Tensor) -> Tensor:
        """The same on the cells' own device."""
        if cells.device not in self._tables:
            tables = (TreeTables.of(forest).to(cells.device) for forest in self.forests)
            self._tables[cells.device] = tuple(tables)
        own = self._own(list(cells.mT))
        return torch.stack(
            [table(frame) for table, frame in zip(self._tables[cells.device], own, strict=True)]
        )

    def _own(self, frames: list[Any]) -> list[Any]:
        """For each class its frame; a single one is shared by all."""
        return frames if len(frames) > 1 else frames * len(self.forests)


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
    total = np.zeros(len(pixels))
    # Cells that are all on one side leave the other unknown to the forest.
    column = np.flatnonzero(forest.classes_)
    if not len(column) or not len(pixels):
        return total.astype(np.float32)
    pixels = np.ascontiguousarray(pixels, dtype=np.float32)
    for tree in forest.estimators_:
        total += tree.predict_proba(pixels, check_input=False)[:, column[0]]
    return (total / len(forest.estimators_)).astype(np.float32)
