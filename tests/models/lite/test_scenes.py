"""Mask decoder and probes in the scene of the annotated frames and in others."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from napari_vrp_sam.models.base import EncodedReference, GridPosition, Prompts
from napari_vrp_sam.models.calibration import ClassCalibration
from napari_vrp_sam.models.lite.scenes import (
    ALIKE,
    OTHER_SCENE_SHARE,
    SIMILARITIES,
    decoder_shares,
    describe_scene,
    other_scene_share,
    plain_weight,
    similarity,
)
from napari_vrp_sam.models.zoo.registry import load_model

SIDE = 64


def scene_at(similarity: float) -> Tensor:
    """Return a scene with a given similarity to (1, 0)."""
    return torch.tensor([similarity, (1 - similarity**2) ** 0.5])


def share_at(similar: float | Tensor, share: float = 0.3) -> float:
    """Return the share of the mask decoder on a frame of a class."""
    empty = torch.zeros(1, 0)
    calibrations = (ClassCalibration(share),)
    prompts = Prompts((1,), empty, empty, calibrations=calibrations, similarities=(similar,))
    return float(decoder_shares(prompts)[0])


@pytest.mark.parametrize(
    ("similar", "same"),
    [
        (1.0, 1.0),
        (SIMILARITIES[1], 1.0),
        (sum(SIMILARITIES) / 2, 0.5),
        (SIMILARITIES[0], 0.0),
        (0.2, 0.0),
    ],
)
def test_the_share_rises_gradually_in_another_scene(similar: float, same: float) -> None:
    expected = 0.3 * same + other_scene_share(0.3) * (1 - same)
    assert share_at(similar) == pytest.approx(expected)
    assert share_at(torch.tensor(similar)) == pytest.approx(expected, abs=1e-5)
    assert share_at(similar, 0.0) == 0.0
    assert other_scene_share(0.3) > 0.6


@pytest.mark.parametrize(
    ("similar", "expected"), [(1.0, 1.0), (ALIKE[1], 1.0), (sum(ALIKE) / 2, 0.5), (ALIKE[0], 0.0)]
)
def test_trees_without_views_lose_their_weight_gradually(similar: float, expected: float) -> None:
    assert plain_weight(similar) == pytest.approx(expected)
    assert float(plain_weight(torch.tensor(similar))) == pytest.approx(expected, abs=1e-5)


def test_the_most_similar_annotated_frame_counts() -> None:
    references = torch.stack([scene_at(0.1), torch.tensor([1.0, 0.0])])
    assert float(similarity(torch.tensor([1.0, 0.0]), references)) == 1.0
    assert float(similarity(scene_at(0.6), references[1:])) == pytest.approx(0.6)


@pytest.mark.parametrize("share", [0.01, 0.3, 0.8])
def test_the_share_never_falls_in_another_scene(share: float) -> None:
    assert share <= other_scene_share(share) <= max(share, OTHER_SCENE_SHARE)


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
    of_mask, of_scribble = model.prepare(references)
    assert of_mask.scenes is not None
    torch.testing.assert_close(of_mask.scenes[0], describe_scene(features))
    assert of_mask.conditioning.probe.plain is not None
    assert of_scribble.scenes is None
    assert of_scribble.conditioning.probe.plain is None


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
    same = decoder_shares(model.prompt(annotated, prepared))[0]
    prompts = model.prompt(other, prepared)
    assert float(decoder_shares(prompts)[0]) > float(same) + 0.05
    fixed = model.decode(other, replace(prompts, similarities=(1.0,)))
    assert not torch.allclose(model.decode(other, prompts), fixed)


def test_trees_without_views_are_used_on_frames_that_are_alike_only() -> None:
    model = load_model("lite", device="cpu")
    model.effort = 0.2
    annotated = model.encode(torch.rand(1, 3, SIDE, SIDE, generator=torch.manual_seed(0)))
    smooth = torch.linspace(0, 1, SIDE).expand(1, 3, SIDE, SIDE).contiguous()
    mask = torch.zeros(SIDE, SIDE)
    mask[10:30, 20:50] = 1
    (prepared,) = model.prepare([EncodedReference(annotated, mask, 1, frame=0)])
    probe = prepared.conditioning.probe
    without = replace(prepared.conditioning, probe=replace(probe, plain=None))
    for features, used in ((annotated, True), (model.encode(smooth), False)):
        given = model.prompt(features, [prepared]).pseudo_mask
        fewer = model.prompt(features, [replace(prepared, conditioning=without)]).pseudo_mask
        assert torch.equal(given, fewer) is not used


def test_a_tile_belongs_to_the_scene_of_its_frame() -> None:
    """Not to its own, which differs from tile to tile."""
    model = load_model("lite", device="cpu")
    model.effort = 0.2
    annotated = model.encode(torch.rand(1, 3, SIDE, SIDE, generator=torch.manual_seed(0)))
    smooth = model.encode(torch.linspace(0, 1, SIDE).expand(1, 3, SIDE, SIDE).contiguous())
    mask = torch.zeros(SIDE, SIDE)
    mask[10:30, 20:50] = 1
    prepared = model.prepare([EncodedReference(annotated, mask, 1, frame=0)])
    place, cells = GridPosition(0, 0, (8, 8)), (slice(0, 8), slice(0, 8))
    context = model.frame_context([model.tile_context(annotated, prepared, place, cells)], prepared)
    assert float(model.prompt(smooth, prepared).similarities[0]) < SIMILARITIES[0]
    prompts = model.prompt_tile(smooth, prepared, (context, place))
    assert float(prompts.similarities[0]) == pytest.approx(1)
    assert prompts.frame_context == (context, place)
