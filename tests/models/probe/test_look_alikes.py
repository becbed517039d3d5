"""Unmarked objects that look like the marked ones, on toy frames of nine blobs."""

from __future__ import annotations

import pytest
import torch
from tests.models.probe.test_pseudo_labels import (
    RECIPE,
    blobs,
    features_of,
    frame,
    shot_with_maps,
)
from torch import Tensor

from napari_vrp_sam.models.calibration import LookAlikes
from napari_vrp_sam.models.probe.look_alikes import find_look_alikes


def search(marked: list[int], target: Tensor, kind: str = "mask") -> LookAlikes | None:
    mask = blobs(marked)[None].float() if marked else torch.zeros(1, *target.shape[2:])
    return find_look_alikes(shot_with_maps(features_of(target), mask, [kind]), RECIPE, 5)


@pytest.mark.parametrize("seed", [0, 2])
def test_unmarked_blobs_are_counted(seed: int) -> None:
    found = search([0, 2, 4, 6], frame({}, seed=seed))
    assert found == LookAlikes(5, 4, 5)
    assert "About 5 more objects look like the 4 that are marked" in str(found)


@pytest.mark.parametrize("seed", range(3))
def test_a_complete_mask_gives_no_warning(seed: int) -> None:
    assert search(list(range(9)), frame({}, seed=seed)) is None
    # The others are darker.
    others = dict.fromkeys((6, 7, 8), 0.5)
    assert search(list(range(6)), frame(others, seed=seed)) is None


@pytest.mark.parametrize("kind", ["partial", "scribble", "box"])
def test_other_kinds_are_not_searched(kind: str) -> None:
    assert search([0, 4, 5], frame({}), kind) is None


def test_too_few_marked_objects_are_not_searched() -> None:
    assert search([], frame({})) is None
    assert search([0, 4], frame({})) is None
