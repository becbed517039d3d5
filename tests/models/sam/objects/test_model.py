"""Full-size model that is prompted per object."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from segment_anything.modeling import Sam
from torch import Tensor

from napari_vrp_sam.annotations.labels import references_from_labels
from napari_vrp_sam.errors import InputError
from napari_vrp_sam.inference.normalisation import Normalisation
from napari_vrp_sam.inference.prediction.predictor import Predictor
from napari_vrp_sam.io.samples import sample_stack
from napari_vrp_sam.models.base import EncodedReference, FrameFeatures
from napari_vrp_sam.models.sam.full_size_model import FullSizeModel
from napari_vrp_sam.models.sam.objects import model as object_model
from napari_vrp_sam.models.vrp.semantic_encoders import EfficientNetLite0
from napari_vrp_sam.models.zoo.registry import load_model

STACK, LABELS = sample_stack(frames=3)
FRAMES = torch.from_numpy(STACK.astype(np.float32) / 255)[:, None].repeat(1, 3, 1, 1)
TRUTH = torch.from_numpy(LABELS > 0)


@pytest.fixture(scope="module")
def model(tiny_sam: Sam) -> FullSizeModel:
    """Model with the trained backbone of `lite` as semantic encoder and a random SAM."""
    semantic = EfficientNetLite0()
    lite: Any = load_model("lite")
    semantic.backbone.load_state_dict(lite.network.backbone.state_dict())
    return FullSizeModel("tiny", tiny_sam, semantic).eval()


def reference(model: FullSizeModel, frame: int = 0, kind: str = "mask") -> EncodedReference:
    return EncodedReference(model.encode(FRAMES[frame : frame + 1]), TRUTH[frame].float(), 1, kind)


def iou(logits: Tensor, truth: Tensor) -> float:
    return float(((logits > 0) & truth).sum() / ((logits > 0) | truth).sum())


def test_it_is_the_default_without_a_vrp_encoder(model: FullSizeModel, tiny_sam: Sam) -> None:
    assert model.prompting == "objects"
    paper = FullSizeModel("tiny", tiny_sam, EfficientNetLite0(), pseudo_mask="correlation")
    assert paper.prompting == "points+box"
    with pytest.raises(InputError, match="'objects' needs the pseudo-mask 'probe'"):
        paper.with_prompting("objects")


@torch.no_grad()
def test_a_random_sam_has_no_share(model: FullSizeModel) -> None:
    """The result is that of the probe."""
    prepared = model.prepare([reference(model)])
    (calibration,) = model.calibrations(prepared).values()
    assert calibration.decoder_share == 0
    assert calibration.expected_iou is not None
    features = model.encode(FRAMES[2:])
    prompts = model.prompt(features, prepared)
    assert prompts.pseudo_mask is not None
    logits = model.decode(features, prompts)
    own = F.interpolate(
        prompts.pseudo_mask.clamp(-8, 8) + calibration.offset, TRUTH.shape[1:], mode="bilinear"
    )
    torch.testing.assert_close(logits, own[:, 0], rtol=1e-3, atol=1e-3)
    assert iou(logits[0], TRUTH[2]) > 0.5
    # Without cross-validation too, the share follows the agreement with the annotation.
    (points,) = model.calibrations(model.prepare([reference(model, kind="partial")])).values()
    assert points.decoder_share < 0.2
    assert points.expected_iou is None


@pytest.fixture
def knowing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give SAM a mask decoder that finds the true pixels in a candidate's box."""

    def decoder(sam: Sam, features: FrameFeatures, visible: tuple[int, int]) -> object:
        truth = TRUTH_BY_EMBEDDING[_key(features)][None, None].float()
        grid = F.interpolate(truth, visible, mode="bilinear")[0]

        def decode(points: Tensor, boxes: Tensor, prompts: Tensor) -> tuple[Tensor, Tensor]:
            masks = (12 * grid - 6).expand(len(points), -1, -1)[:, None]
            return masks, torch.full((len(points), 1), 0.95)

        return decode

    monkeypatch.setattr(object_model, "sam_decoder", decoder)


TRUTH_BY_EMBEDDING: dict[float, Tensor] = {}


def _key(features: FrameFeatures) -> float:
    return round(float(features.embedding.double().sum()), 3)


@torch.no_grad()
@pytest.mark.usefixtures("knowing")
@pytest.mark.parametrize("shots", [1, 2])
def test_a_better_sam_gets_a_share_and_improves_other_frames(
    model: FullSizeModel, shots: int
) -> None:
    for frame, truth in zip(FRAMES, TRUTH, strict=True):
        TRUTH_BY_EMBEDDING[_key(model.encode(frame[None]))] = truth
    prepared = model.prepare([reference(model, frame) for frame in range(shots)])
    (calibration,) = model.calibrations(prepared).values()
    assert calibration.decoder_share >= 0.5
    features = model.encode(FRAMES[2:])
    prompts = model.prompt(features, prepared)
    assert prompts.pseudo_mask is not None
    probe = F.interpolate(prompts.pseudo_mask, TRUTH.shape[1:], mode="bilinear")[0, 0]
    assert iou(model.decode(features, prompts)[0], TRUTH[2]) > iou(probe, TRUTH[2]) + 0.05


@torch.no_grad()
def test_batches_equal_frames_and_tiles_are_segmented(model: FullSizeModel) -> None:
    references = [
        reference(model),
        EncodedReference(model.encode(FRAMES[:1]), (~TRUTH[0]).float(), 2, "partial"),
    ]
    prepared = model.prepare(references)
    together = model.segment(model.encode(FRAMES), prepared)
    for number, frame in enumerate(FRAMES):
        features = model.encode(frame[None])
        single = model.decode(features, model.prompt(features, prepared))
        torch.testing.assert_close(together[number], single, rtol=1e-3, atol=1e-3)

    predictor = Predictor(model, device="cpu", tile_size=256)
    predictor.set_references(
        references_from_labels((LABELS[0] > 0).astype(np.uint8), STACK[0], frame=0),
        Normalisation.from_limits((0, 255), 1),
    )
    side_by_side = [STACK[2][..., None], STACK[1][..., None]]
    tiled = predictor.predict(np.hstack(side_by_side))[0] > 0.5
    alone = np.hstack([predictor.predict(frame)[0] > 0.5 for frame in side_by_side])
    assert (tiled & alone).sum() / (tiled | alone).sum() > 0.7
