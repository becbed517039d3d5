import pytest
import torch

from napari_vrp_sam.training import objective


def test_iou_of_a_mask() -> None:
    ground_truth = torch.zeros(3, 4, 4)
    ground_truth[0, :2], ground_truth[1, :2] = 1, 1
    logits = torch.full((3, 4, 4), -1.0)
    logits[0, 1:3] = 1
    valid = torch.ones(3, 4, 4, dtype=torch.bool)
    # Half of it found plus as many false positives; nothing found; an empty mask found empty.
    torch.testing.assert_close(
        objective.mask_iou(logits, ground_truth, valid), torch.tensor([1 / 3, 0.0, 1.0])
    )
    valid[0, 2] = False
    assert objective.mask_iou(logits, ground_truth, valid)[0] == 0.5


def test_probe_logits_are_rescaled_shifted_and_dropped_at_random() -> None:
    torch.manual_seed(0)
    logits = torch.linspace(-4, 4, 100).reshape(1, 1, 10, 10).expand(4000, 1, 10, 10)
    jittered = objective.jitter_calibration(logits).flatten(1)
    dropped = (jittered == 0).all(dim=1)
    assert dropped.float().mean() == pytest.approx(objective.PROBE_DROPOUT, abs=0.02)
    kept = jittered[~dropped]
    scale = (kept[:, -1] - kept[:, 0]) / 8
    torch.testing.assert_close(
        scale.log().std(), torch.tensor(objective.LOG_SCALE_STD), rtol=0.1, atol=0
    )
    torch.testing.assert_close(
        kept.mean(dim=1).std(), torch.tensor(objective.OFFSET_STD), rtol=0.1, atol=0
    )
