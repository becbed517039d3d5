"""Episodes of annotated frames."""

from __future__ import annotations

import numpy as np

from napari_vrp_sam.annotations.reference import Reference
from napari_vrp_sam.fine_tuning.data.annotated_frames import annotated_frames
from napari_vrp_sam.fine_tuning.data.episodes import AnnotatedEpisodes, PooledEpisodes
from napari_vrp_sam.inference.normalisation import Normalisation
from napari_vrp_sam.training.episode import collate

BYTES = Normalisation((0.0,), (255.0,))


def source_of(recipe, references):
    return AnnotatedEpisodes(annotated_frames(references, BYTES), recipe, recipe.size)


def references_of(stack, ground_truth, kind="mask"):
    return [
        Reference(stack[z], ground_truth[z] == value, value, kind, z)
        for z in (0, 1)
        for value in (1, 2)
    ]


def test_episodes_depend_on_the_random_generator_only(recipe, stack, ground_truth):
    source = source_of(recipe, references_of(stack, ground_truth))
    episodes = [source.sample(np.random.default_rng(7), references=2, targets=3) for _ in range(2)]
    first, second = episodes
    assert first.references.shape == (2, 3, 64, 64)
    assert first.targets.shape == (3, 3, 64, 64)
    assert (
        first.references.dtype == first.targets.dtype == first.reference_masks.dtype == np.float32
    )
    assert 0 <= first.references.min() < first.references.max() <= 1
    assert first.target_masks.dtype == np.uint8
    for name in ("references", "reference_masks", "targets", "target_masks"):
        np.testing.assert_array_equal(getattr(first, name), getattr(second, name))
    assert collate(episodes)["references"].shape == (2, 2, 3, 64, 64)


def test_references_show_the_class_and_targets_are_on_other_frames(recipe, stack, ground_truth):
    dimmed = stack.copy()
    dimmed[0] //= 4  # makes the frames distinguishable
    source = source_of(recipe, references_of(dimmed, ground_truth))
    rng = np.random.default_rng(0)
    for _ in range(20):
        episode = source.sample(rng, references=1, targets=1)
        assert episode.reference_masks.any()
        dim = episode.references.max() < 0.5
        assert (episode.targets.max() < 0.5) != dim


def test_references_show_background_around_large_objects_and_keep_tiny_ones(recipe):
    large, tiny = np.zeros((2, 400, 400), bool)
    large[20:380, 20:380] = True
    tiny[200, 200] = True
    image = np.zeros(large.shape, np.uint8)
    rng = np.random.default_rng(5)
    for mask in (large, tiny):
        source = source_of(recipe, [Reference(image, mask, frame=0)])
        masks = [source.sample(rng).reference_masks for _ in range(10)]
        assert all(0 < drawn.mean() <= 0.9 for drawn in masks)


def test_image_and_mask_are_transformed_together(recipe, ground_truth):
    stack = (200 * (ground_truth > 0)).astype(np.uint8)
    references = [Reference(stack[z], ground_truth[z] > 0, frame=z) for z in range(2)]
    source = source_of(recipe, references)
    rng = np.random.default_rng(1)
    for _ in range(20):
        episode = source.sample(rng)
        bright = episode.targets.mean(axis=1) > 0.5 * episode.targets.max()
        agreement = np.mean(bright == (episode.target_masks == 1))
        assert agreement > 0.97


def test_unknown_pixels_are_not_valid(recipe, stack, ground_truth):
    source = source_of(recipe, references_of(stack, ground_truth, "scribble"))
    rng = np.random.default_rng(2)
    batch = collate([source.sample(rng) for _ in range(10)])
    assert batch["kinds"] == [["scribble"]] * 10
    assert not batch["reference_ignored"].any()  # implied by the kind of annotation
    valid, masks = batch["valid"], batch["target_masks"]
    assert 0.02 < valid.float().mean() < 0.7
    assert masks[valid].float().mean() > 0.1  # the class
    assert (masks[valid] == 0).any()  # the other class


def test_ignored_pixels_of_references_stay_ignored(recipe, stack, ground_truth):
    ignored = np.zeros(ground_truth[0].shape, bool)
    ignored[:, ::2] = True
    references = [Reference(stack[z], ground_truth[z] > 0, 1, "mask", z, ignored) for z in (0, 1)]
    episode = source_of(recipe, references).sample(np.random.default_rng(3))
    assert 0.3 < episode.reference_ignored.mean() < 0.7


def test_pool_repeats_a_fixed_number_of_episodes(recipe, stack, ground_truth):
    source = PooledEpisodes(source_of(recipe, references_of(stack, ground_truth)), 3)
    rng = np.random.default_rng(4)
    seen = {source.sample(rng).targets.tobytes() for _ in range(30)}
    assert len(seen) == 3
