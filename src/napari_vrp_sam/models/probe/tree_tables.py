"""Tables of the nodes of a forest, for devices without scikit-learn."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class TreeTables:
    """Nodes of a forest of T trees as tensors.

    All cells descend together. The children of a leaf are the leaf itself, so that every cell can
    descend as many levels as the deepest tree has.

    Attributes
    ----------
    roots : Tensor, shape (T,), int32
    channel : Tensor, shape (nodes,), int32
        Channel that a node compares with its threshold.
    threshold : Tensor, shape (nodes,), float32
    children : Tensor, shape (2 * nodes,), int32
        For each node the next one for values up to the threshold, then for values above it.
    probability : Tensor, shape (nodes,), float32
        Probability of the class.
    depth : int
    """

    roots: Tensor
    channel: Tensor
    threshold: Tensor
    children: Tensor
    probability: Tensor
    depth: int

    @classmethod
    def from_forest(cls, forest: Any) -> TreeTables:
        """Convert a fitted `ExtraTreesClassifier` of the classes 0 and 1, or of one of them."""
        trees = [estimator.tree_ for estimator in forest.estimators_]
        starts = np.cumsum([0, *(tree.node_count for tree in trees)])
        channel, threshold, children, probability = [], [], [], []
        for start, tree in zip(starts, trees, strict=False):
            leaf = tree.children_left < 0
            node = np.arange(tree.node_count)
            channel.append(np.where(leaf, 0, tree.feature))
            threshold.append(_round_down(np.where(leaf, 0.0, tree.threshold)))
            below, above = (
                start + np.where(leaf, node, child)
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
        """Return a copy on another device."""
        tensors = {name: value for name, value in vars(self).items() if name != "depth"}
        return replace(self, **{name: tensor.to(device) for name, tensor in tensors.items()})

    def __call__(self, features: Tensor) -> Tensor:
        """Return the mean probability of the class, shape (N,), of cells (D, N), float32."""
        count = features.shape[1]
        values = features.flatten()
        cell = torch.arange(count, dtype=torch.int32, device=features.device)
        node = self.roots[:, None].expand(-1, count)
        for _ in range(self.depth):
            index = (_take(self.channel, node) * count).add_(cell)
            above = _take(values, index) > _take(self.threshold, node)
            node = _take(self.children, (node * 2).add_(above))
        return _take(self.probability, node).mean(dim=0)


def _take(table: Tensor, index: Tensor) -> Tensor:
    return table.index_select(0, index.flatten()).view(index.shape)


def _round_down(thresholds: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Round to single precision so that single values compare as with the double thresholds."""
    single = thresholds.astype(np.float32)
    return np.where(single > thresholds, np.nextafter(single, np.float32(-np.inf)), single)
