from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.tiny_sam import build_tiny_sam
from torch import Tensor, nn

from napari_vrp_sam.annotations.reference import Reference
from napari_vrp_sam.errors import InputError
from napari_vrp_sam.models.base import FrameFeatures, Model, Prompts
from napari_vrp_sam.models.sam.full_size_model import FullSizeModel
from napari_vrp_sam.models.vrp.semantic_encoders import EfficientNetLite0
from napari_vrp_sam.research.datasets.dataset import Dataset
from napari_vrp_sam.research.protocols.model_method import (
    ModelMethod,
    few_shot_method,
    prompted_methods,
)
from napari_vrp_sam.research.protocols.one_slice import evaluate_dataset


class NearestIntensity(nn.Module, Model):
    """Model that assigns a pixel to class or background by the nearest mean intensity."""

    name = "nearest-intensity"

    def __init__(self) -> None:
        super().__init__()
        self.encoded: list[Tensor] = []  # shared with copies of the model

    def encode(self, frames: Tensor) -> FrameFeatures:
        self.encoded.append(frames)
        return FrameFeatures((frames.shape[2], frames.shape[3]), frames, (frames,))

    def prepare(self, references: Any) -> Any:
        gray = torch.stack([r.features.embedding[0].mean(dim=0) for r in references])
        inside = torch.stack([r.mask for r in references]) > 0.5
        (class_id,) = {r.class_id for r in references}
        return class_id, gray[inside].mean(), gray[~inside].mean()

    def prompt(self, features: FrameFeatures, prepared: Any) -> Prompts:
        class_id, inside, outside = prepared
        gray = features.embedding.mean(dim=1, keepdim=True)
        logits = (gray - outside).abs() - (gray - inside).abs()
        return Prompts((class_id,), torch.zeros(1, 0, 1), logits)

    def decode(self, features: FrameFeatures, prompts: Prompts) -> Tensor:
        return prompts.dense[:, 0]


def test_each_frame_is_encoded_once_for_all_classes() -> None:
    frame = np.full((32, 32, 1), 10, np.uint8)
    frame[:8], frame[8:16] = 120, 240
    references = [
        Reference(frame, frame[..., 0] == 240, 1, frame=0),
        Reference(frame, frame[..., 0] == 10, 2, frame=0),
        Reference(frame, frame[..., 0] == 10, 2, frame=1),
    ]
    model = NearestIntensity().eval()
    segment = ModelMethod(model, "cpu")([frame, frame], references)
    before = len(model.encoded)
    masks, confidences = segment(frame[::-1])
    assert len(model.encoded) == before + 1
    assert confidences is not None
    assert confidences.shape == (2,)
    np.testing.assert_array_equal(masks[0], frame[::-1, :, 0] > 200)
    np.testing.assert_array_equal(masks[1], frame[::-1, :, 0] == 10)


def test_evaluation_on_a_dataset(data_folder: Path) -> None:
    plates = Dataset.open(data_folder / "plates")
    results = evaluate_dataset(plates, {"model": ModelMethod(NearestIntensity(), "cpu")})
    assert results["model"]["classes"]["bright"] > 0.7


def test_promptings_share_encoded_images(monkeypatch: pytest.MonkeyPatch) -> None:
    model = FullSizeModel("tiny", build_tiny_sam(), EfficientNetLite0(), semantic_side=128)
    encoded: list[Tensor] = []
    encode = FullSizeModel.encode

    def counted(self: FullSizeModel, frames: Tensor) -> FrameFeatures:
        encoded.append(frames)
        return encode(self, frames)

    monkeypatch.setattr(FullSizeModel, "encode", counted)
    methods = prompted_methods(model, ["box", "persam", "probe"], "cpu")
    image = np.random.default_rng(0).integers(0, 255, (40, 60, 3), np.uint8)
    mask = np.zeros((40, 60), bool)
    mask[10:30, 10:40] = True
    reference = Reference(image, mask, 1)
    found = {name: segment(image[::-1].copy(), [reference]) for name, segment in methods.items()}
    assert len(encoded) == 2
    for name in ("box", "persam", "probe"):
        alone = few_shot_method(model.with_prompting(name), "cpu")
        np.testing.assert_array_equal(alone(image[::-1].copy(), [reference]), found[name])
    assert list(prompted_methods(model, [], "cpu")) == ["tiny"]
    with pytest.raises(InputError, match="has no VRP encoder"):
        prompted_methods(model, ["vrp"])
    with pytest.raises(InputError, match="prompting of 'nearest-intensity' is fixed"):
        prompted_methods(NearestIntensity(), ["box"])
