"""Prompts per object and their merged masks."""

from __future__ import annotations

import numpy as np
import torch
from segment_anything import SamPredictor
from segment_anything.modeling import Sam
from torch import Tensor

from napari_vrp_sam.models.base import FrameFeatures
from napari_vrp_sam.models.sam.objects.candidates import find_candidates
from napari_vrp_sam.models.sam.objects.prompts import (
    DECODED_AT_ONCE,
    class_candidates,
    merge_objects,
    sam_decoder,
)

SIDE = 64


def pseudo_mask(*boxes: tuple[int, int, int, int], side: int = SIDE) -> Tensor:
    logits = torch.full((1, 1, side, side), -4.0)
    for left, top, right, bottom in boxes:
        logits[..., top:bottom, left:right] = 3
    return logits


def test_answer_with_the_highest_predicted_iou_counts() -> None:
    logits = torch.cat(
        [pseudo_mask((8, 8, 20, 20), (30, 30, 50, 50)), pseudo_mask((8, 40, 20, 52))]
    )
    candidates = class_candidates(logits, [1.0, 1.0])
    assert [len(c) for c in candidates] == [2, 1]

    def decode(points: Tensor, boxes: Tensor, prompts: Tensor) -> tuple[Tensor, Tensor]:
        # The first answer is bad, the second one the box itself with logit 6.
        masks = torch.full((len(points), 2, SIDE, SIDE), -6.0)
        for mask, (left, top, right, bottom) in zip(masks[:, 1], boxes.int().tolist(), strict=True):
            mask[top:bottom, left : right + 1] = 6
        assert ((prompts[:, 0] > 0).sum((1, 2)) > 0).all()
        return masks, torch.tensor([0.2, 0.5]).expand(len(points), -1)

    merged = merge_objects(logits, candidates, decode)
    assert merged.shape == logits.shape
    assert merged[0, 0, 10, 10] == 3.0  # 6 times the predicted IoU
    assert merged[0, 0, 10, 20] == 3.0  # SAM's object is larger than the candidate
    assert merged[0, 0, 10, 21] == -3.0
    assert merged[0, 0, 60, 60] == -4.0  # beyond all boxes the pseudo-mask remains
    assert merged[1, 0, 45, 12] == 3.0
    assert merged[1, 0, 10, 10] == -4.0  # objects belong to their class


def test_classes_without_a_share_have_no_candidates() -> None:
    logits = pseudo_mask((8, 8, 20, 20))
    (candidates,) = class_candidates(logits, [0.0])
    assert len(candidates) == 0
    merged = merge_objects(logits, [candidates], lambda *_: (_ for _ in ()).throw(AssertionError))
    assert torch.equal(merged, logits)


@torch.inference_mode()
def test_masks_equal_those_of_sams_predictor(tiny_sam: Sam) -> None:
    """More objects than a batch, on a frame with padding."""
    rows, columns = 64, 40
    boxes = [(x, y, x + 5, y + 5) for x in range(1, 34, 7) for y in range(1, 57, 7)]
    logits = pseudo_mask(*boxes)[..., :columns]
    candidates = find_candidates(logits[0, 0].sigmoid().numpy())
    assert len(candidates) > 2 * DECODED_AT_ONCE

    predictor = SamPredictor(tiny_sam)
    frame = np.random.default_rng(0).integers(0, 255, (256, 160, 3), np.uint8)
    predictor.set_image(frame)
    features = FrameFeatures((256, 160), predictor.get_image_embedding(), ())
    decode = sam_decoder(tiny_sam, features, (rows, columns))
    ours = []

    def recorded(*given: Tensor) -> tuple[Tensor, Tensor]:
        ours.append(decode(*given))
        return ours[-1]

    merge_objects(logits, [candidates], recorded)
    masks, quality = (torch.cat(parts) for parts in zip(*ours, strict=True))
    for number in (0, len(candidates) - 1):
        prompt = np.full((1, 64, 64), -8.0, np.float32)
        inside = candidates.masks[number]
        prompt[0, :, :columns][inside] = logits[0, 0].numpy()[inside]
        _, expected_iou, expected = predictor.predict(
            point_coords=4 * (candidates.points[number : number + 1] + 0.5),
            point_labels=np.ones(1),
            box=4 * candidates.boxes[number],
            mask_input=prompt,
            multimask_output=True,
            return_logits=True,
        )
        np.testing.assert_allclose(quality[number, 1:], expected_iou, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(masks[number, 1:], expected[..., :columns], rtol=1e-3, atol=1e-4)
