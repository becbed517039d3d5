from __future__ import annotations

import pytest
from tests.tiny_sam import build_tiny_sam

from napari_vrp_sam.models.sam.full_size_model import FullSizeModel
from napari_vrp_sam.models.vrp.semantic_encoders import EfficientNetLite0
from napari_vrp_sam.models.vrp.vrp_encoder import VRPEncoder


@pytest.fixture(scope="session")
def full_size_model() -> FullSizeModel:
    """Tiny full-size model with random weights, for images of 256 pixels."""
    sam = build_tiny_sam()
    vrp_encoder = VRPEncoder(152, 64, queries=6)
    return FullSizeModel("tiny", sam, EfficientNetLite0(), vrp_encoder, semantic_side=128).eval()
