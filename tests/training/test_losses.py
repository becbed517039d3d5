import pytest
import torch

from napari_vrp_sam.training.losses import bce_loss, dice_loss, segmentation_loss


def test_dice_loss_matches_the_formula_of_the_paper() -> None:
    logits = torch.tensor([[[0.0, 0.0], [0.0, 0.0]]])
    masks = torch.tensor([[[1.0, 0.0], [0.0, 0.0]]])
    # sum(p g) = 0.5, sum(p) = 2, sum(g) = 1
    assert dice_loss(logits, masks).item() == pytest.approx(1 - (2 * 0.5 + 1) / (2 + 1 + 1))


def test_a_perfect_prediction_has_no_loss_even_for_an_empty_mask() -> None:
    masks = torch.zeros(2, 1, 8, 8)
    masks[0, 0, :4] = 1
    assert segmentation_loss((masks - 0.5) * 200, masks).item() == pytest.approx(0, abs=1e-6)


def test_loss_is_cross_entropy_dice_or_their_sum() -> None:
    logits, masks = torch.randn(2, 3, 8, 8), (torch.rand(2, 3, 8, 8) > 0.5).float()
    bce, dice = bce_loss(logits, masks), dice_loss(logits, masks)
    torch.testing.assert_close(segmentation_loss(logits, masks), bce + dice)
    torch.testing.assert_close(segmentation_loss(logits, masks, kind="bce"), bce)
    torch.testing.assert_close(segmentation_loss(logits, masks, kind="dice"), dice)


def test_ignored_pixels_do_not_influence_the_loss() -> None:
    torch.manual_seed(0)
    logits, masks = torch.randn(1, 1, 8, 8), (torch.rand(1, 1, 8, 8) > 0.5).float()
    valid = torch.ones(1, 1, 8, 8, dtype=torch.bool)
    valid[..., 4:] = False
    wrong = logits.clone()
    wrong[..., 4:] = 50
    loss = segmentation_loss(logits, masks, valid)
    torch.testing.assert_close(segmentation_loss(wrong, masks, valid), loss)
    torch.testing.assert_close(loss, segmentation_loss(logits[..., :4], masks[..., :4]))


def test_a_mask_without_valid_pixels_has_no_gradient() -> None:
    logits = torch.randn(1, 1, 4, 4, requires_grad=True)
    valid = torch.zeros(1, 1, 4, 4, dtype=torch.bool)
    segmentation_loss(logits, torch.ones(1, 1, 4, 4), valid).backward()
    assert logits.grad is not None
    assert logits.grad.abs().max() == 0
