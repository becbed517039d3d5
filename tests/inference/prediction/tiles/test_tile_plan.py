import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_vrp_sam.inference.frames import Frames
from napari_vrp_sam.inference.normalisation import Normalisation
from napari_vrp_sam.inference.prediction.predictor import Predictor
from napari_vrp_sam.inference.prediction.tiles import tile_plan
from napari_vrp_sam.inference.prediction.tiles.tile_plan import STRIDE, plan_tiles
from napari_vrp_sam.inference.references.gather import gather_references
from napari_vrp_sam.io.samples import sample_stack
from napari_vrp_sam.models.zoo.registry import load_model


@given(
    length=st.integers(16, 4000),
    width=st.integers(16, 2000),
    tile_size=st.integers(1024, 2048),
)
def test_context_tiles_cover_an_even_grid_of_cells_once(length, width, tile_size):
    plan = plan_tiles((length, width), tile_size, context=True)
    rows = set()
    for tile in plan.context:
        top = tile.pixels[0].start // STRIDE
        cells = np.arange(-(-tile.pixels[0].stop // 32) * 32 // STRIDE - top)
        rows |= set((cells + top)[tile.cells[0]].tolist())
    step = max(tile.cells[0].step for tile in plan.context)
    assert rows == set(range(0, -(-length // 32) * 32 // STRIDE, step))
    assert tile.place.grid == tuple(-(-side // 32) * 32 // STRIDE for side in (length, width))


@pytest.fixture(scope="module")
def predictor():
    stack, truth = sample_stack(seed=3, size=128, frames=2)
    frames = Frames(stack)
    predictor = Predictor(load_model("lite", device="cpu"), device="cpu")
    predictor.set_references(
        gather_references(frames, truth, reference_frame=0), Normalisation.fit(frames)
    )
    return predictor


@pytest.fixture(scope="module")
def strip():
    """A frame so narrow that it is quick, so long that it takes three tiles."""
    stack, _ = sample_stack(seed=3, size=128, frames=2)
    noise = np.random.default_rng(0).integers(0, 9, (128, 2016), dtype=np.uint8)
    return np.pad(stack[1], ((0, 0), (0, 2016 - 128)), mode="symmetric").clip(0, 246) + noise


def iou(a, b):
    return (a & b).sum() / (a | b).sum()


@pytest.mark.slow
def test_tiles_equal_the_whole_frame(predictor, strip, monkeypatch):
    assert predictor.calibrations[1].decoder_share > 0.2
    whole = predictor.predict(strip)[0] > 0.5
    monkeypatch.setattr(predictor, "tile_size", 1024)
    tiles = predictor.predict(strip)[0] > 0.5
    assert iou(tiles, whole) > 0.995
    # Without context, each tile has tokens of its own.
    monkeypatch.setattr(type(predictor.model), "uses_frame_context", False)
    by_itself = predictor.predict(strip)[0] > 0.5
    assert iou(by_itself, whole) < iou(tiles, whole)


@pytest.mark.slow
def test_some_tiles_give_the_context_of_a_very_large_frame(predictor, strip, monkeypatch):
    monkeypatch.setattr(predictor, "tile_size", 512)
    contexts = []
    tile_context = predictor.model.tile_context

    def recorded(*arguments):
        contexts.append(tile_context(*arguments))
        return contexts[-1]

    monkeypatch.setattr(predictor.model, "tile_context", recorded)
    monkeypatch.setattr(tile_plan, "PIXELS", 2 * 512**2)
    monkeypatch.setattr(tile_plan, "CELLS", 200)
    predictor.predict(strip)
    assert len(contexts) == 2
    assert 80 < sum(context.image.shape[1] for context in contexts) <= 200


def test_of_many_tiles_some_spread_evenly_give_the_context():
    plan = plan_tiles((20_000, 500), 1024, context=True)
    # As many pixels as four of the largest tiles.
    assert len(plan.tiles) > len(plan.context) == 16
    tops = [tile.pixels[0].start for tile in plan.context]
    gaps = np.diff(tops)
    assert 0 < gaps.min() <= gaps.max() <= 2 * gaps.min()
    # The same distance from both ends, up to a tile.
    assert abs(tops[0] - (plan.tiles[-1].rows.start - tops[-1])) <= 1024
    assert len(plan_tiles((3000, 500), 1024, context=True).context) < 16


def test_tiles_with_context_overlap_more():
    with_context, without = (plan_tiles((9000, 500), 1024, context=on) for on in (True, False))
    assert len(with_context.tiles) > len(without.tiles)
    assert without.context == ()
    first, second = (tile.rows for tile in with_context.tiles[:2])
    assert first.stop - second.start >= tile_plan.WIDE_OVERLAP


def test_merging_counts_the_context_first():
    plan = plan_tiles((2000, 500), 1024, context=True)
    logits = [np.ones((1, *_shape(tile)), np.float32) for tile in plan.tiles]
    steps = plan.merge(logits)
    seen = []
    try:
        while True:
            seen.append(next(steps))
    except StopIteration as end:
        whole = end.value
    total = len(plan.context) + len(plan.tiles)
    numbers = range(len(plan.context) + 1, total + 1)
    assert [(step.number, step.total) for step in seen] == [(n, total) for n in numbers]
    np.testing.assert_allclose(whole, np.ones((1, 2000, 500)), atol=1e-6)


def _shape(tile):
    return tuple(part.stop - part.start for part in tile.pixels)
