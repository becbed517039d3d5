from __future__ import annotations

from collections import Counter

import pytest

from napari_vrp_sam.errors import InputError
from napari_vrp_sam.research.few_shot.pairs import TrainingPairs, groups_of


def test_every_image_without_novel_classes_is_a_target_once_an_epoch(pascal):
    pairs = TrainingPairs(pascal, 1, references=2)
    assert pairs.epoch == 16
    epochs = [[pairs.pair(n) for n in range(16 * e, 16 * (e + 1))] for e in range(2)]
    without = {i for i in pascal.ids("train") if 6 not in pascal.areas("train")[i]}
    for epoch in epochs:
        assert Counter(pair.target for pair in epoch) == dict.fromkeys(without, 1)
        assert {pair.class_id for pair in epoch} == {1, 2}
        for pair in epoch:
            assert len({pair.target, *pair.references}) == 3
            assert set(pair.references) <= without
    assert [p.target for p in epochs[0]] != [p.target for p in epochs[1]]


def test_coco_draws_classes_evenly(coco):
    pairs = TrainingPairs(coco, 1)
    assert pairs.epoch == len(coco.ids("train"))
    classes = Counter(pairs.pair(number).class_id for number in range(400))
    # Of fold 1 is class 2; 5 is on fewer images than 1 and drawn as often.
    assert set(classes) == set(coco.showing("train")) - {2}
    assert min(classes.values()) > 0.7 * 400 / len(classes)


def test_images_that_the_same_folds_learn_from_lie_together(pascal):
    both, all_three = groups_of(pascal)
    assert set(both) == set(TrainingPairs(pascal, 1).images)
    assert sorted([*both, *all_three]) == sorted(pascal.ids("train"))


def test_pairs_depend_on_seed_and_number_alone(pascal):
    first, again, other = (TrainingPairs(pascal, 1, seed=seed) for seed in (0, 0, 1))
    backwards = {number: again.pair(number) for number in reversed(range(40))}
    assert [first.pair(n) for n in range(40)] == [backwards[n] for n in range(40)]
    assert [first.pair(n) for n in range(40)] != [other.pair(n) for n in range(40)]


def test_what_cannot_be_learned_is_told(pascal):
    with pytest.raises(InputError, match="on more than 16 images"):
        TrainingPairs(pascal, 1, references=16)
    with pytest.raises(InputError, match="no fold 4"):
        TrainingPairs(pascal, 4)
