"""Segmenting a frame never synchronises with the GPU.

The tests run on the CPU and look for operations whose result Python must wait for.
"""

from __future__ import annotations

from typing import Any

import pytest
import torch
from tests.tiny_sam import build_tiny_sam
from torch.utils._python_dispatch import TorchDispatchMode

from napari_vrp_sam.models.base import EncodedReference
from napari_vrp_sam.models.calibration import ClassCalibration
from napari_vrp_sam.models.lite.model import LiteModel
from napari_vrp_sam.models.lite.prepared_class import PreparedClass
from napari_vrp_sam.models.probe.encoded_shots import make_shot
from napari_vrp_sam.models.probe.perceptron import PerceptronProbe
from napari_vrp_sam.models.probe.trees import TreesProbe
from napari_vrp_sam.models.sam.full_size_model import FullSizeModel
from napari_vrp_sam.models.sam.prompting import Prompting
from napari_vrp_sam.models.vrp.semantic_encoders import EfficientNetLite0
from napari_vrp_sam.models.vrp.vrp_encoder import VRPEncoder

SYNCHRONISING = {"_local_scalar_dense", "nonzero", "masked_select", "_unique2", "is_nonzero"}


class SynchronisationRecorder(TorchDispatchMode):
    """Record operations whose result Python must wait for."""

    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        name = func.overloadpacket.__name__
        if name in SYNCHRONISING:
            self.names.append(name)
        return func(*args, **(kwargs or {}))


def test_lite_does_not_synchronise(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    model = LiteModel()
    frames = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    mask = torch.zeros(64, 64)
    mask[16:40, 20:50] = 1
    prepared = []
    for class_id, own in ((1, mask), (2, 1 - mask)):
        features = model.encode(frames[:1])
        shot = make_shot(features, features.semantic, own[None], ["mask"])
        conditioning = model.network.condition([shot], [], effort=0.1)
        prepared.append(
            PreparedClass(class_id, conditioning, ClassCalibration(0.5, edge_share=0.5), ())
        )

    def segment() -> torch.Tensor:
        target = model.encode(frames[1:])
        return model.decode(target, model.prompt(target, prepared))

    expected = segment()
    with SynchronisationRecorder() as recorder:
        segment()
    assert recorder.names  # the CPU code of the probes does, so recording works
    monkeypatch.setattr(PerceptronProbe, "in_strips", PerceptronProbe.at_once)
    monkeypatch.setattr(TreesProbe, "evaluate_forests", TreesProbe.evaluate_tables)
    segment()  # builds the tables, once
    with SynchronisationRecorder() as recorder:
        found = segment()
    assert not recorder.names
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-3)


@torch.no_grad()
@pytest.mark.parametrize("prompting", ["vrp", "points", "box", "points+box"])
def test_full_size_model_does_not_synchronise(prompting: Prompting) -> None:
    torch.manual_seed(0)
    model = FullSizeModel(
        "tiny", build_tiny_sam(), EfficientNetLite0(), VRPEncoder(152, 64, queries=6),
        semantic_side=128, pseudo_mask="correlation", prompting=prompting,
    ).eval()  # fmt: skip
    frames = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    mask = torch.zeros(64, 64)
    mask[16:40, 20:50] = 1
    prepared = model.prepare([EncodedReference(model.encode(frames[:1]), mask, 1)])
    with SynchronisationRecorder() as recorder:
        target = model.encode(frames[1:])
        model.decode(target, model.prompt(target, prepared))
    assert not recorder.names
