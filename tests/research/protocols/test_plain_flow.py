from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch

from napari_vrp_sam.annotations.reference import Reference
from napari_vrp_sam.inference.normalisation import Normalisation
from napari_vrp_sam.inference.prediction.predictor import Predictor
from napari_vrp_sam.models.sam.full_size_model import FullSizeModel
from napari_vrp_sam.research.protocols.plain_flow import UnoptimisedPipeline


@pytest.fixture
def correlation_model(full_size_model: FullSizeModel) -> Iterator[FullSizeModel]:
    full_size_model.pseudo_mask = "correlation"
    yield full_size_model
    full_size_model.pseudo_mask = "probe"


def test_the_unoptimised_pipeline_gives_the_same_masks(correlation_model: FullSizeModel) -> None:
    """Uses frames of SAM's input size, because `SamPredictor` resizes in 8 bits."""
    rng = np.random.default_rng(0)
    reference, frame = rng.integers(0, 255, (2, 256, 256, 3), dtype=np.uint8)
    mask = np.zeros((256, 256), bool)
    mask[40:120, 60:200] = True
    pipeline = UnoptimisedPipeline(correlation_model)
    expected = pipeline.logits(frame, reference, mask)

    predictor = Predictor(correlation_model, device="cpu", precision="float32")
    predictor.set_references([Reference(reference, mask)], Normalisation((0,) * 3, (255,) * 3))
    probabilities = predictor.predict(frame)[0]

    assert expected.shape == (256, 256)
    np.testing.assert_allclose(probabilities, torch.from_numpy(expected).sigmoid(), atol=1e-4)
    np.testing.assert_array_equal(pipeline.predict(frame, reference, mask), expected > 0)
