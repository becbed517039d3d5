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
    one_image_method,
    prompted_methods,
)
from napari_vrp_sam.research.protocols.one_slice import evaluate_dataset


class NearestIntensity(nn.Module, Model):
    """A model that can be computed by hand: like the class's mean intensity, or the rest's."""

    name = "nearest-intensity"

    def __init__(self) -> None:
        super().__init__()
        self.encoded = 0

    def encode(self, frames: Tensor) -> FrameFeatures:
        self.encoded += 1
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


def test_each_class_on_its_own_and_each_frame_encoded_once() -> None:
    frame = np.full((32, 32, 1), 10, np.uint8)
    frame[:8], frame[8:16] = 120, 240
    references = [
        Reference(frame, frame[..., 0] == 240, 1, frame=0),
        Reference(frame, frame[..., 0] == 10, 2, frame=0),
        Reference(frame, frame[..., 0] == 10, 2, frame=1),
    ]
    model = NearestIntensity()
    segment = ModelMethod(model, "cpu")([frame, frame], references)
    before = model.encoded
    masks, expected = segment(frame[::-1])
    assert model.encoded == before + 1
    assert expected is not None
    assert expected.shape == (2,)
    np.testing.assert_array_equal(masks[0], frame[::-1, :, 0] > 200)
    np.testing.assert_array_equal(masks[1], frame[::-1, :, 0] == 10)


def test_measured_on_a_data_set(data_folder: Path) -> None:
    plates = Dataset.open(data_folder / "plates")
    results = evaluate_dataset(plates, {"model": ModelMethod(NearestIntensity(), "cpu")})
    assert results["model"]["classes"]["bright"] > 0.7


def test_ways_to_prompt_share_what_is_encoded(monkeypatch: pytest.MonkeyPatch) -> None:
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
    shown = Reference(image, mask, 1)
    found = {name: segment(image[::-1].copy(), [shown]) for name, segment in methods.items()}
    assert len(encoded) == 2
    for name in ("box", "persam", "probe"):
        alone = one_image_method(model.prompted_by(name), "cpu")
        np.testing.assert_array_equal(alone(image[::-1].copy(), [shown]), found[name])
    assert list(prompted_methods(model, [], "cpu")) == ["tiny"]
    with pytest.raises(InputError, match="has no VRP encoder"):
        prompted_methods(model, ["vrp"])
    with pytest.raises(InputError, match="chooses its prompting itself"):
        prompted_methods(NearestIntensity(), ["box"])
