from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from napari_vrp_sam.errors import InputError
from napari_vrp_sam.research.datasets.dataset import Dataset
from napari_vrp_sam.research.lite.real_episodes import RealEpisodes
from napari_vrp_sam.training.episodes import EpisodeStream, SyntheticEpisodes

MakeDataset = Callable[..., Dataset]
MakeDisc = Callable[..., np.ndarray]


def _same(first: dict[str, Any], second: dict[str, Any]) -> bool:
    return all(
        torch.equal(value, second[key]) if torch.is_tensor(value) else value == second[key]
        for key, value in first.items()
    )


@pytest.fixture
def stream_of(discs: Dataset):
    """Small streams with the same sources, fresh each time."""

    def make(**options: Any) -> EpisodeStream:
        sources = [
            (RealEpisodes([discs], shape=(48, 48)), 1.0),
            (SyntheticEpisodes((48, 48), worlds=["mosaic"]), 1.0),
        ]
        return EpisodeStream(sources, options.pop("steps", 4), batch_size=2, **options)

    return make


def test_real_episodes_are_what_they_should_be(discs: Dataset) -> None:
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


def test_followed_objects_are_seen_through_one_window(
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


def test_evaluation_sets_never_reach_an_episode(make_dataset: MakeDataset, disc: MakeDisc) -> None:
    reserved = make_dataset({"a": disc(30, 30), "b": disc(40, 40)}, name="held", use="evaluate")
    with pytest.raises(InputError, match="must not be trained on"):
        RealEpisodes([reserved])


def test_sources_need_something_to_draw_from(make_dataset: MakeDataset, disc: MakeDisc) -> None:
    with pytest.raises(InputError, match="name at least one"):
        RealEpisodes([])
    single = make_dataset({"a": disc(30, 30)}, name="single")
    with pytest.raises(InputError, match="no class that occurs in two frames"):
        RealEpisodes([single]).sample(np.random.default_rng(0))
    with pytest.raises(InputError, match="share above 0"):
        EpisodeStream([], 3)


def test_weights_choose_the_data_set(
    discs: Dataset, make_dataset: MakeDataset, disc: MakeDisc
) -> None:
    other = make_dataset({"a": disc(30, 30), "b": disc(40, 40)}, name="other")
    source = RealEpisodes([discs, other], shape=(32, 32), weights={"discs": 0.0, "other": 1.0})
    rng = np.random.default_rng(0)
    assert {source.sample(rng).source for _ in range(8)} == {"other"}


def test_batches_depend_on_seed_and_step_alone(stream_of) -> None:
    batches = list(stream_of(seed=5))
    assert [batch["step"] for batch in batches] == [0, 1, 2, 3]
    assert all(_same(a, b) for a, b in zip(batches, stream_of(seed=5), strict=True))
    assert not torch.equal(batches[0]["targets"], batches[1]["targets"])
    assert not torch.equal(batches[0]["targets"], stream_of(seed=6).batch(0)["targets"])
    resumed = list(stream_of(seed=5, start=2))
    assert all(_same(a, b) for a, b in zip(batches[2:], resumed, strict=True))


def test_workers_do_not_change_the_batches(stream_of) -> None:
    loader = DataLoader(stream_of(steps=5), batch_size=None, num_workers=2)
    parallel, alone = list(loader), list(stream_of(steps=5))
    assert [batch["step"] for batch in parallel] == [0, 1, 2, 3, 4]
    assert all(_same(a, b) for a, b in zip(parallel, alone, strict=True))


def test_the_number_of_references_varies_between_batches(stream_of) -> None:
    stream = stream_of(references=(1, 2, 3), steps=12)
    shots = {batch["references"].shape[1] for batch in stream}
    assert shots == {1, 2, 3}


def test_devices_share_the_batch_that_one_would_have() -> None:
    def batch(**options: Any) -> dict[str, Any]:
        return EpisodeStream([(SyntheticEpisodes((32, 32)), 1.0)], 3, seed=5, **options).batch(1)

    whole = batch(batch_size=4)
    halves = [batch(batch_size=2, rank=rank) for rank in range(2)]
    for name in ("references", "targets", "target_masks"):
        assert torch.equal(torch.cat([half[name] for half in halves]), whole[name])
