"""Held-out IoU, and references of the validation."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from napari_vrp_sam.annotations.reference import Reference
from napari_vrp_sam.fine_tuning.data.annotated_frames import annotated_frames
from napari_vrp_sam.fine_tuning.tunable.base import choose_references, held_out_iou
from napari_vrp_sam.inference.normalisation import Normalisation


def test_unknown_pixels_do_not_count():
    rows, columns = np.indices((96, 128))
    disc = np.hypot(rows - 48, columns - 60) < 24
    ignored = np.zeros(disc.shape, bool)
    ignored[:48] = True
    reference = Reference(np.zeros(disc.shape, np.uint8), disc, 2, "mask", 0, ignored)
    (frame,) = annotated_frames([reference], Normalisation((0.0,), (255.0,)))
    logits = torch.full((2, *disc.shape), -1.0)
    logits[0] = 1.0  # class 1 is not annotated on the frame
    logits[1][torch.from_numpy(disc)] = 1.0
    logits[1, :48] = 1.0  # ignored pixels
    assert held_out_iou(logits, [1, 2], frame) == [1.0]
    logits[1, 72:] = 1.0
    lower = np.count_nonzero(disc[48:])
    assert held_out_iou(logits, [1, 2], frame) == [pytest.approx(lower / (lower + 24 * 128))]


def test_validation_has_few_references_but_all_classes():
    rows, columns = np.indices((64, 64))
    disc = np.hypot(rows - 32, columns - 32) < 12
    references = [
        Reference(np.zeros(disc.shape, np.uint8), disc, 2 if number == 5 else 1, "mask", number)
        for number in range(8)
    ]
    frames = annotated_frames(references, Normalisation((0.0,), (255.0,)))
    chosen = choose_references(frames, [1, 2], 3)
    assert [frame.informative_classes for frame in chosen] == [{1}, {1}, {2}]
    assert len(choose_references(frames, [1, 2], 100)) == 8
    assert len(choose_references(frames, [1, 2], 1)) == 2
