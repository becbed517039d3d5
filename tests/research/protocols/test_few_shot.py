"""The paper's protocol: which pairs are drawn, and what they are worth."""

from __future__ import annotations

import numpy as np
import pytest
from tests.few_shot_data import write_pascal

from napari_vrp_sam.errors import InputError
from napari_vrp_sam.research.datasets.open import open_few_shot
from napari_vrp_sam.research.protocols.few_shot import (
    FewShotScores,
    evaluate_fold,
    evaluate_methods,
    pairs,
)


@pytest.fixture
def data(tmp_path):
    return open_few_shot("pascal5i", write_pascal(tmp_path))


def plainly(episodes):
    """mIoU and FB-IoU pixel by pixel, as the paper's code counts them."""
    counts: dict[int, list[int]] = {}
    for class_id, found, truth in episodes:
        of_class = counts.setdefault(class_id, [0, 0, 0, 0])
        for mine, wanted in zip(found.ravel().tolist(), truth.ravel().tolist(), strict=True):
            if wanted == 255:
                continue
            of_class[0] += mine and wanted == 1
            of_class[1] += mine or wanted == 1
            of_class[2] += not mine and wanted == 0
            of_class[3] += not mine or wanted == 0
    mean = sum(c[0] / c[1] for c in counts.values()) / len(counts)
    totals = [sum(column) for column in zip(*counts.values(), strict=True)]
    return mean, (totals[0] / totals[1] + totals[2] / totals[3]) / 2


def test_scores_are_those_of_counting_pixel_by_pixel():
    rng = np.random.default_rng(0)
    scores, episodes = FewShotScores((3, 5, 8)), []
    for number in range(12):
        shape = tuple(rng.integers(4, 9, 2))
        truth = rng.choice([0, 1, 255], shape, p=[0.6, 0.3, 0.1]).astype(np.uint8)
        found = rng.random(shape) < 0.4
        class_id = (3, 5)[number % 2]  # 8 is in no episode
        scores.add(class_id, found, truth)
        episodes.append((class_id, found, truth))
    mean, both = plainly(episodes)
    assert scores.mean_iou == pytest.approx(mean)
    assert scores.fb_iou == pytest.approx(both)
    assert scores.ious.keys() == {3, 5}
    assert np.isnan(FewShotScores((1,)).mean_iou)


def test_pairs_share_a_novel_class_and_no_image(data):
    drawn = list(pairs(data, 0, count=60, references=3))
    showing = data.showing("test")
    for pair in drawn:
        assert pair.class_id in (1, 2)
        assert len({pair.target, *pair.references}) == 4
        assert {pair.target, *pair.references} <= set(showing[pair.class_id])
    assert {pair.class_id for pair in drawn} == {1, 2}
    assert {pair.target for pair in drawn} == set(data.ids("test"))


def test_pascal_goes_through_its_images(data):
    """As the published loaders do: classes are as frequent as they are on the images."""
    targets = [pair.target for pair in pairs(data, 0, count=12)]
    assert targets == [*data.ids("test")] * 2 + [*data.ids("test")][:2]
    of_other_fold = {pair.target for pair in pairs(data, 1, count=4)}
    assert of_other_fold == set(data.showing("test")[6])


def test_pairs_depend_on_the_seed_alone(data):
    first = list(pairs(data, 0, count=20))
    assert list(pairs(data, 0, count=30))[:20] == first
    assert list(pairs(data, 0, count=20, seed=1)) != first
    assert next(iter(pairs(data, 1, count=2))).class_id == 6  # the only one of its fold
    with pytest.raises(InputError, match="No class of fold 1 is on more than 2 images"):
        next(pairs(data, 1, references=2))
    with pytest.raises(InputError, match="No class of fold 2"):
        next(pairs(data, 2))


@pytest.mark.parametrize("kind", ["mask", "box", "scribble", "point"])
def test_a_method_sees_the_annotation_and_is_measured_on_the_target(data, kind):
    seen = []

    def copied(image, references):
        seen.append(references)
        return references[0].mask > 0.5

    told = []
    scores = evaluate_fold(
        data, 0, copied, count=6, references=2, kind=kind,
        progress=lambda done, _: told.append(done),
    )  # fmt: skip
    assert told == [1, 2, 3, 4, 5, 6]
    drawn = list(pairs(data, 0, count=6, references=2))
    expected = []
    for pair, references in zip(drawn, seen, strict=True):
        for image_id, reference in zip(pair.references, references, strict=True):
            np.testing.assert_array_equal(reference.image, data.image("test", image_id))
            truth = data.mask("test", image_id, pair.class_id)
            assert reference.kind == kind
            assert (reference.mask > 0.5)[truth == 1].any()
            if kind == "mask":
                np.testing.assert_array_equal(reference.mask, truth == 1)
                np.testing.assert_array_equal(reference.ignored, truth == 255)
        found, truth = references[0].mask > 0.5, data.mask("test", pair.target, pair.class_id)
        expected.append((pair.class_id, found, truth))
    mean, both = plainly(expected)
    assert scores.mean_iou == pytest.approx(mean)
    assert scores.fb_iou == pytest.approx(both)
    both_ways = {"copied": copied, "nothing": lambda image, _: np.zeros(image.shape[:2], bool)}
    side_by_side = evaluate_methods(data, 0, both_ways, count=6, references=2, kind=kind)
    assert side_by_side["copied"].ious == scores.ious
    assert side_by_side["nothing"].mean_iou == 0
    again = evaluate_fold(data, 0, copied, count=6, references=2, kind=kind)
    assert again.mean_iou == scores.mean_iou


def test_other_classes_than_those_of_the_fold(data):
    """Fold 0 of COCO-20i holds person and aeroplane; bicycle was learned from its other folds."""
    classes = data.novel_to("coco20i", 0)
    drawn = list(pairs(data, 0, classes=classes, count=20))
    assert {pair.class_id for pair in drawn} == {1}
    everywhere = {"": lambda image, _: np.ones(image.shape[:2], bool)}
    scores = evaluate_methods(data, 0, everywhere, classes=classes)
    assert scores[""].ious.keys() == {1}
