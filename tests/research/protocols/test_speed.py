from __future__ import annotations

import json
from functools import partial

import pytest

from napari_vrp_sam.models.sam.full_size_model import FullSizeModel
from napari_vrp_sam.models.zoo.registry import load_model
from napari_vrp_sam.research.protocols.speed import measure_speed


def test_the_unoptimised_pipeline_of_a_full_size_model_is_timed(
    full_size_model: FullSizeModel,
) -> None:
    results = measure_speed({"tiny": lambda: full_size_model}, size=64, repeats=1)
    assert results["models"]["tiny"]["plain_seconds_per_frame"] > 0


@pytest.mark.slow
def test_models_are_measured_in_turn() -> None:
    messages: list[str] = []
    results = measure_speed(
        {"one": load_model, "two": partial(load_model, pseudo_mask="correlation")},
        size=96,
        repeats=2,
        progress=messages.append,
    )
    assert list(results["models"]) == ["one", "two"]
    for result in results["models"].values():
        assert result["cached_seconds_per_frame"] > 0
        assert result["seconds_per_frame"] > 0
        assert result["seconds_to_learn"] > 0
        assert result["peak_memory_bytes"] > 1e6
        assert result["plain_seconds_per_frame"] is None  # only full-size models have it
    assert results["machine"]["cores"] >= 1
    json.dumps(results, allow_nan=False)
    # The second model is timed before the second frame of the first one.
    turns = [text for text in messages if "frame" in text and "warm" not in text]
    assert turns == [f"{m}: frame {t} of 2" for t in (1, 2) for m in ("one", "two")]
