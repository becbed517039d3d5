"""Tokens that saw the frame in parts are those that saw it whole."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from napari_vrp_sam.models.base import EncodedReference, FrameFeatures
from napari_vrp_sam.models.lite.tile_tokens import GridPosition, equally_many
from napari_vrp_sam.models.zoo.registry import load_model

SIDE = 160
GRID = (SIDE // 8, SIDE // 8)
EVERY = slice(None)


@pytest.fixture(scope="module")
def model():
    """The decoder alone: what is added to it is a matter of each pixel anyway."""
    model = load_model("lite", device="cpu")
    model.decoder_share = 1.0
    return model


@pytest.fixture(scope="module")
def features(model):
    generator = torch.Generator().manual_seed(0)
    return model.encode(torch.rand(1, 3, SIDE, SIDE, generator=generator))


@pytest.fixture(scope="module")
def prepared(model, features):
    """Two classes, the second of two references."""
    masks = torch.zeros(3, SIDE, SIDE)
    masks[0, 20:60, 30:90] = 1
    masks[1, 80:120, 30:90] = 1
    masks[2, 90:150, 10:50] = 1
    references = [
        EncodedReference(features, mask, class_id, frame=frame)
        for mask, class_id, frame in zip(masks, (1, 4, 4), (0, 0, 1), strict=True)
    ]
    return model.prepare(references)


@pytest.fixture(scope="module")
def whole(model, features, prepared):
    prompts = model.prompt(features, prepared)
    return prompts, model.decode(features, prompts)


def part(features, prompts, rows, columns):
    """A tile cut out of what was computed for the whole frame."""

    def cut(maps):
        stride = SIDE // maps.shape[-1]
        at = [slice(8 * s.start // stride, 8 * s.stop // stride) for s in (rows, columns)]
        return maps[..., at[0], at[1]]

    size = (8 * (rows.stop - rows.start), 8 * (columns.stop - columns.start))
    cut_features = FrameFeatures(size, cut(features.embedding), tuple(map(cut, features.semantic)))
    return cut_features, replace(
        prompts, dense=cut(prompts.dense), pseudo_mask=cut(prompts.pseudo_mask)
    )


PARTS = [(slice(r, r + 12), slice(c, c + 12)) for r in (0, 8) for c in (0, 8)]


def test_parts_are_decoded_as_the_whole(model, features, prepared, whole):
    prompts, expected = whole
    seen = []
    for rows, columns in PARTS:
        place = GridPosition(rows.start, columns.start, GRID)
        own = tuple(slice(0, 12) if s.start else slice(0, 8) for s in (rows, columns))
        tile, of_tile = part(features, prompts, rows, columns)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(model, "prompt", lambda *_, given=of_tile: given)
            seen.append(model.glimpse(tile, prepared, place, own))
    assert sum(g.image.shape[1] for g in seen) == GRID[0] * GRID[1]
    overview = model.overview(seen, prepared)
    for rows, columns in PARTS:
        place = GridPosition(rows.start, columns.start, GRID)
        tile, of_tile = part(features, prompts, rows, columns)
        found = model.decode(tile, replace(of_tile, whole=(overview, place)))
        # Within: at its border a tile's logits are resized without their neighbours.
        wanted = expected[:, 8 * rows.start : 8 * rows.stop, 8 * columns.start : 8 * columns.stop]
        torch.testing.assert_close(found[:, 4:-4, 4:-4], wanted[:, 4:-4, 4:-4], atol=0.02, rtol=0)
        own_tokens = model.decode(tile, of_tile)
        assert (own_tokens - wanted).abs().max() > 0.1


def test_a_sample_of_cells_says_nearly_the_same(model, features, prepared, whole):
    prompts, expected = whole
    place = GridPosition(0, 0, GRID)
    every_other = slice(None, None, 2)
    seen = model.glimpse(features, prepared, place, (every_other, every_other))
    assert seen.image.shape[1] == GRID[0] * GRID[1] // 4
    found = model.decode(
        features, replace(prompts, whole=(model.overview([seen], prepared), place))
    )
    difference = (found - expected).abs().mean() / expected.abs().mean()
    assert 0 < difference < 0.1


def test_classes_with_fewer_references_repeat_their_tokens():
    few, many = torch.arange(2.0).reshape(1, 2, 1), torch.zeros(1, 5, 1)
    assert np.array_equal(equally_many([few, many])[0, :, 0], [0, 1, 0, 1, 0])
