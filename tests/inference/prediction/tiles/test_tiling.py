import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_vrp_sam.errors import InputError
from napari_vrp_sam.inference.prediction.tiles.tiling import (
    ALIGNMENT,
    DEFAULT_TILE,
    LARGE_FRAME_TILE,
    OVERLAP,
    WIDE_OVERLAP,
    add_tile,
    check_tile,
    spans,
)


@given(length=st.integers(16, 6000), tile=st.integers(256, 1200))
def test_spans_cover_an_axis_with_weights_that_sum_to_one(length, tile):
    found = spans(length, tile)
    total = np.zeros(length)
    for span in found:
        assert span.stop - span.start <= tile
        assert span.start % ALIGNMENT == 0
        total[span.pixels] += span.weight
    np.testing.assert_allclose(total, 1, atol=1e-6)
    assert (len(found) == 1) == (length <= tile)


@given(length=st.integers(600, 6000), tile=st.integers(512, 1200))
def test_borders_inside_the_frame_have_no_weight(length, tile):
    for span in spans(length, tile):
        if span.start > 0:
            assert not span.weight[: OVERLAP // 4].any()
        if span.stop < length:
            assert not span.weight[-OVERLAP // 4 :].any()


@pytest.mark.parametrize("tile", [256, 512])
def test_neighbours_are_blended_over_64_pixels_in_the_middle_of_their_overlap(tile):
    first, second = spans(1000, tile)[:2]
    shared = first.stop - second.start
    falling, rising = first.weight[-shared:], second.weight[:shared]
    np.testing.assert_allclose(falling, rising[::-1], atol=1e-6)
    assert np.diff(rising).max() == pytest.approx(1 / 64, abs=1e-6)


def test_sizes_that_are_not_rounded():
    for size in (DEFAULT_TILE, LARGE_FRAME_TILE, OVERLAP, WIDE_OVERLAP):
        assert size % ALIGNMENT == 0


def test_no_more_tiles_than_it_takes():
    assert len(spans(2048, 2048)) == 1
    assert [s.start for s in spans(2049, 2048)] == [0, 32]
    assert [s.start for s in spans(10_000, 2048)] == [0, 1792, 3584, 5376, 7168, 7968]


def tiles_of(height, width, tile):
    return list(itertools.product(spans(height, tile), spans(width, tile)))


def blend(size, tiles, parts):
    whole = None
    for (rows, columns), part in zip(tiles, parts, strict=True):
        whole = add_tile(whole, size, rows, columns, part)
    return whole


@given(st.integers(16, 700), st.integers(16, 700), st.integers(256, 400))
def test_tiles_that_agree_are_not_changed(height, width, tile):
    frame = np.random.default_rng(0).normal(size=(2, height, width)).astype(np.float32)
    tiles = tiles_of(height, width, tile)
    parts = (frame[:, rows.pixels, columns.pixels] for rows, columns in tiles)
    whole = blend((height, width), tiles, parts)
    np.testing.assert_allclose(whole, frame, atol=1e-5)


def test_a_step_between_tiles_becomes_a_slope():
    tiles = tiles_of(16, 760, 512)
    parts = [
        np.full((1, 16, columns.stop - columns.start), value)
        for value, (_, columns) in enumerate(tiles)
    ]
    row = blend((16, 760), tiles, parts)[0, 0]
    assert row[0] == 0
    assert row[-1] == 1
    assert 0 < np.diff(row).max() < 0.02


def test_a_tile_size():
    assert check_tile(None) == DEFAULT_TILE
    assert check_tile(256) == 256
    with pytest.raises(InputError, match=r"Tiles of 100 pixels.*256 or more"):
        check_tile(100)
