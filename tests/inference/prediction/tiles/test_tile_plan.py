import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from napari_vrp_sam.inference.frames import Frames
from napari_vrp_sam.inference.normalisation import Normalisation
from napari_vrp_sam.inference.prediction.predictor import Predictor
from napari_vrp_sam.inference.prediction.tiles import tile_plan
from napari_vrp_sam.inference.prediction.tiles.tile_plan import plan_tiles, tiled_logits
from napari_vrp_sam.inference.references.gather import gather_references
from napari_vrp_sam.io.samples import sample_stack
from napari_vrp_sam.models.base import FrameFeatures, Model, Prompts
from napari_vrp_sam.models.zoo.registry import load_model


def in_cells(length):
    """Cells of a frame or tile, whose sides are padded to a multiple of 32 pixels."""
    return -(-length // 32) * 4


@given(
    length=st.integers(16, 3000),
    width=st.integers(16, 1500),
    tile_size=st.integers(1024, 2048),
    cells=st.sampled_from([300, 2000, 65_536]),
)
def test_context_tiles_cover_an_even_grid_of_cells_once(length, width, tile_size, cells):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tile_plan, "CELLS", cells)
        plan = plan_tiles((length, width), tile_size, context=True)
    grid = in_cells(length), in_cells(width)
    count = np.zeros(grid, int)
    for tile in plan.context:
        assert tile.place.grid == grid
        corner = tile.place.top, tile.place.left
        assert corner == tuple(part.start // 8 for part in tile.pixels)
        there = tuple(
            slice(first, first + in_cells(part.stop - part.start))
            for first, part in zip(corner, tile.pixels, strict=True)
        )
        count[there][tile.cells] += 1
    step = plan.context[0].cells[0].step
    expected = np.zeros(grid, int)
    expected[::step, ::step] = 1
    np.testing.assert_array_equal(count, expected)


@pytest.mark.parametrize(
    ("side", "tile_size", "step"),
    [(2000, 1024, 1), (2200, 1024, 2), (10_400, 576, 3)],
    ids=["as many cells as the largest tile", "more", "too large for the memory"],
)
def test_of_many_cells_some_rows_and_columns_give_the_context(side, tile_size, step):
    plan = plan_tiles((side, side), tile_size, context=True)
    assert {part.step for tile in plan.context for part in tile.cells} == {step}


class MeanModel(nn.Module, Model):
    """Tells how far each pixel is above the mean of its frame, or of its tile without context."""

    name = "mean"
    uses_frame_context = True

    def encode(self, frames):
        size = frames.shape[-2], frames.shape[-1]
        return FrameFeatures(size, nn.functional.avg_pool2d(frames, 8), (frames,))

    def prepare(self, references):
        return None

    def tile_context(self, features, prepared, place, cells):
        return features.embedding[0][(slice(None), *cells)].flatten(1)

    def frame_context(self, contexts, prepared):
        return torch.cat(contexts, dim=1).mean()

    def prompt(self, features, prepared):
        return Prompts((1,), features.embedding.mean(), torch.zeros(0))

    def prompt_tile(self, features, prepared, frame_context):
        mean, _ = frame_context
        return Prompts((1,), mean, torch.zeros(0))

    def decode(self, features, prompts):
        return features.semantic[0][0, :1] - prompts.sparse


def tiles_of_means(model):
    """A bright and a dark half, the progress over its tiles, and their merged logits."""
    frame = torch.rand((3, 704, 64), generator=torch.manual_seed(0))
    frame[:, :352] += 5
    progress, logits = finished(
        tiled_logits(
            model,
            None,
            lambda parts: (model.encode(frame[None, :, rows, columns]) for rows, columns in parts),
            (704, 64),
            256,
        )
    )
    return frame[0], [(step.number, step.total) for step in progress], logits[0]


def test_every_tile_knows_the_context_of_its_frame():
    frame, progress, logits = tiles_of_means(MeanModel())
    np.testing.assert_allclose(logits, frame - 3, atol=0.01)
    # Each of five tiles twice: for the context, and for the logits.
    assert progress == [(number, 10) for number in range(1, 11)]


def test_tiles_of_a_model_without_context_are_alone(monkeypatch):
    monkeypatch.setattr(MeanModel, "uses_frame_context", False)
    frame, progress, logits = tiles_of_means(MeanModel())
    np.testing.assert_allclose(logits[:100], frame[:100] - 5.5, atol=0.01)
    np.testing.assert_allclose(logits[-100:], frame[-100:] - 0.5, atol=0.01)
    assert progress == [(number, 5) for number in range(1, 6)]


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
    places = [tile.pixels for tile in plan.tiles]
    first, last = (places.index(plan.context[at].pixels) for at in (0, -1))
    assert first == len(places) - 1 - last  # the same distance from both ends
    assert len(plan_tiles((3000, 500), 1024, context=True).context) < 16
    assert len(plan_tiles((9000, 500), 5000, context=True).context) == 1


def test_tiles_with_context_overlap_more():
    with_context, without = (plan_tiles((9000, 500), 1024, context=on) for on in (True, False))
    assert len(with_context.tiles) > len(without.tiles)
    assert without.context == ()
    first, second = (tile.rows for tile in with_context.tiles[:2])
    assert first.stop - second.start >= tile_plan.WIDE_OVERLAP


def test_merging_counts_the_context_first():
    plan = plan_tiles((2000, 500), 1024, context=True)
    logits = [np.ones((1, *_shape(tile)), np.float32) for tile in plan.tiles]
    seen, whole = finished(plan.merge(logits))
    total = len(plan.context) + len(plan.tiles)
    numbers = range(len(plan.context) + 1, total + 1)
    assert [(step.number, step.total) for step in seen] == [(n, total) for n in numbers]
    np.testing.assert_allclose(whole, np.ones((1, 2000, 500)), atol=1e-6)


def finished(steps):
    """Return the values that a generator yields, and the one that it returns."""
    seen = []
    try:
        while True:
            seen.append(next(steps))
    except StopIteration as end:
        return seen, end.value


def _shape(tile):
    return tuple(part.stop - part.start for part in tile.pixels)
