from __future__ import annotations

from collections import Counter

import pytest

from napari_vrp_sam.errors import InputError
from napari_vrp_sam.training.few_shot.pairs import TrainingPairs


def test_every_image_is_a_target_once_an_epoch_for_every_class_on_it(pascal):
    pairs = TrainingPairs(pascal, 1, references=2)
    assert pairs.epoch == 16
    epochs = [[pairs.pair(n) for n in range(16 * e, 16 * (e + 1))] for e in range(2)]
    for epoch in epochs:
        seen = Counter((pair.class_id, pair.target) for pair in epoch)
        assert set(seen.values()) == {1}
        assert {class_id for class_id, _ in seen} == {1, 2}  # 6 is novel here
        assert {target for _, target in seen} == set(pascal.ids("train"))
        for pair in epoch:
            assert len({pair.target, *pair.references}) == 3
            assert {pair.target, *pair.references} <= set(pascal.ids("train"))
    assert [p.target for p in epochs[0]] != [p.target for p in epochs[1]]


def test_coco_draws_classes_evenly(coco):
    pairs = TrainingPairs(coco, 1)
    assert pairs.epoch == len(coco.ids("train"))
    classes = Counter(pairs.pair(number).class_id for number in range(400))
    # Of fold 1 is class 2; 5 is on fewer images than 1 and drawn as often.
    assert set(classes) == set(coco.showing("train")) - {2}
    assert min(classes.values()) > 0.7 * 400 / len(classes)


def test_pairs_depend_on_seed_and_number_alone(pascal):
    first, again, other = (TrainingPairs(pascal, 1, seed=seed) for seed in (0, 0, 1))
    backwards = {number: again.pair(number) for number in reversed(range(40))}
    assert [first.pair(n) for n in range(40)] == [backwards[n] for n in range(40)]
    assert [first.pair(n) for n in range(40)] != [other.pair(n) for n in range(40)]


def test_what_cannot_be_learned_is_told(pascal):
    with pytest.raises(InputError, match="on more than 8 images"):
        TrainingPairs(pascal, 1, references=8)
    with pytest.raises(InputError, match="no fold 4"):
        TrainingPairs(pascal, 4)
