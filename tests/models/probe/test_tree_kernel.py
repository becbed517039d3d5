"""GPU kernel for trees in Triton's interpreter, compared with scikit-learn."""

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
# Not a multiple of the block size.
cells = rng.normal(size=(300, 5)).astype(np.float32)
found = descend(TreeTables.from_forest(forest), torch.from_numpy(cells.T))
np.testing.assert_allclose(found.numpy(), forest.predict_proba(cells)[:, 1], atol=3e-7)
assert len(np.unique(found.numpy())) > 10
assert kernel_runs(torch.device("cpu"))
print("equal")
"""


@pytest.mark.slow
def test_probabilities_equal_those_of_scikit_learn(in_interpreter: Callable[[str], str]) -> None:
    assert in_interpreter(COMPARISON) == "equal\n"
