"""Tiles give the labels of the whole frame, away from the borders of the tiles."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from tests.properties.conftest import examples

from napari_vrp_sam import Segmenter
from napari_vrp_sam.inference.prediction.tiles.tiling import spans
from napari_vrp_sam.io.samples import sample_stack

TILE = 256


def away_from_borders(shape: tuple[int, int]) -> np.ndarray:
    """Pixels that one tile decides alone, outside of the transitions between tiles."""
    sides = []
    for length in shape:
        alone = np.zeros(length, bool)
        for span in spans(length, TILE):
            alone[span.pixels] |= span.weight == 1
        sides.append(alone)
    return sides[0][:, None] & sides[1]


def both(model, shape: tuple[int, int], seed: int, **settings):
    """Labels of a frame as a whole, and in tiles."""
    stack, truth = sample_stack(seed=seed, size=max(shape), frames=2)
    stack, truth = (one[:, : shape[0], : shape[1]] for one in (stack, truth))
    segmenter = Segmenter(model, device="cpu", neighbours=False, **settings)
    segmenter.fit(stack, truth[0], axes="ZYX", reference_frame=0)
    whole = segmenter.predict(stack[1:], axes="ZYX").labels[0]
    segmenter.tile_size = TILE
    return whole, segmenter.predict(stack[1:], axes="ZYX").labels[0]


@given(st.tuples(st.integers(200, 420), st.integers(260, 420)), st.integers(0, 3))
@examples(2)
def test_tiles_of_a_local_model_are_exact(pixel_model, shape, seed):
    whole, tiled = both(pixel_model, shape, seed)
    np.testing.assert_array_equal(tiled, whole)


@pytest.mark.slow
@given(st.tuples(st.integers(256, 512), st.integers(260, 512)), st.integers(0, 9))
@example((384, 384), 0)
@examples(4)
def test_tiles_of_lite_agree_away_from_their_borders(lite_model, shape, seed):
    whole, tiled = both(lite_model, shape, seed, effort=0.2)
    inner = away_from_borders(shape)
    assert (tiled == whole)[inner].mean() >= 0.995
