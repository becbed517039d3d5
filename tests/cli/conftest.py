"""A full-size model in miniature, for commands that prompt SAM."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path
from typing import Any

import pytest
from tests.models.conftest import build_tiny_sam


@pytest.fixture
def tiny_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Its name; its weights lie in a cache of its own, brought under names of their own."""
    import segment_anything
    import torch

    from napari_vrp_sam.models.vrp.semantic_encoders import EfficientNetLite0
    from napari_vrp_sam.models.weights import catalogue
    from napari_vrp_sam.models.weights.downloads import WeightsFile

    cache = tmp_path / "cache"
    cache.mkdir()
    monkeypatch.setenv("VRP_SAM_CACHE", str(cache))
    monkeypatch.setenv("VRP_SAM_OFFLINE", "1")

    def brought(name: str, state: dict[str, Any]) -> WeightsFile:
        buffer = io.BytesIO()
        torch.save(state, buffer)
        content = buffer.getvalue()
        (cache / f"{name} of a colleague").write_bytes(content)
        digest = hashlib.sha256(content).hexdigest()
        return WeightsFile(f"http://127.0.0.1:9/{name}.pth", digest, "MIT", len(content))

    torch.manual_seed(0)
    sam = brought("sam", build_tiny_sam(seed=3).state_dict())
    semantic = brought("semantic", EfficientNetLite0().backbone.state_dict())
    spec = catalogue.ModelSpec("tiny", "For tests.", "tiny", "efficientnet_lite0", "MIT", sam)
    monkeypatch.setitem(segment_anything.sam_model_registry, "tiny", build_tiny_sam)
    monkeypatch.setattr(catalogue, "BUILT_IN", (*catalogue.BUILT_IN, spec))
    monkeypatch.setitem(catalogue.SEMANTIC_WEIGHTS, "efficientnet_lite0", semantic)
    return spec.name
