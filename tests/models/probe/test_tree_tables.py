"""Tables against the forests that they were made of."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from sklearn.ensemble import ExtraTreesClassifier

from napari_vrp_sam.models.probe.tree_tables import TreeTables
from napari_vrp_sam.models.probe.trees import MAX_DEPTH, MIN_LEAF, TreesProbe


def forest_of(seed: int = 0, classes: tuple[int, ...] = (0, 1), count: int = 1500) -> Any:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(count, 5)).astype(np.float32)
    noisy = x[:, 0] * x[:, 1] + rng.normal(scale=0.3, size=count) > 0
    y = np.where(noisy, classes[-1], classes[0])
    forest = ExtraTreesClassifier(
        10, max_depth=MAX_DEPTH, min_samples_leaf=MIN_LEAF, random_state=seed
    )
    return forest.fit(x, y, sample_weight=rng.random(count))


def leaves(tables: TreeTables, features: torch.Tensor) -> torch.Tensor:
    """Cells' leaves, (N, T), told by giving every node its number for a probability."""
    ends = []
    for root in tables.roots.tolist():
        numbers = torch.arange(len(tables.probability), dtype=torch.float64)
        one = TreeTables(
            torch.tensor([root], dtype=torch.int32),
            tables.channel,
            tables.threshold,
            tables.children,
            numbers - root,
            tables.depth,
        )
        ends.append(one(features))
    return torch.stack(ends, dim=1)


def test_every_cell_ends_in_scikit_learn_s_leaf() -> None:
    forest = forest_of()
    tables = TreeTables.of(forest)
    cells = np.random.default_rng(1).normal(size=(4000, 5)).astype(np.float32)
    # Values on both sides of a threshold that single precision cannot hold, and right on it.
    thresholds = np.concatenate([t.tree_.threshold[t.tree_.feature == 0] for t in forest])
    near = thresholds.astype(np.float32)[:1000]
    cells[: len(near), 0] = near
    cells[1000 : 1000 + len(near), 0] = np.nextafter(near, np.float32(np.inf))
    cells[2000 : 2000 + len(near), 0] = np.nextafter(near, np.float32(-np.inf))
    ends = leaves(tables, torch.from_numpy(cells.T.copy()))
    np.testing.assert_array_equal(ends.numpy(), forest.apply(cells))


def test_probabilities_are_scikit_learn_s() -> None:
    forest = forest_of()
    cells = np.random.default_rng(1).normal(size=(3000, 5)).astype(np.float32)
    found = TreeTables.of(forest)(torch.from_numpy(cells.T.copy()))
    assert found.dtype == torch.float32
    np.testing.assert_allclose(found.numpy(), forest.predict_proba(cells)[:, 1], atol=3e-7)


@pytest.mark.parametrize("only", [0, 1])
def test_a_forest_that_knows_one_side(only: int) -> None:
    found = TreeTables.of(forest_of(classes=(only,), count=50))(torch.zeros(5, 7))
    np.testing.assert_array_equal(found.numpy(), np.full(7, only, dtype=np.float32))


@pytest.mark.parametrize("frames", [1, 2])
def test_classes_have_tables_of_their_own_and_may_share_a_frame(frames: int) -> None:
    probe = TreesProbe((forest_of(0), forest_of(1)))
    cells = torch.randn(frames, 200, 5, generator=torch.Generator().manual_seed(0))
    found = probe._in_tables(cells)
    torch.testing.assert_close(found, probe._in_threads(cells), rtol=0, atol=3e-7)
    assert not torch.equal(found[0], found[1])
    tables = probe._tables[cells.device]
    probe._in_tables(cells)
    assert probe._tables[cells.device] is tables
