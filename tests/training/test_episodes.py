from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch.utils.data import DataLoader

from napari_vrp_sam.errors import InputError
from napari_vrp_sam.training.episodes import EpisodeStream, SyntheticEpisodes


def _same(first: dict[str, Any], second: dict[str, Any]) -> bool:
    return all(
        torch.equal(value, second[key]) if torch.is_tensor(value) else value == second[key]
        for key, value in first.items()
    )


@pytest.fixture
def make_stream() -> Callable[..., EpisodeStream]:
    def make(**options: Any) -> EpisodeStream:
        sources = [
            (SyntheticEpisodes((48, 48), worlds=["mosaic"]), 1.0),
            (SyntheticEpisodes((48, 48), worlds=["cells"]), 1.0),
        ]
        return EpisodeStream(sources, options.pop("steps", 4), batch_size=2, **options)

    return make


def test_batches_depend_only_on_seed_and_step(make_stream: Callable[..., EpisodeStream]) -> None:
    batches = list(make_stream(seed=5))
    assert [batch["step"] for batch in batches] == [0, 1, 2, 3]
    assert all(_same(a, b) for a, b in zip(batches, make_stream(seed=5), strict=True))
    assert not torch.equal(batches[0]["targets"], batches[1]["targets"])
    assert not torch.equal(batches[0]["targets"], make_stream(seed=6).batch(0)["targets"])
    resumed = list(make_stream(seed=5, start=2))
    assert all(_same(a, b) for a, b in zip(batches[2:], resumed, strict=True))


def test_a_stream_without_a_source_is_refused() -> None:
    with pytest.raises(InputError, match="share above 0"):
        EpisodeStream([], 3)


def test_workers_do_not_change_the_batches(make_stream: Callable[..., EpisodeStream]) -> None:
    loader = DataLoader(make_stream(steps=5), batch_size=None, num_workers=2)
    parallel, alone = list(loader), list(make_stream(steps=5))
    assert [batch["step"] for batch in parallel] == [0, 1, 2, 3, 4]
    assert all(_same(a, b) for a, b in zip(parallel, alone, strict=True))


def test_the_number_of_references_varies_between_batches(
    make_stream: Callable[..., EpisodeStream],
) -> None:
    stream = make_stream(references=(1, 2, 3), steps=12)
    shots = {batch["references"].shape[1] for batch in stream}
    assert shots == {1, 2, 3}


def test_devices_split_the_batch_of_a_single_device() -> None:
    def batch(**options: Any) -> dict[str, Any]:
        return EpisodeStream([(SyntheticEpisodes((32, 32)), 1.0)], 3, seed=5, **options).batch(1)

    whole = batch(batch_size=4)
    halves = [batch(batch_size=2, rank=rank) for rank in range(2)]
    for name in ("references", "targets", "target_masks"):
        assert torch.equal(torch.cat([half[name] for half in halves]), whole[name])
