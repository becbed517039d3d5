"""Unmarked objects that look like the marked ones, on toy frames of nine blobs."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import ndimage
from tests.models.probe.test_pseudo_labels import (
    RECIPE,
    blobs,
    features_of,
    frame,
    shot_with_maps,
)
from torch import Tensor

from napari_vrp_sam.inference.frames import Frames
from napari_vrp_sam.inference.normalisation import fit_normalisation
from napari_vrp_sam.io.samples import sample_nuclei, sample_stack
from napari_vrp_sam.models.base import EncodedReference
from napari_vrp_sam.models.calibration import LookAlikes
from napari_vrp_sam.models.lite.parts import PROBE_RECIPE
from napari_vrp_sam.models.probe.encoded_shots import shot_from_reference
from napari_vrp_sam.models.probe.look_alikes import find_look_alikes
from napari_vrp_sam.models.zoo.registry import load_model


def search(marked: list[int], target: Tensor, kind: str = "mask") -> LookAlikes | None:
    mask = blobs(marked)[None].float() if marked else torch.zeros(1, *target.shape[2:])
    return find_look_alikes(shot_with_maps(features_of(target), mask, [kind]), RECIPE, 5)


@pytest.mark.parametrize("seed", [0, 2])
def test_unmarked_blobs_are_counted(seed: int) -> None:
    found = search([0, 2, 4, 6], frame({}, seed=seed))
    assert found == LookAlikes(5, 4, 5)
    assert str(found).startswith("More objects look like the 4 that are marked.")


@pytest.mark.parametrize("seed", range(3))
def test_a_complete_mask_gives_no_warning(seed: int) -> None:
    assert search(list(range(9)), frame({}, seed=seed)) is None
    # The others are darker.
    others = dict.fromkeys((6, 7, 8), 0.5)
    assert search(list(range(6)), frame(others, seed=seed)) is None


def test_similar_things_that_a_probe_can_tell_from_the_class_give_no_warning() -> None:
    """Other blobs are slightly brighter than the marked ones, which are all of their class."""
    for marked in ([0, 1, 2], [0, 1, 2, 3], [0, 4, 8]):
        others = {number: 0.9 for number in range(9) if number not in marked}
        assert search(marked, frame(others)) is None
        assert search(marked, frame({})) is not None


def test_a_few_look_alikes_of_a_few_objects_give_no_warning() -> None:
    darker = dict.fromkeys((6, 7, 8), 0.3)
    assert search([0, 1, 2], frame(darker)) is None


@pytest.mark.parametrize("kind", ["partial", "scribble", "box"])
def test_other_kinds_are_not_searched(kind: str) -> None:
    assert search([0, 4, 5], frame({}), kind) is None


def test_too_few_marked_objects_are_not_searched() -> None:
    assert search([], frame({})) is None
    assert search([4], frame({})) is None


@pytest.mark.parametrize("marked", range(2, 5))
def test_few_marked_objects_of_many(marked: int) -> None:
    """From two objects on, whichever they are."""
    for seed in range(2):
        numbers = [(4 * number + seed) % 9 for number in range(marked)]
        assert search(numbers, frame({}, seed=seed)) is not None


@pytest.mark.slow
def test_the_warning_of_generated_stacks_is_reliable() -> None:
    """It comes for two or three objects to half of them, and not for all."""
    for image, truth, counts in (
        (*(part[12] for part in sample_stack(seed=0)), range(3, 12)),
        (*(part[10] for part in sample_nuclei(seed=0)), (2, 3, 4, 5, 6, 8, 12, 16, 24)),
    ):
        objects, total = ndimage.label(truth > 0)
        sizes = ndimage.sum_labels(truth > 0, objects, range(1, total + 1))
        by_size = np.argsort(-sizes) + 1
        planes = torch.from_numpy(fit_normalisation(Frames(image, "YX")).apply(image[..., None]))
        features = load_model("lite").encode(planes[None])
        found = {}
        for count in (*counts, total):
            mask = np.isin(objects, by_size[:count]).astype(np.float32)
            reference = EncodedReference(features, torch.from_numpy(mask), 1, image=planes)
            shot = shot_from_reference(reference, [])
            found[count] = find_look_alikes(shot, PROBE_RECIPE) is not None
        assert found == {**dict.fromkeys(counts, True), total: False}
