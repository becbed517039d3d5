"""Probe of extremely randomised trees, for classes that thresholds on a few channels separate."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from napari_vrp_sam.models.probe.probe import cell_features
from napari_vrp_sam.models.probe.tree_tables import TreeTables

TREES = 30
MAX_DEPTH = 20
MIN_LEAF = 3
MAX_CELLS = 12_000
"""Largest number of cells that trees are grown on; more take longer and gain little."""

MIN_PROBABILITY = 0.003
"""Lower bound of the probabilities of class and background."""


@dataclass(frozen=True, eq=False)
class TreesProbe:
    """Fitted `ExtraTreesClassifier` of scikit-learn for each of B classes. Implements `Probe`."""

    forests: tuple[Any, ...]
    _tables: dict[torch.device, tuple[TreeTables, ...]] = field(
        default_factory=dict, init=False, repr=False
    )

    def logits(self, maps: Sequence[Tensor], size: tuple[int, int]) -> Tensor:
        """Return logits of shape (B, 1, *size), resized from the grid of the finest map."""
        grid = (maps[0].shape[-2], maps[0].shape[-1])
        cells = cell_features(maps, grid)
        evaluate = self.evaluate_tables if cells.is_cuda else self.evaluate_forests
        logits = evaluate(cells).clamp(MIN_PROBABILITY, 1 - MIN_PROBABILITY).logit()
        return F.interpolate(
            logits.reshape(-1, 1, *grid).to(maps[0]), size, mode="bilinear", align_corners=False
        )

    def evaluate_forests(self, cells: Tensor) -> Tensor:
        """Return probabilities (B, N) of cells (B or 1, N, D), by scikit-learn."""
        # The threads of scikit-learn add the trees in any order, which changes the last bits.
        threads = torch.get_num_threads()
        frames = [np.array_split(frame, threads) for frame in cells.cpu().numpy()]
        with ThreadPoolExecutor(threads) as pool:
            rows = [
                np.concatenate(list(pool.map(partial(_probability, forest), chunks)))
                for forest, chunks in zip(self.forests, self._one_per_class(frames), strict=True)
            ]
        return torch.from_numpy(np.stack(rows))

    def evaluate_tables(self, cells: Tensor) -> Tensor:
        """Return the same probabilities, computed on the device of the cells."""
        if cells.device not in self._tables:
            tables = (TreeTables.from_forest(forest).to(cells.device) for forest in self.forests)
            self._tables[cells.device] = tuple(tables)
        evaluate = _table_evaluator(cells.device)
        frames = self._one_per_class(list(cells.mT))
        return torch.stack(list(map(evaluate, self._tables[cells.device], frames)))

    def _one_per_class(self, frames: list[Any]) -> list[Any]:
        return frames if len(frames) > 1 else frames * len(self.forests)


def fit_trees(
    features: Tensor, target: Tensor, weight: Tensor, *, trees: int = TREES, seed: int = 0
) -> TreesProbe:
    """Grow trees for each of B classes; see `probe.fit_linear` for the tensors."""
    from sklearn.ensemble import ExtraTreesClassifier

    chosen = np.random.default_rng(seed).permutation(features.shape[1])[:MAX_CELLS]
    forests = []
    for one_class in zip(features, target > 0.5, weight, strict=True):
        cells, is_class, cell_weight = (values.cpu().numpy()[chosen] for values in one_class)
        used = cell_weight > 0
        forest = ExtraTreesClassifier(
            trees, max_depth=MAX_DEPTH, min_samples_leaf=MIN_LEAF, random_state=seed
        )
        forests.append(forest.fit(cells[used], is_class[used], sample_weight=cell_weight[used]))
    return TreesProbe(tuple(forests))


def _table_evaluator(device: torch.device) -> Callable[[TreeTables, Tensor], Tensor]:
    """Return the GPU kernel if it works on a device, else PyTorch operations."""
    if device.type == "cuda":
        try:
            from napari_vrp_sam.models.probe.tree_kernel import descend, kernel_runs
        except ImportError:  # Triton is not available on every platform
            return TreeTables.__call__
        if kernel_runs(device):
            return descend
    return TreeTables.__call__


def _probability(forest: Any, cells: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Return the probability of the class, shape (N,), float32."""
    total = np.zeros(len(cells))
    # A forest grown on cells of the background only has no column for the class.
    column = np.flatnonzero(forest.classes_)
    if len(column) and len(cells):
        cells = np.ascontiguousarray(cells, dtype=np.float32)
        for tree in forest.estimators_:
            total += tree.predict_proba(cells, check_input=False)[:, column[0]]
        total /= len(forest.estimators_)
    return total.astype(np.float32)
