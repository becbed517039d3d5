from collections.abc import Callable

import numpy as np

from napari_vrp_sam.training.episode import annotate, collate, make_episode

MakeDisc = Callable[..., np.ndarray]


def test_boxes_enclose_all_objects_or_each_one(disc: MakeDisc) -> None:
    mask = (disc(20, 20, 8) + disc(70, 70, 8)) > 0
    rng = np.random.default_rng(0)
    areas = {int(annotate(mask, "box", rng).sum()) for _ in range(30)}
    assert areas == {65 * 65, 2 * 15 * 15}


def test_annotations_lie_within_the_class(disc: MakeDisc) -> None:
    mask = disc(40, 40) > 0
    rng = np.random.default_rng(0)
    for kind in ("mask", "scribble", "point"):
        drawn = annotate(mask, kind, rng)
        assert drawn.any()
        assert not drawn[~mask].any()


def test_collate_separates_masks_from_ignored_pixels(disc: MakeDisc) -> None:
    labels = disc(40, 40)
    labels[:, 80:] = 255
    images = [np.zeros((96, 96, 3), np.float32)] * 3
    rng = np.random.default_rng(0)
    episode = make_episode(images, [disc(40, 40), labels, labels], 1, rng, "test")
    batch = collate([episode, episode])
    assert batch["references"].shape == (2, 1, 3, 96, 96)
    assert batch["reference_masks"].shape == (2, 1, 96, 96)
    assert batch["targets"].shape == (2, 2, 3, 96, 96)
    assert batch["target_masks"].shape == batch["valid"].shape == (2, 2, 96, 96)
    assert not batch["valid"][..., 80:].any()
    assert batch["valid"][..., :80].all()
    assert set(batch["target_masks"].unique().tolist()) == {0.0, 1.0}
    assert batch["kinds"] == [list(episode.kinds)] * 2
