from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from napari_vrp_sam.errors import InputError
from napari_vrp_sam.research.datasets.dataset import Dataset
from napari_vrp_sam.research.lite.real_episodes import RealEpisodes

MakeDataset = Callable[..., Dataset]
MakeDisc = Callable[..., np.ndarray]


def test_episodes_have_the_requested_shapes_and_ranges(discs: Dataset) -> None:
    source = RealEpisodes([discs], shape=(64, 64))
    for seed in range(20):
        episode = source.sample(np.random.default_rng(seed), references=2, targets=3)
        assert episode.references.shape == (2, 3, 64, 64)
        assert episode.targets.shape == (3, 3, 64, 64)
        assert episode.references.dtype == episode.reference_masks.dtype == np.float32
        assert episode.target_masks.shape == (3, 64, 64)
        assert episode.reference_masks.any(axis=(1, 2)).all()
        assert 0 <= episode.targets.min() <= episode.targets.max() <= 1
        assert episode.source == "discs"


def test_every_kind_of_annotation_occurs(discs: Dataset) -> None:
    source = RealEpisodes([discs], shape=(32, 32))
    rng = np.random.default_rng(0)
    kinds = {source.sample(rng).kinds[0] for _ in range(60)}
    assert kinds == {"mask", "box", "scribble", "point"}


def test_some_targets_lack_the_class(discs: Dataset) -> None:
    source = RealEpisodes([discs], shape=(32, 32), absent=1.0)
    episode = source.sample(np.random.default_rng(0), targets=3)
    assert not episode.target_masks.any()


def test_tracked_objects_are_cropped_alike_in_all_frames(
    make_dataset: MakeDataset, disc: MakeDisc
) -> None:
    masks = {
        f"z{z}": (disc(80 + z, 80, 10, 7, 256) + disc(180, 160 + z, 10, 9, 256)).astype(np.uint16)
        for z in range(4)
    }
    stack = make_dataset(masks, kind="instance", sequences={"s": sorted(masks)})
    source = RealEpisodes([stack], shape=(64, 64), absent=0.0)
    rng = np.random.default_rng(0)
    overlaps = []
    for _ in range(30):
        episode = source.sample(rng)
        if episode.kinds == ("mask",):
            both = episode.reference_masks[0] * episode.target_masks[0]
            overlaps.append(both.sum() / episode.reference_masks[0].sum())
    assert np.mean(overlaps) > 0.5


def test_datasets_reserved_for_evaluation_are_refused(
    make_dataset: MakeDataset, disc: MakeDisc
) -> None:
    reserved = make_dataset({"a": disc(30, 30), "b": disc(40, 40)}, name="held", use="evaluate")
    with pytest.raises(InputError, match="must not be trained on"):
        RealEpisodes([reserved])


def test_sources_without_a_usable_class_are_refused(
    make_dataset: MakeDataset, disc: MakeDisc
) -> None:
    with pytest.raises(InputError, match="at least one dataset"):
        RealEpisodes([])
    single = make_dataset({"a": disc(30, 30)}, name="single")
    with pytest.raises(InputError, match="no class that occurs in two frames"):
        RealEpisodes([single]).sample(np.random.default_rng(0))


def test_weights_select_the_dataset(
    discs: Dataset, make_dataset: MakeDataset, disc: MakeDisc
) -> None:
    other = make_dataset({"a": disc(30, 30), "b": disc(40, 40)}, name="other")
    source = RealEpisodes([discs, other], shape=(32, 32), weights={"discs": 0.0, "other": 1.0})
    rng = np.random.default_rng(0)
    assert {source.sample(rng).source for _ in range(8)} == {"other"}
