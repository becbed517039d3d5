from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch

from napari_vrp_sam.annotations.reference import Reference
from napari_vrp_sam.inference.normalisation import Normalisation
from napari_vrp_sam.inference.prediction.predictor import Predictor
from napari_vrp_sam.models.sam.full_size_model import FullSizeModel
from napari_vrp_sam.research.protocols.plain_flow import PlainFlow


@pytest.fixture
def correlating(full_size_model: FullSizeModel) -> Iterator[FullSizeModel]:
    full_size_model.pseudo_mask = "correlation"
    yield full_size_model
    full_size_model.pseudo_mask = "probe"


def test_the_plain_way_gives_the_same_masks(correlating: FullSizeModel) -> None:
    """At SAM's own side: frames of another one its predictor resizes in 8 bits."""
    rng = np.random.default_rng(0)
    reference, frame = rng.integers(0, 255, (2, 256, 256, 3), dtype=np.uint8)
    mask = np.zeros((256, 256), bool)
    mask[40:120, 60:200] = True
    plain = PlainFlow(correlating)
    expected = plain.logits(frame, reference, mask)

    predictor = Predictor(correlating, device="cpu", precision="float32")
    predictor.set_references([Reference(reference, mask)], Normalisation((0,) * 3, (255,) * 3))
    found = predictor.predict(frame)[0]

    assert expected.shape == (256, 256)
    np.testing.assert_allclose(found, torch.from_numpy(expected).sigmoid(), atol=1e-4)
    np.testing.assert_array_equal(plain.predict(frame, reference, mask), expected > 0)
