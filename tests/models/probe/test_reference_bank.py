"""Similarity to the class and to the background, on synthetic maps."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from napari_vrp_sam.models.base import FrameFeatures
from napari_vrp_sam.models.probe import reference_bank as module
from napari_vrp_sam.models.probe.encoded_shots import Shot, make_shot
from napari_vrp_sam.models.probe.reference_bank import TOKENS, build_bank

LEVELS = (2, 3)
SIDE = 64


def synthetic_features(inside: Tensor, seed: int) -> FrameFeatures:
    """Maps with one direction inside the class and another outside, plus noise."""
    generator = torch.Generator().manual_seed(seed)
    directions = torch.randn(2, 8, generator=torch.Generator().manual_seed(0))
    maps = []
    for stride in (2, 4, 8, 16, 32):
        share = F.avg_pool2d(inside[:, None], stride)
        values = share * directions[1, :, None, None] + (1 - share) * directions[0, :, None, None]
        maps.append(values + 0.3 * torch.randn(values.shape, generator=generator))
    embedding = torch.zeros(len(inside), 1, SIDE // 8, SIDE // 8)
    return FrameFeatures((SIDE, SIDE), embedding, tuple(maps))


def square(top: int, left: int, side: int = 32) -> Tensor:
    mask = torch.zeros(1, SIDE, SIDE)
    mask[:, top : top + side, left : left + side] = 1
    return mask


def annotated(features: FrameFeatures, masks: Tensor) -> Shot:
    return make_shot(features, features.semantic, masks, ["mask"] * len(masks))


def shot(mask: Tensor, seed: int = 1) -> Shot:
    return annotated(synthetic_features(mask, seed), mask)


def maps_of(features: FrameFeatures) -> list[Tensor]:
    return [features.semantic[level] for level in LEVELS]


def test_the_class_is_more_similar_to_itself_than_to_the_background() -> None:
    reference, target = square(0, 0), square(16, 32)
    bank = build_bank([shot(reference)], LEVELS)
    similarity = bank.similarity(maps_of(synthetic_features(target, seed=2)), (8, 8))
    assert similarity.shape == (1, 4, 8, 8)
    assert similarity.abs().max() <= 1 + 1e-5
    inside = F.avg_pool2d(target, 8)[0] > 0.99
    outside = F.avg_pool2d(target, 8)[0] == 0
    for level in range(2):
        to_class, to_background = similarity[0, 2 * level : 2 * level + 2]
        assert (to_class - to_background)[inside].mean() > 0.3
        assert (to_class - to_background)[outside].mean() < -0.3


def test_banks_are_reproducible_and_depend_on_the_generator() -> None:
    references = [shot(square(8, 8))]
    first, again = build_bank(references, LEVELS), build_bank(references, LEVELS)
    other = build_bank(references, LEVELS, generator=torch.Generator().manual_seed(1))
    assert torch.equal(first.foreground[0], again.foreground[0])
    assert not torch.equal(first.foreground[0], other.foreground[0])


def test_a_class_smaller_than_the_bank_fills_it() -> None:
    """All tokens are those of the only cell of the class."""
    reference = shot(square(16, 24, side=8))
    tokens = build_bank([reference], (2,)).foreground[0][0]
    cells = reference.features.semantic[2][0]
    values = cells.flatten(1)
    standard = (cells[:, 2, 3] - values.mean(1)) / (values.std(1, correction=0) + 1e-3)
    assert tokens.shape == (TOKENS, 8)
    torch.testing.assert_close(tokens, F.normalize(standard, dim=0).expand(TOKENS, -1))


def test_a_cell_half_covered_is_drawn_half_as_often() -> None:
    mask = torch.zeros(1, SIDE, SIDE)
    mask[:, :8, :12] = 1  # a cell and a half at stride 8
    tokens = build_bank([shot(mask)], (2,)).foreground[0][0]
    _, counts = tokens.unique(dim=0, return_counts=True)
    assert len(counts) == 2
    assert float(counts.max() / counts.min()) == pytest.approx(2, rel=0.2)


def test_several_references_fill_one_bank() -> None:
    """Two appearances of a class on two frames are both recognised."""
    mask = square(0, 0)
    one, two = shot(mask, seed=1), shot(mask, seed=1)
    two.features.semantic[2].neg_()
    frames = [maps_of(s.features)[:1] for s in (one, two)]
    inside = F.avg_pool2d(mask, 8)[0] > 0.99

    def recognised(references: list[Shot]) -> list[float]:
        bank = build_bank(references, (2,))
        maps = (bank.similarity(frame, (8, 8))[0] for frame in frames)
        return [float((m[0] - m[1])[inside].mean()) for m in maps]

    alone, together = recognised([one]), recognised([one, two])
    assert alone[0] > 0.3
    assert alone[1] < 0
    assert min(together) > alone[1] + 0.3


def test_one_target_is_shared_by_all_classes() -> None:
    masks = torch.cat([square(0, 0), 1 - square(0, 0)])
    frames = synthetic_features(square(0, 0).expand(2, -1, -1), seed=1)
    bank = build_bank([annotated(frames, masks)], LEVELS)
    target = synthetic_features(square(16, 16), seed=2)
    shared = bank.similarity(maps_of(target), (8, 8))
    twice = bank.similarity([m.expand(2, -1, -1, -1) for m in maps_of(target)], (8, 8))
    torch.testing.assert_close(shared, twice)
    assert not torch.allclose(shared[0], shared[1])


def test_comparing_a_target_in_chunks_does_not_change_the_result(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bank = build_bank([shot(square(0, 0))], LEVELS)
    target = maps_of(synthetic_features(square(16, 32), seed=2))
    at_once = bank.similarity(target, (8, 8))
    monkeypatch.setattr(module, "CELLS", 7)
    torch.testing.assert_close(bank.similarity(target, (8, 8)), at_once)
