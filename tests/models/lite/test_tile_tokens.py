"""Tokens of a frame that is encoded tile by tile equal those of the whole frame."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from napari_vrp_sam.models.base import EncodedReference, FrameFeatures, GridPosition
from napari_vrp_sam.models.lite.scenes import describe_scene
from napari_vrp_sam.models.lite.tile_tokens import stack_tokens
from napari_vrp_sam.models.zoo.registry import load_model

SIDE = 160
GRID = (SIDE // 8, SIDE // 8)


@pytest.fixture(scope="module")
def model():
    """The mask decoder alone, because all else is computed pixel by pixel."""
    model = load_model("lite", device="cpu")
    model.decoder_share = 1.0
    return model


@pytest.fixture(scope="module")
def features(model):
    generator = torch.Generator().manual_seed(0)
    return model.encode(torch.rand(1, 3, SIDE, SIDE, generator=generator))


@pytest.fixture(scope="module")
def prepared(model, features):
    """Two classes, the second with two references."""
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


def crop(features, prompts, rows, columns):
    """Crop a tile from features and prompts of the whole frame."""

    def cut(maps):
        stride = SIDE // maps.shape[-1]
        at = [slice(8 * s.start // stride, 8 * s.stop // stride) for s in (rows, columns)]
        return maps[..., at[0], at[1]]

    size = (8 * (rows.stop - rows.start), 8 * (columns.stop - columns.start))
    cut_features = FrameFeatures(size, cut(features.embedding), tuple(map(cut, features.semantic)))
    return cut_features, replace(
        prompts, dense=cut(prompts.dense), pseudo_mask=cut(prompts.pseudo_mask)
    )


TILES = [(slice(r, r + 12), slice(c, c + 12)) for r in (0, 8) for c in (0, 8)]


def test_tiles_are_decoded_as_the_whole_frame(model, features, prepared, whole):
    prompts, expected = whole
    contexts = []
    for rows, columns in TILES:
        place = GridPosition(rows.start, columns.start, GRID)
        cells = tuple(slice(0, 12) if s.start else slice(0, 8) for s in (rows, columns))
        tile, tile_prompts = crop(features, prompts, rows, columns)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(model, "prompt", lambda *_, given=tile_prompts: given)
            contexts.append(model.tile_context(tile, prepared, place, cells))
    assert sum(g.image.shape[1] for g in contexts) == GRID[0] * GRID[1]
    context = model.frame_context(contexts, prepared)
    torch.testing.assert_close(context.scene, describe_scene(features))
    for rows, columns in TILES:
        place = GridPosition(rows.start, columns.start, GRID)
        tile, tile_prompts = crop(features, prompts, rows, columns)
        actual = model.decode(tile, replace(tile_prompts, frame_context=(context, place)))
        # Away from the border, where logits are resized without those of the neighbouring tile.
        tile_expected = expected[
            :, 8 * rows.start : 8 * rows.stop, 8 * columns.start : 8 * columns.stop
        ]
        torch.testing.assert_close(
            actual[:, 4:-4, 4:-4], tile_expected[:, 4:-4, 4:-4], atol=0.02, rtol=0
        )
        separate = model.decode(tile, tile_prompts)
        assert (separate - tile_expected).abs().max() > 0.1


def test_sampled_cells_give_nearly_the_same_logits(model, features, prepared, whole):
    prompts, expected = whole
    place = GridPosition(0, 0, GRID)
    every_other = slice(None, None, 2)
    context = model.tile_context(features, prepared, place, (every_other, every_other))
    assert context.image.shape[1] == GRID[0] * GRID[1] // 4
    actual = model.decode(
        features, replace(prompts, frame_context=(model.frame_context([context], prepared), place))
    )
    difference = (actual - expected).abs().mean() / expected.abs().mean()
    assert 0 < difference < 0.1


def test_classes_with_fewer_references_repeat_their_tokens():
    few, many = torch.arange(2.0).reshape(1, 2, 1), torch.zeros(1, 5, 1)
    assert np.array_equal(stack_tokens([few, many])[0, :, 0], [0, 1, 0, 1, 0])
