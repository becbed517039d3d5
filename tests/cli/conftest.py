"""A stack with its reference, and a tiny full-size model."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image
from tests.models.conftest import build_tiny_sam


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """A stack with a moving bright square, its ground truth, and frame 2 annotated."""
    rng = np.random.default_rng(0)
    stack = rng.integers(0, 40, (5, 64, 64), dtype=np.uint8)
    truth = np.zeros((5, 64, 64), np.uint8)
    for index in range(5):
        truth[index, 10 + 6 * index : 30 + 6 * index, 12:40] = 3
    stack[truth > 0] += 160
    tifffile.imwrite(tmp_path / "stack.tif", stack, imagej=True, metadata={"axes": "ZYX"})
    tifffile.imwrite(tmp_path / "truth.tif", truth)
    tifffile.imwrite(tmp_path / "slice.tif", truth[2])
    (tmp_path / "frames").mkdir()
    (tmp_path / "drawn").mkdir()
    for index, frame in enumerate(stack):
        Image.fromarray(frame).save(tmp_path / f"frames/f{index}.png")
    Image.fromarray(truth[2]).save(tmp_path / "drawn/f2.png")
    return tmp_path


@pytest.fixture
def tiny_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Register the model and return its name; its weights are in a temporary cache."""
    import segment_anything
    import torch

    from napari_vrp_sam.models.vrp.semantic_encoders import EfficientNetLite0
    from napari_vrp_sam.models.weights import catalogue, model_spec
    from napari_vrp_sam.models.weights.downloads import PublishedFile

    cache = tmp_path / "cache"
    cache.mkdir()
    monkeypatch.setenv("VRP_SAM_CACHE", str(cache))
    monkeypatch.setenv("VRP_SAM_OFFLINE", "1")

    def add_to_cache(name: str, state: dict[str, Any]) -> PublishedFile:
        buffer = io.BytesIO()
        torch.save(state, buffer)
        content = buffer.getvalue()
        (cache / f"{name} under any name").write_bytes(content)
        digest = hashlib.sha256(content).hexdigest()
        return PublishedFile(f"http://127.0.0.1:9/{name}.pth", digest, "MIT", len(content))

    torch.manual_seed(0)
    sam = add_to_cache("sam", build_tiny_sam(seed=3).state_dict())
    semantic = add_to_cache("semantic", EfficientNetLite0().backbone.state_dict())
    spec = catalogue.ModelSpec("tiny", "For tests.", "tiny", "efficientnet_lite0", "MIT", sam)
    monkeypatch.setitem(segment_anything.sam_model_registry, "tiny", build_tiny_sam)
    monkeypatch.setattr(catalogue, "BUILT_IN", (*catalogue.BUILT_IN, spec))
    monkeypatch.setitem(model_spec.SEMANTIC_WEIGHTS, "efficientnet_lite0", semantic)
    return spec.name
