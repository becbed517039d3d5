import numpy as np
import pytest

from napari_vrp_sam.errors import InputError
from napari_vrp_sam.training.synthetic import WORLDS, SyntheticScenes
from napari_vrp_sam.training.synthetic.parts.draws import Draws

SHAPE = (96, 128)


@pytest.mark.parametrize("world", WORLDS)
def test_every_world_contains_class_and_background(world: str) -> None:
    scenes = SyntheticScenes(SHAPE, worlds=[world], absent=0)
    for seed in range(6):
        found = scenes.sample(np.random.default_rng(seed), references=2, targets=1)
        assert found.world == world
        assert found.images.shape == (3, *SHAPE, 3)
        assert found.images.dtype == np.float32
        assert 0 <= found.images.min() <= found.images.max() <= 1
        assert found.masks.shape == (3, *SHAPE)
        assert found.masks.dtype == np.uint8
        for mask in found.masks[:2]:
            assert set(np.unique(mask)) == {0, 1}


@pytest.mark.parametrize("world", WORLDS)
def test_the_class_can_be_absent(world: str) -> None:
    scenes = SyntheticScenes(SHAPE, worlds=[world], absent=1)
    found = scenes.sample(np.random.default_rng(0))
    assert found.masks[0].any()
    assert not found.masks[1:].any()
    assert found.images[1:].std() > 0


@pytest.mark.parametrize("world", WORLDS)
def test_slices_of_a_stack_change_smoothly(world: str) -> None:
    """The class overlaps between neighbouring depths but not between layouts."""
    near, far = [], []
    for seed in range(8):
        scene = WORLDS[world](np.random.default_rng(seed), SHAPE)
        first, _, other = (
            scene.render(Draws(layout, depth))[1] for layout, depth in ((1, 0), (1, 0.02), (2, 0))
        )
        second = scene.render(Draws(1, 0.02))[1]
        if first.any() and other.any():
            near.append((first & second).sum() / (first | second).sum())
            far.append((first & other).sum() / (first | other).sum())
    assert np.mean(near) > 0.5
    assert np.mean(near) > np.mean(far) + 0.15


@pytest.mark.parametrize("world", WORLDS)
def test_scenes_depend_only_on_the_generator(world: str) -> None:
    first, second = (
        SyntheticScenes(SHAPE, worlds=[world]).sample(np.random.default_rng(7)) for _ in range(2)
    )
    np.testing.assert_array_equal(first.images, second.images)
    np.testing.assert_array_equal(first.masks, second.masks)
    other = SyntheticScenes(SHAPE, worlds=[world]).sample(np.random.default_rng(8))
    assert not np.array_equal(first.images, other.images)


def test_stacks_and_independent_frames_both_occur() -> None:
    scenes = SyntheticScenes((48, 48), stack=0.5)
    rng = np.random.default_rng(0)
    assert {scenes.sample(rng).stack for _ in range(12)} == {True, False}


def test_an_unknown_world_is_reported() -> None:
    with pytest.raises(InputError, match="submarine"):
        SyntheticScenes(worlds=["mosaic", "submarine"])
