"""The full-size model, run with a tiny SAM of the same classes."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from segment_anything import SamPredictor
from segment_anything.modeling import Sam
from torch import Tensor

from napari_vrp_sam.errors import InputError
from napari_vrp_sam.models.geometric_prompts import geometric_prompts
from napari_vrp_sam.models.sam import FullSizeModel, pad_to_square
from napari_vrp_sam.models.semantic import EfficientNetLite0
from napari_vrp_sam.models.types import EncodedReference
from napari_vrp_sam.models.vrp_encoder import VRPEncoder

SIDE, WIDTH = 256, 64
"""Of the tiny SAM: longest side in pixels, embedding width."""
SIZE = (100, 180)
ROW_RANGE, COLUMN_RANGE = slice(20, 70), slice(30, 110)


def build(sam: Sam, *, vrp: bool = True) -> FullSizeModel:
    torch.manual_seed(2)
    semantic = EfficientNetLite0()
    encoder = VRPEncoder(152, WIDTH, queries=6) if vrp else None
    model = FullSizeModel("tiny", sam, semantic, encoder, semantic_side=128)
    return model.eval()


def frame(seed: int = 0, size: tuple[int, int] = SIZE) -> Tensor:
    return torch.rand(1, 3, *size, generator=torch.Generator().manual_seed(seed))


def reference(model: FullSizeModel, class_id: int = 1, seed: int = 0) -> EncodedReference:
    mask = torch.zeros(SIZE)
    mask[ROW_RANGE, COLUMN_RANGE] = 1
    return EncodedReference(model.encode(frame(seed)), mask.roll(5 * class_id, 1), class_id)


@pytest.fixture(scope="module")
def visual(tiny_sam: Sam) -> FullSizeModel:
    return build(tiny_sam)


@pytest.fixture(scope="module")
def geometric(tiny_sam: Sam) -> FullSizeModel:
    return build(tiny_sam, vrp=False)


@torch.inference_mode()
def test_geometric_prompts_give_the_masks_of_sams_own_predictor(
    geometric: FullSizeModel, tiny_sam: Sam
) -> None:
    target = frame(1)
    features = geometric.encode(target)
    prepared = geometric.prepare([reference(geometric, 1), reference(geometric, 2)])
    prompts = geometric.prompt(features, prepared)
    logits = geometric.decode(features, prompts)

    predictor = SamPredictor(tiny_sam)
    # Not by its own `transform.apply_image_torch`: release 1.0 mixes up the axes.
    resized = F.interpolate(target, (142, SIDE), mode="bilinear", antialias=True)
    predictor.set_torch_image(255 * resized, SIZE)
    # Stage 3 of a frame of 128 px has 8 x 8 cells, the upper five rows show the frame.
    pseudo_masks = torch.cat([c.pseudo_mask(features) for c in prepared])[..., :5, :]
    points, labels, boxes = geometric_prompts(pseudo_masks, SIDE / 8)
    expected, _, _ = predictor.predict_torch(
        points, labels, boxes, multimask_output=False, return_logits=True
    )

    assert logits.shape == (2, *SIZE)
    torch.testing.assert_close(logits, expected[:, 0], rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(features.embedding, predictor.get_image_embedding())


@torch.inference_mode()
def test_classes_of_a_batch_do_not_touch_each_other(visual: FullSizeModel) -> None:
    features = visual.encode(frame(1))
    references = [reference(visual, 7), reference(visual, 3)]

    together = visual.prompt(features, visual.prepare(references))
    logits = visual.decode(features, together)

    assert together.class_ids == (3, 7)
    assert together.sparse.shape == (2, 6, WIDTH)
    for row, one in ((0, references[1]), (1, references[0])):
        alone = visual.prompt(features, visual.prepare([one]))
        torch.testing.assert_close(alone.sparse, together.sparse[row : row + 1])
        torch.testing.assert_close(
            visual.decode(features, alone)[0], logits[row], rtol=1e-4, atol=1e-5
        )
    assert (logits[0] - logits[1]).abs().max() > 1e-4


@torch.inference_mode()
def test_shots_are_concatenated_and_shorter_classes_repeat_theirs(visual: FullSizeModel) -> None:
    features = visual.encode(frame(1))
    shots = [reference(visual, 1, seed) for seed in (0, 5, 6)]
    other = reference(visual, 2)

    prompts = visual.prompt(features, visual.prepare([*shots, other]))

    assert prompts.sparse.shape == (2, 18, WIDTH)
    for shot, tokens in zip(shots, prompts.sparse[0].split(6), strict=True):
        alone = visual.prompt(features, visual.prepare([shot])).sparse[0]
        torch.testing.assert_close(tokens, alone)
    once = visual.prompt(features, visual.prepare([other])).sparse[0]
    torch.testing.assert_close(prompts.sparse[1], once.repeat(3, 1))


@torch.inference_mode()
@pytest.mark.parametrize("size", [(16, 16), (33, 250), (250, 17), (300, 300)])
def test_frames_of_any_size(visual: FullSizeModel, size: tuple[int, int]) -> None:
    features = visual.encode(frame(1, size))
    prompts = visual.prompt(features, visual.prepare([reference(visual)]))
    logits = visual.decode(features, prompts)
    assert features.size == size
    assert logits.shape == (1, *size)
    assert logits.dtype == torch.float32
    assert logits.isfinite().all()
    assert prompts.pseudo_mask is not None
    rows, columns = prompts.pseudo_mask.shape[-2:]
    # Cells of the frame alone, none of the padding.
    assert (rows, columns) == tuple(-(-8 * side // max(size)) for side in size)


def test_encoding_a_batch_equals_encoding_each(visual: FullSizeModel) -> None:
    batch = torch.cat([frame(1), frame(2)])
    together = visual.encode(batch)
    assert len(together) == 2
    for i in range(2):
        alone = visual.encode(batch[i : i + 1])
        torch.testing.assert_close(together[i].embedding, alone.embedding, rtol=1e-4, atol=1e-5)
        for ours, theirs in zip(together[i].semantic, alone.semantic, strict=True):
            torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)


def test_only_the_vrp_encoder_learns(make_tiny_sam: Callable[[], Sam]) -> None:
    model = build(make_tiny_sam())
    features = model.encode(frame(1))
    prompts = model.prompt(features, model.prepare([reference(model)]))
    model.decode(features, prompts).square().mean().backward()
    learning = {name for name, p in model.named_parameters() if p.grad is not None}
    assert learning == {n for n, _ in model.named_parameters() if n.startswith("vrp_encoder.")}


def test_a_vrp_encoder_of_another_backbone_is_refused(tiny_sam: Sam) -> None:
    with pytest.raises(InputError, match="another semantic encoder"):
        FullSizeModel("tiny", tiny_sam, EfficientNetLite0(), VRPEncoder(1536, WIDTH))


def test_geometric_prompts_lie_in_the_pseudo_mask() -> None:
    pseudo_mask = torch.full((2, 1, 6, 8), 0.70)
    pseudo_mask[0, 0, 1:4, 2:5] = 0.80
    pseudo_mask[1, 0, 5, 7] = 0.80  # fewer cells than points
    points, labels, boxes = geometric_prompts(pseudo_mask, 10.0)
    assert boxes.tolist() == [[20, 10, 50, 40], [70, 50, 80, 60]]
    assert points.shape == (2, 5, 2)
    assert labels.eq(1).all()
    for (x0, y0, x1, y1), inside in zip(boxes.tolist(), points, strict=True):
        assert inside[:, 0].ge(x0).all()
        assert inside[:, 0].le(x1).all()
        assert inside[:, 1].ge(y0).all()
        assert inside[:, 1].le(y1).all()
    assert len(points[0].unique(dim=0)) == 5
    assert torch.equal(points, geometric_prompts(pseudo_mask, 10.0)[0])


def test_a_mask_is_padded_below_and_to_the_right() -> None:
    padded = pad_to_square(torch.ones(1, 1, 2, 5))
    assert padded.shape == (1, 1, 5, 5)
    assert padded[..., :2, :].eq(1).all()
    assert padded.sum() == 10
