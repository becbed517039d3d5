"""Sets of weights in training."""

from __future__ import annotations

import torch

from napari_vrp_sam.fine_tuning.recipe import FineTuningRecipe
from napari_vrp_sam.fine_tuning.tunable.candidate import Candidate
from napari_vrp_sam.models.heads.dense_head import HeadSettings
from napari_vrp_sam.models.lite.dense_head import LiteHead


def test_inference_between_steps_uses_the_present_weights():
    torch.manual_seed(0)
    head = LiteHead(HeadSettings((1,))).requires_grad_(requires_grad=True)
    frame = torch.rand(1, 3, 64, 64)
    recipe = FineTuningRecipe(clip=1e9)
    candidate = Candidate(dict(head.named_parameters()), recipe, lambda _: 0.01)
    for _ in range(3):
        candidate.activate()
        head(frame).square().mean().backward()
        candidate.update(1.0)
        candidate.activate()
        expected = head(frame)  # with gradients, the backbone is not folded
        with torch.no_grad():
            torch.testing.assert_close(head(frame), expected.detach(), atol=1e-3, rtol=1e-3)
