"""Share of the mask decoder in the scene of the annotated frames and in others."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from napari_vrp_sam.models.base import EncodedReference, FrameFeatures, Prompts
from napari_vrp_sam.models.calibration import ClassCalibration
from napari_vrp_sam.models.lite.scenes import (
    OTHER_SCENE_SHARE,
    SIMILARITIES,
    decoder_shares,
    describe_scene,
    other_scene_share,
    share_in_scene,
)
from napari_vrp_sam.models.zoo.registry import load_model

SIDE = 64


def scene_at(similarity: float) -> Tensor:
    """Return a scene with a given similarity to (1, 0)."""
    return torch.tensor([similarity, (1 - similarity**2) ** 0.5])


def features_of(scene: Tensor) -> FrameFeatures:
    maps = (torch.zeros(1, 1, 8, 8), torch.zeros(1, 1, 8, 8), scene[None, :, None, None])
    return FrameFeatures((16, 16), torch.zeros(1, 1, 2, 2), maps)


@pytest.mark.parametrize(
    ("similarity", "expected"),
    [(1.0, 0.3), (SIMILARITIES[1], 0.3), (SIMILARITIES[0], None), (0.2, None)],
)
def test_the_share_rises_in_another_scene(similarity: float, expected: float | None) -> None:
    share = share_in_scene(0.3, scene_at(similarity), torch.tensor([[1.0, 0.0]]))
    assert float(share) == pytest.approx(expected or other_scene_share(0.3), abs=1e-5)
    assert other_scene_share(0.3) > 0.6


def test_the_share_changes_gradually() -> None:
    between = sum(SIMILARITIES) / 2
    share = share_in_scene(0.3, scene_at(between), torch.tensor([[1.0, 0.0]]))
    assert float(share) == pytest.approx((0.3 + other_scene_share(0.3)) / 2, abs=1e-5)


def test_the_most_similar_annotated_frame_counts() -> None:
    references = torch.stack([scene_at(0.1), torch.tensor([1.0, 0.0])])
    share = share_in_scene(0.3, torch.tensor([1.0, 0.0]), references)
    assert float(share) == pytest.approx(0.3)


@pytest.mark.parametrize("share", [0.01, 0.3, 0.8])
def test_the_share_never_falls_in_another_scene(share: float) -> None:
    assert share <= other_scene_share(share) <= max(share, OTHER_SCENE_SHARE)


def test_classes_without_scenes_keep_their_share() -> None:
    calibrations = (ClassCalibration(0.3), ClassCalibration(0.3), ClassCalibration(0.0))
    empty = torch.zeros(3, 0)
    scenes = (None, torch.tensor([[0.0, 1.0]]), torch.tensor([[0.0, 1.0]]))
    prompts = Prompts((1, 2, 3), empty, empty, calibrations=calibrations, scenes=scenes)
    first, second, third = decoder_shares(features_of(torch.tensor([1.0, 0.0])), prompts)
    assert first == 0.3
    assert float(second) == pytest.approx(other_scene_share(0.3))
    assert third == 0.0


def test_masks_have_scenes_and_other_annotations_have_none() -> None:
    model = load_model("lite", device="cpu")
    model.effort = 0.2
    features = model.encode(torch.rand(1, 3, SIDE, SIDE, generator=torch.manual_seed(0)))
    mask = torch.zeros(SIDE, SIDE)
    mask[10:30, 20:50] = 1
    references = [
        EncodedReference(features, mask, 1, frame=0),
        EncodedReference(features, mask, 2, kind="scribble", frame=0),
    ]
    of_mask, of_scribble = model.prompt(features, model.prepare(references)).scenes
    assert of_mask is not None
    torch.testing.assert_close(of_mask[0], describe_scene(features))
    assert of_scribble is None


def test_another_scene_is_decoded_with_a_larger_share() -> None:
    """The mixture on another frame lies nearer to the decoder than on the annotated one."""
    model = load_model("lite", device="cpu")
    model.effort = 0.2
    generator = torch.manual_seed(0)
    annotated = model.encode(torch.rand(1, 3, SIDE, SIDE, generator=generator))
    smooth = torch.linspace(0, 1, SIDE).expand(1, 3, SIDE, SIDE)
    other = model.encode(smooth.contiguous())
    mask = torch.zeros(SIDE, SIDE)
    mask[10:30, 20:50] = 1
    prepared = model.prepare([EncodedReference(annotated, mask, 1, frame=0)])
    same = decoder_shares(annotated, model.prompt(annotated, prepared))[0]
    prompts = model.prompt(other, prepared)
    assert float(decoder_shares(other, prompts)[0]) > float(same) + 0.05
    fixed = model.decode(other, Prompts(**{**vars(prompts), "scenes": ()}))
    assert not torch.allclose(model.decode(other, prompts), fixed)
