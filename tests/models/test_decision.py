"""Decision rules: threshold with the highest expected IoU, and edges that follow the image."""

from __future__ import annotations

import pytest
import torch

from napari_vrp_sam.models.decision import (
    LOWEST,
    SHARPNESS,
    follow_edges,
    guided_filter,
    shift_to_best_threshold,
)


def expected_iou(probability: torch.Tensor, mask: torch.Tensor) -> float:
    overlap = probability[mask].sum()
    return float(overlap / (mask.sum() + probability.sum() - overlap))


@pytest.mark.parametrize("seed", range(4))
def test_the_mask_has_the_highest_expected_iou(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    logits = 2 * torch.randn(1, 40, 60, generator=generator) - seed
    probability = (SHARPNESS * logits).double().sigmoid()
    reached = expected_iou(probability, shift_to_best_threshold(logits.clone()) > 0)
    thresholds = torch.linspace(LOWEST, 0.99, 200)
    best = max(expected_iou(probability, probability > t) for t in thresholds)
    assert reached > best - 0.003


def test_each_class_and_frame_has_its_own_threshold() -> None:
    logits = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    together = shift_to_best_threshold(logits.clone())
    for b in range(2):
        for k in range(3):
            torch.testing.assert_close(
                together[b, k], shift_to_best_threshold(logits[b, k].clone())
            )


def test_frames_without_the_class_stay_empty() -> None:
    logits = torch.randn(1, 64, 64, generator=torch.Generator().manual_seed(0)).clamp(-2, 2) - 5
    assert not bool((shift_to_best_threshold(logits) > 0).any())


def test_large_frames_are_counted_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    logits = torch.randn(2, 50, 70, generator=torch.Generator().manual_seed(0))
    whole = shift_to_best_threshold(logits.clone())
    monkeypatch.setattr("napari_vrp_sam.models.decision.PIXELS_AT_ONCE", 333)
    torch.testing.assert_close(shift_to_best_threshold(logits.clone()), whole)


def test_the_guided_filter_keeps_what_is_linear_in_the_guide() -> None:
    guide = torch.rand(1, 1, 30, 40, generator=torch.Generator().manual_seed(0))
    logits = torch.cat([3 * guide - 1, torch.full_like(guide, 2.0)])
    filtered = guided_filter(logits, guide, radius=4, eps=1e-8)
    torch.testing.assert_close(filtered, logits, atol=1e-3, rtol=1e-3)


def test_edges_move_towards_those_of_the_image() -> None:
    intensities = torch.zeros(1, 15, 32, 32)
    intensities[..., 16:] = 1
    logits = torch.full((1, 1, 32, 32), -2.0)
    logits[..., 19:] = 2  # three cells beside the edge of the image
    before = logits[..., 16:19].mean()
    assert follow_edges(logits, intensities, [0.5])[..., 16:19].mean() > before + 1
