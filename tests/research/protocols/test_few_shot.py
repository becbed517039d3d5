from __future__ import annotations

import numpy as np
import pytest
from tests.few_shot_data import write_pascal

from napari_vrp_sam.errors import InputError
from napari_vrp_sam.research.datasets.open import open_benchmark
from napari_vrp_sam.research.protocols.few_shot import (
    FewShotScores,
    evaluate_methods,
    sample_episodes,
)


@pytest.fixture
def data(tmp_path):
    return open_benchmark("pascal5i", write_pascal(tmp_path))


def scores_by_pixel(episodes):
    """Compute mIoU and FB-IoU pixel by pixel."""
    counts: dict[int, list[int]] = {}
    for class_id, prediction, labels in episodes:
        of_class = counts.setdefault(class_id, [0, 0, 0, 0])
        for predicted, expected in zip(
            prediction.ravel().tolist(), labels.ravel().tolist(), strict=True
        ):
            if expected == 255:
                continue
            of_class[0] += predicted and expected == 1
            of_class[1] += predicted or expected == 1
            of_class[2] += not predicted and expected == 0
            of_class[3] += not predicted or expected == 0
    mean = sum(c[0] / c[1] for c in counts.values()) / len(counts)
    totals = [sum(column) for column in zip(*counts.values(), strict=True)]
    return mean, (totals[0] / totals[1] + totals[2] / totals[3]) / 2


def test_scores_equal_those_computed_pixel_by_pixel():
    rng = np.random.default_rng(0)
    scores, episodes = FewShotScores((3, 5, 8)), []
    for number in range(12):
        shape = tuple(rng.integers(4, 9, 2))
        labels = rng.choice([0, 1, 255], shape, p=[0.6, 0.3, 0.1]).astype(np.uint8)
        prediction = rng.random(shape) < 0.4
        class_id = (3, 5)[number % 2]  # 8 does not occur
        scores.add(class_id, prediction, labels)
        episodes.append((class_id, prediction, labels))
    mean, both = scores_by_pixel(episodes)
    assert scores.mean_iou == pytest.approx(mean)
    assert scores.fb_iou == pytest.approx(both)
    assert scores.ious.keys() == {3, 5}
    assert np.isnan(FewShotScores((1,)).mean_iou)


def test_episodes_share_a_novel_class_but_no_image(data):
    drawn = list(sample_episodes(data, 0, count=60, references=3))
    by_class = data.images_by_class("test")
    for episode in drawn:
        assert episode.class_id in (1, 2)
        assert len({episode.target, *episode.references}) == 4
        assert {episode.target, *episode.references} <= set(by_class[episode.class_id])
    assert {episode.class_id for episode in drawn} == {1, 2}
    assert {episode.target for episode in drawn} == set(data.image_ids("test"))


def test_pascal_iterates_over_its_images(data):
    targets = [episode.target for episode in sample_episodes(data, 0, count=12)]
    assert targets == [*data.image_ids("test")] * 2 + [*data.image_ids("test")][:2]
    of_other_fold = {episode.target for episode in sample_episodes(data, 1, count=4)}
    assert of_other_fold == set(data.images_by_class("test")[6])


def test_episodes_depend_only_on_seed_and_number(data):
    first = list(sample_episodes(data, 0, count=20))
    assert list(sample_episodes(data, 0, count=30))[:20] == first
    assert list(sample_episodes(data, 0, count=20, seed=1)) != first
    assert next(iter(sample_episodes(data, 1, count=2))).class_id == 6  # the only class of its fold
    with pytest.raises(InputError, match="No class of fold 1 is on more than 2 images"):
        next(sample_episodes(data, 1, references=2))
    with pytest.raises(InputError, match="No class of fold 2"):
        next(sample_episodes(data, 2))


@pytest.mark.parametrize("kind", ["mask", "box", "scribble", "point"])
def test_methods_get_the_annotations_and_are_evaluated_on_the_target(data, kind):
    seen = []

    def copy_annotation(image, references):
        seen.append(references)
        return references[0].mask > 0.5

    progress = []
    scores = evaluate_methods(
        data, 0, {"": copy_annotation}, count=6, references=2, kind=kind,
        progress=lambda done, _: progress.append(done),
    )[""]  # fmt: skip
    assert progress == [1, 2, 3, 4, 5, 6]
    drawn = list(sample_episodes(data, 0, count=6, references=2))
    expected = []
    for episode, references in zip(drawn, seen, strict=True):
        for image_id, reference in zip(episode.references, references, strict=True):
            np.testing.assert_array_equal(reference.image, data.image("test", image_id))
            mask = data.mask("test", image_id, episode.class_id)
            assert reference.kind == kind
            assert (reference.mask > 0.5)[mask == 1].any()
            if kind == "mask":
                np.testing.assert_array_equal(reference.mask, mask == 1)
                np.testing.assert_array_equal(reference.ignored, mask == 255)
        labels = data.mask("test", episode.target, episode.class_id)
        expected.append((episode.class_id, references[0].mask > 0.5, labels))
    mean, both = scores_by_pixel(expected)
    assert scores.mean_iou == pytest.approx(mean)
    assert scores.fb_iou == pytest.approx(both)
    methods = {
        "copy_annotation": copy_annotation,
        "nothing": lambda image, _: np.zeros(image.shape[:2], bool),
    }
    results = evaluate_methods(data, 0, methods, count=6, references=2, kind=kind)
    assert results["copy_annotation"].ious == scores.ious
    assert results["nothing"].mean_iou == 0
    again = evaluate_methods(data, 0, {"": copy_annotation}, count=6, references=2, kind=kind)
    assert again[""].mean_iou == scores.mean_iou


def test_classes_that_training_on_coco_has_not_seen(data):
    """Fold 0 of COCO-20i contains aeroplane; bicycle belongs to another fold."""
    classes = data.unseen_classes("coco20i", 0)
    drawn = list(sample_episodes(data, 0, classes=classes, count=20))
    assert {episode.class_id for episode in drawn} == {1}
    everywhere = {"": lambda image, _: np.ones(image.shape[:2], bool)}
    scores = evaluate_methods(data, 0, everywhere, classes=classes)
    assert scores[""].ious.keys() == {1}
