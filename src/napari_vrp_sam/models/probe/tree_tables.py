"""Trees as tables, for devices that scikit-learn does not know: all cells go down together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class TreeTables:
    """One forest, its T trees one after the other.

    A leaf leads to itself, so that a cell may go down as many levels as the deepest tree has.

    Attributes
    ----------
    roots : Tensor, shape (T,), int32
    channel : Tensor, shape (nodes,), int32
        That a node looks at.
    threshold : Tensor, shape (nodes,), float32
    children : Tensor, shape (2 * nodes,), int32
        Where to go up to the threshold, and above it; node by node.
    probability : Tensor, shape (nodes,), float32
        Of the class.
    depth : int
    """

    roots: Tensor
    channel: Tensor
    threshold: Tensor
    children: Tensor
    probability: Tensor
    depth: int

    @classmethod
    def of(cls, forest: Any) -> TreeTables:
        """Tables of a fitted `ExtraTreesClassifier` of 0 and 1, or of one of them alone."""
        trees = [estimator.tree_ for estimator in forest.estimators_]
        starts = np.cumsum([0, *(tree.node_count for tree in trees)])
        channel, threshold, children, probability = [], [], [], []
        for start, tree in zip(starts, trees, strict=False):
            leaf = tree.children_left < 0
            own = np.arange(tree.node_count)
            channel.append(np.where(leaf, 0, tree.feature))
            threshold.append(_rounded_down(np.where(leaf, 0.0, tree.threshold)))
            below, above = (
                start + np.where(leaf, own, child)
                for child in (tree.children_left, tree.children_right)
            )
            children.append(np.stack([below, above], axis=1).ravel())
            share = tree.value[:, 0]
            probability.append(share @ forest.classes_ / share.sum(axis=1))
        return cls(
            torch.from_numpy(starts[:-1].astype(np.int32)),
            torch.from_numpy(np.concatenate(channel).astype(np.int32)),
            torch.from_numpy(np.concatenate(threshold)),
            torch.from_numpy(np.concatenate(children).astype(np.int32)),
            torch.from_numpy(np.concatenate(probability).astype(np.float32)),
            max(tree.max_depth for tree in trees),
        )

    def to(self, device: torch.device) -> TreeTables:
        """The same tables elsewhere."""
        return TreeTables(
            self.roots.to(device),
            self.channel.to(device),
            self.threshold.to(device),
            self.children.to(device),
            self.probability.to(device),
            self.depth,
        )

    def __call__(self, features: Tensor) -> Tensor:
        """Mean probability of the class, shape (N,), of cells with features (D, N), float32."""
        if features.is_cuda:
            try:
                from napari_vrp_sam.models.probe.tree_kernel import descend, kernel_runs
            except ImportError:  # Triton is not everywhere
                return self.level_by_level(features)
            if kernel_runs(features.device):
                return descend(self, features)
        return self.level_by_level(features)

    def level_by_level(self, features: Tensor) -> Tensor:
        """The same by operations that every device knows."""
        count = features.shape[1]
        values = features.flatten()
        cell = torch.arange(count, dtype=torch.int32, device=features.device)
        node = self.roots[:, None].expand(-1, count)
        for _ in range(self.depth):
            place = (_at(self.channel, node) * count).add_(cell)
            above = _at(values, place) > _at(self.threshold, node)
            node = _at(self.children, (node * 2).add_(above))
        return _at(self.probability, node).mean(dim=0)


def _at(table: Tensor, index: Tensor) -> Tensor:
    return table.index_select(0, index.flatten()).view(index.shape)


def _rounded_down(thresholds: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """In single precision, and no larger: to single values they are what the double ones are."""
    single = thresholds.astype(np.float32)
    return np.where(single > thresholds, np.nextafter(single, np.float32(-np.inf)), single)
