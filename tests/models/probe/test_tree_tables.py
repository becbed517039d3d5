"""Tables, compared with the forests that they were converted from."""

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
    """Return the leaf indices (N, T) of cells, with node indices in place of probabilities."""
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


def test_leaves_equal_those_of_scikit_learn() -> None:
    forest = forest_of()
    tables = TreeTables.from_forest(forest)
    cells = np.random.default_rng(1).normal(size=(4000, 5)).astype(np.float32)
    # Values at thresholds rounded to single precision, and next to them.
    thresholds = np.concatenate([t.tree_.threshold[t.tree_.feature == 0] for t in forest])
    near = thresholds.astype(np.float32)[:1000]
    cells[: len(near), 0] = near
    cells[1000 : 1000 + len(near), 0] = np.nextafter(near, np.float32(np.inf))
    cells[2000 : 2000 + len(near), 0] = np.nextafter(near, np.float32(-np.inf))
    ends = leaves(tables, torch.from_numpy(cells.T.copy()))
    np.testing.assert_array_equal(ends.numpy(), forest.apply(cells))


def test_probabilities_equal_those_of_scikit_learn() -> None:
    forest = forest_of()
    cells = np.random.default_rng(1).normal(size=(3000, 5)).astype(np.float32)
    found = TreeTables.from_forest(forest)(torch.from_numpy(cells.T.copy()))
    assert found.dtype == torch.float32
    np.testing.assert_allclose(found.numpy(), forest.predict_proba(cells)[:, 1], atol=3e-7)


@pytest.mark.parametrize("only", [0, 1])
def test_a_forest_of_a_single_class(only: int) -> None:
    found = TreeTables.from_forest(forest_of(classes=(only,), count=50))(torch.zeros(5, 7))
    np.testing.assert_array_equal(found.numpy(), np.full(7, only, dtype=np.float32))


@pytest.mark.parametrize("frames", [1, 2])
def test_each_class_has_its_own_tables_and_a_frame_may_be_shared(frames: int) -> None:
    probe = TreesProbe((forest_of(0), forest_of(1)))
    cells = torch.randn(frames, 200, 5, generator=torch.Generator().manual_seed(0))
    found = probe.evaluate_tables(cells)
    torch.testing.assert_close(found, probe.evaluate_forests(cells), rtol=0, atol=3e-7)
    assert not torch.equal(found[0], found[1])
    # The tables are converted once.
    with pytest.MonkeyPatch.context() as patch:
        patch.delattr(TreeTables, "from_forest")
        assert torch.equal(probe.evaluate_tables(cells), found)
