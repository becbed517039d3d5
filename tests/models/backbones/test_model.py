"""Probe models: a frozen backbone of timm and a probe."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from napari_vrp_sam.annotations.reference import Reference
from napari_vrp_sam.inference.normalisation import Normalisation
from napari_vrp_sam.inference.prediction.predictor import Predictor
from napari_vrp_sam.io.samples import sample_stack
from napari_vrp_sam.models.backbones import model as module
from napari_vrp_sam.models.backbones.dense_features import DenseBackbone
from napari_vrp_sam.models.backbones.model import ProbeModel
from napari_vrp_sam.models.base import EncodedReference
from napari_vrp_sam.models.lite.model import LiteModel
from napari_vrp_sam.models.probe.ensemble import EnsembleProbe, ProbeRecipe, fit_ensemble
from napari_vrp_sam.models.zoo.registry import load_model

VIT = "vit_tiny_patch16_dinov3_qkvb"


@pytest.fixture(scope="module", autouse=True)
def quick_probes() -> Any:
    """Fit ensembles with a third of the usual effort."""

    def fit(*args: Any, effort: float = 1.0) -> EnsembleProbe:
        return fit_ensemble(*args, effort=effort / 3)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "fit_ensemble", fit)
        yield


@pytest.fixture(scope="module")
def sample() -> tuple[Any, Any]:
    """Frames (Z, Y, X), uint8, and the ground truth of one class."""
    stack, ground_truth = sample_stack(size=192, frames=3)
    return stack, ground_truth == 1


@pytest.fixture(scope="module")
def vit() -> ProbeModel:
    torch.manual_seed(0)
    return ProbeModel("vit", DenseBackbone(VIT))


def iou(mask: Any, truth: Any) -> float:
    return float((mask & truth).sum() / (mask | truth).sum())


def predicted(
    model: Any, stack: Any, truth: Any, *, effort: float = 1.0, **options: Any
) -> tuple[Predictor, Any]:
    predictor = Predictor(model, device="cpu", **options)
    reference = Reference(stack[0], truth[0], 1, "mask", 0)
    predictor.set_references([reference], Normalisation((0.0,), (255.0,)), effort=effort)
    return predictor, predictor.predict(stack[2])[0]


@pytest.mark.slow
def test_random_features_do_not_hurt_the_trees(vit: ProbeModel, sample: tuple[Any, Any]) -> None:
    stack, truth = sample
    predictor, probability = predicted(vit, stack, truth)
    trees = ProbeModel("trees", vit.backbone)
    trees.recipe = ProbeRecipe(linear=(0,), perceptron=(0,), trees=(0, 1))
    _, of_trees = predicted(trees, stack, truth)
    assert iou(probability > 0.5, truth[2]) > iou(of_trees > 0.5, truth[2]) - 0.03
    expected = predictor.calibrations[1].expected_iou
    assert expected is not None
    assert 0.3 < expected < 1


@pytest.mark.slow
def test_the_backbone_of_lite_gives_its_accuracy(
    sample: tuple[Any, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    stack, truth = sample
    monkeypatch.setattr(module, "fit_ensemble", fit_ensemble)  # with the same effort
    lite = load_model("lite", device="cpu")
    assert isinstance(lite, LiteModel)
    backbone = DenseBackbone("tf_efficientnet_lite0")
    state = lite.network.backbone.state_dict()
    backbone.network.load_state_dict(state, strict=False)
    backbone.mean, backbone.std = (torch.full((3, 1, 1), 0.5) for _ in range(2))
    # Neither is calibrated: `lite` is not if the share of its decoder is given.
    _, probability = predicted(ProbeModel("wrapped", backbone), stack, truth, effort=0.9)
    alone = LiteModel(lite.network, decoder_share=0.0)
    _, of_lite = predicted(alone, stack, truth, effort=0.9)
    assert iou(probability > 0.5, truth[2]) > iou(of_lite > 0.5, truth[2]) - 0.02


def test_small_objects_are_enlarged(vit: ProbeModel) -> None:
    model = ProbeModel("vit", vit.backbone)
    rows, columns = np.mgrid[:200, :200]

    def disc(radius: float) -> Any:
        return (rows - 100) ** 2 + (columns - 100) ** 2 < radius**2

    model.adapt([disc(6)])
    small = model.scale
    assert small == pytest.approx(16 / 4)
    key = model.encoding_key
    model.adapt([disc(80)])
    assert model.scale < small
    assert model.encoding_key != key
    model.adapt([])  # points and scribbles do not show the size of objects
    assert model.scale == pytest.approx(2.0)


def test_features_are_cached_for_each_scale(vit: ProbeModel, sample: tuple[Any, Any]) -> None:
    from napari_vrp_sam.inference.prediction.caches.feature_cache import FeatureCache

    stack, truth = sample
    predictor = Predictor(vit, device="cpu")
    predictor.cache = FeatureCache()
    whole = Reference(stack[0], truth[0], 1, "mask", 0)
    small = np.zeros_like(truth[0])
    small[50:56, 50:56] = True
    for mask in (whole.mask, small):
        predictor.set_references(
            [Reference(stack[0], mask, 1, "mask", 0)], Normalisation((0.0,), (255.0,)), effort=0.1
        )
    assert len(predictor.cache) == 2


def test_several_classes_and_incomplete_annotations(
    vit: ProbeModel, sample: tuple[Any, Any]
) -> None:
    stack, truth = sample
    frame: Tensor = torch.from_numpy(stack[0].astype(np.float32) / 255).expand(3, -1, -1)
    model = ProbeModel("vit", vit.backbone)
    model.effort = 0.9
    features = model.encode(frame[None])
    mask = torch.from_numpy(truth[0]).float()
    scribble = torch.zeros_like(mask)
    scribble[:8] = 1 - mask[:8]
    prepared = model.prepare(
        [
            EncodedReference(features, mask, 1, "mask", 0, image=frame),
            EncodedReference(features, scribble, 4, "scribble", 0, image=frame),
        ]
    )
    logits = model.segment(features, prepared)
    assert logits.shape == (1, 2, 192, 192)
    assert iou((logits[0, 0] > 0).numpy(), truth[0]) > 0.5
    assert model.calibrations(prepared)[4].expected_iou is None
