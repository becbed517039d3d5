"""What the loss sees: calibrations of the probe, and the IoU beside it."""

import pytest
import torch

from napari_vrp_sam.training import objective


def test_iou_of_a_mask() -> None:
    truth = torch.zeros(3, 4, 4)
    truth[0, :2], truth[1, :2] = 1, 1
    logits = torch.full((3, 4, 4), -1.0)
    logits[0, 1:3] = 1
    valid = torch.ones(3, 4, 4, dtype=torch.bool)
    # Half found and as much again invented; nothing found; nothing there and nothing found.
    torch.testing.assert_close(
        objective.mask_iou(logits, truth, valid), torch.tensor([1 / 3, 0.0, 1.0])
    )
    valid[0, 2] = False
    assert objective.mask_iou(logits, truth, valid)[0] == 0.5


def test_the_decoder_sees_probes_of_any_calibration_and_none() -> None:
    torch.manual_seed(0)
    logits = torch.linspace(-4, 4, 100).reshape(1, 1, 10, 10).expand(4000, 1, 10, 10)
    seen = objective.recalibrated(logits).flatten(1)
    gone = (seen == 0).all(dim=1)
    assert gone.float().mean() == pytest.approx(objective.UNPROBED, abs=0.02)
    left = seen[~gone]
    scale = (left[:, -1] - left[:, 0]) / 8
    torch.testing.assert_close(scale.log().std(), torch.tensor(objective.STEEPER), rtol=0.1, atol=0)
    torch.testing.assert_close(
        left.mean(dim=1).std(), torch.tensor(objective.SHIFTED), rtol=0.1, atol=0
    )
