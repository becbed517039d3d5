from __future__ import annotations

from collections import Counter

import pytest

from napari_vrp_sam.errors import InputError
from napari_vrp_sam.research.few_shot.pairs import EpisodeSampler, group_by_fold


def test_each_image_without_novel_classes_is_a_target_once_per_epoch(pascal):
    sampler = EpisodeSampler(pascal, 1, references=2)
    assert len(sampler.image_ids) == 16
    epochs = [[sampler.episode(n) for n in range(16 * e, 16 * (e + 1))] for e in range(2)]
    without = {i for i in pascal.image_ids("train") if 6 not in pascal.class_areas("train")[i]}
    for epoch in epochs:
        assert Counter(episode.target for episode in epoch) == dict.fromkeys(without, 1)
        assert {episode.class_id for episode in epoch} == {1, 2}
        for episode in epoch:
            assert len({episode.target, *episode.references}) == 3
            assert set(episode.references) <= without
    assert [p.target for p in epochs[0]] != [p.target for p in epochs[1]]


def test_coco_draws_all_classes_equally_often(coco):
    sampler = EpisodeSampler(coco, 1)
    assert len(sampler.image_ids) == len(coco.image_ids("train"))
    classes = Counter(sampler.episode(number).class_id for number in range(400))
    # Class 2 belongs to fold 1; class 5 is on fewer images than class 1.
    assert set(classes) == set(coco.images_by_class("train")) - {2}
    assert min(classes.values()) > 0.7 * 400 / len(classes)


def test_images_are_grouped_by_the_folds_that_use_them(pascal):
    both, all_three = group_by_fold(pascal)
    assert set(both) == set(EpisodeSampler(pascal, 1).image_ids)
    assert sorted([*both, *all_three]) == sorted(pascal.image_ids("train"))


def test_episodes_depend_only_on_seed_and_number(pascal):
    first, again, other = (EpisodeSampler(pascal, 1, seed=seed) for seed in (0, 0, 1))
    backwards = {number: again.episode(number) for number in reversed(range(40))}
    assert [first.episode(n) for n in range(40)] == [backwards[n] for n in range(40)]
    assert [first.episode(n) for n in range(40)] != [other.episode(n) for n in range(40)]


def test_unusable_settings_are_reported(pascal):
    with pytest.raises(InputError, match="on more than 16 images"):
        EpisodeSampler(pascal, 1, references=16)
    with pytest.raises(InputError, match="no fold 4"):
        EpisodeSampler(pascal, 4)
