from __future__ import annotations

import json
from functools import partial

from napari_vrp_sam.models.sam.full_size_model import FullSizeModel
from napari_vrp_sam.models.zoo.registry import load_model
from napari_vrp_sam.research.protocols.speed import measure_speed


def test_the_plain_way_beside_a_full_size_model(full_size_model: FullSizeModel) -> None:
    results = measure_speed({"tiny": lambda: full_size_model}, size=64, repeats=1)
    assert results["models"]["tiny"]["plain_seconds_per_frame"] > 0


def test_models_side_by_side() -> None:
    told: list[str] = []
    results = measure_speed(
        {"one": load_model, "two": partial(load_model, pseudo_mask="correlation")},
        size=96,
        repeats=2,
        progress=told.append,
    )
    assert list(results["models"]) == ["one", "two"]
    for result in results["models"].values():
        assert 0 < result["cached_seconds_per_frame"] < result["seconds_per_frame"]
        assert result["seconds_to_learn"] > 0
        assert result["peak_memory_bytes"] > 1e6
        assert result["plain_seconds_per_frame"] is None  # the paper knows no `lite`
    assert results["machine"]["cores"] >= 1
    json.dumps(results, allow_nan=False)
    # In turns: the second model is timed before the first one's second frame.
    turns = [text for text in told if "frame" in text and "warm" not in text]
    assert turns == [f"{m}: frame {t} of 2" for t in (1, 2) for m in ("one", "two")]
