"""The GPU kernel for trees, in Triton's interpreter, gives what scikit-learn gives."""

from __future__ import annotations

from collections.abc import Callable

import pytest

pytest.importorskip("triton", reason="comes with PyTorch on Linux")

COMPARISON = """
import numpy as np
import torch
from sklearn.ensemble import ExtraTreesClassifier
from napari_vrp_sam.models.probe.tree_kernel import descend, kernel_runs
from napari_vrp_sam.models.probe.tree_tables import TreeTables

rng = np.random.default_rng(0)
x = rng.normal(size=(600, 5)).astype(np.float32)
forest = ExtraTreesClassifier(4, max_depth=9, random_state=0).fit(x, x[:, 0] * x[:, 1] > 0)
# Not a whole number of blocks.
cells = rng.normal(size=(300, 5)).astype(np.float32)
found = descend(TreeTables.of(forest), torch.from_numpy(cells.T))
np.testing.assert_allclose(found.numpy(), forest.predict_proba(cells)[:, 1], atol=3e-7)
assert len(np.unique(found.numpy())) > 10
assert kernel_runs(torch.device("cpu"))
print("close")
"""


def test_cells_end_where_they_should(in_interpreter: Callable[[str], str]) -> None:
    assert in_interpreter(COMPARISON) == "close\n"
