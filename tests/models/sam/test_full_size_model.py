"""Full-size model with a tiny SAM."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from segment_anything import SamPredictor
from segment_anything.modeling import Sam
from torch import Tensor

from napari_vrp_sam.annotations.simulate import simulate_annotation
from napari_vrp_sam.errors import InputError
from napari_vrp_sam.io.samples import sample_stack
from napari_vrp_sam.models.base import EncodedReference
from napari_vrp_sam.models.sam.full_size_model import FullSizeModel
from napari_vrp_sam.models.sam.geometric_prompts import encode_geometric, geometric_prompts
from napari_vrp_sam.models.sam.prompting import Prompting
from napari_vrp_sam.models.vrp.pseudo_mask import PseudoMaskKind
from napari_vrp_sam.models.vrp.semantic_encoders import EfficientNetLite0
from napari_vrp_sam.models.vrp.vrp_encoder import VRPEncoder
from napari_vrp_sam.models.zoo.registry import load_model

SIDE, WIDTH = 256, 64
"""Longest side in pixels and embedding width of the tiny SAM."""
SIZE = (100, 180)
ROW_RANGE, COLUMN_RANGE = slice(20, 70), slice(30, 110)


def build(
    sam: Sam, *, vrp: bool = True, pseudo_mask: PseudoMaskKind = "correlation"
) -> FullSizeModel:
    torch.manual_seed(2)
    semantic = EfficientNetLite0()
    encoder = VRPEncoder(152, WIDTH, queries=6) if vrp else None
    model = FullSizeModel(
        "tiny", sam, semantic, encoder, semantic_side=128, pseudo_mask=pseudo_mask
    )
    return model.eval()


def frame(seed: int = 0, size: tuple[int, int] = SIZE) -> Tensor:
    return torch.rand(1, 3, *size, generator=torch.Generator().manual_seed(seed))


def reference(model: FullSizeModel, class_id: int = 1, seed: int = 0) -> EncodedReference:
    mask = torch.zeros(SIZE)
    mask[ROW_RANGE, COLUMN_RANGE] = 1
    return EncodedReference(model.encode(frame(seed)), mask.roll(5 * class_id, 1), class_id)


@pytest.fixture(scope="module")
def with_vrp_encoder(tiny_sam: Sam) -> FullSizeModel:
    return build(tiny_sam)


@pytest.fixture(scope="module")
def with_probe(tiny_sam: Sam) -> FullSizeModel:
    return build(tiny_sam, pseudo_mask="probe")


@pytest.fixture(scope="module")
def geometric(tiny_sam: Sam) -> FullSizeModel:
    return build(tiny_sam, vrp=False)


@torch.inference_mode()
def test_masks_of_geometric_prompts_equal_those_of_sams_predictor(
    geometric: FullSizeModel, tiny_sam: Sam
) -> None:
    target = frame(1)
    features = geometric.encode(target)
    prepared = geometric.prepare([reference(geometric, 1), reference(geometric, 2)])
    prompts = geometric.prompt(features, prepared)
    logits = geometric.decode(features, prompts)

    predictor = SamPredictor(tiny_sam)
    # Not with `transform.apply_image_torch`, which swaps the axes in release 1.0.
    resized = F.interpolate(target, (142, SIDE), mode="bilinear", antialias=True)
    predictor.set_torch_image(255 * resized, SIZE)
    # Stage 3 of a frame of 128 px has 8 x 8 cells, the upper five rows show the frame.
    pseudo_masks = torch.cat([c.pseudo_mask(features) for c in prepared])[..., :5, :]
    points, boxes = geometric_prompts(pseudo_masks, SIDE / 8)
    labels = torch.ones(points.shape[:2], dtype=torch.int32)
    expected, _, _ = predictor.predict_torch(
        points, labels, boxes, multimask_output=False, return_logits=True
    )

    assert logits.shape == (2, *SIZE)
    torch.testing.assert_close(logits, expected[:, 0], rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(features.embedding, predictor.get_image_embedding())


@torch.inference_mode()
def test_classes_of_a_batch_are_independent(with_vrp_encoder: FullSizeModel) -> None:
    features = with_vrp_encoder.encode(frame(1))
    references = [reference(with_vrp_encoder, 7), reference(with_vrp_encoder, 3)]

    together = with_vrp_encoder.prompt(features, with_vrp_encoder.prepare(references))
    logits = with_vrp_encoder.decode(features, together)

    assert together.class_ids == (3, 7)
    assert together.sparse.shape == (2, 6, WIDTH)
    for row, one in ((0, references[1]), (1, references[0])):
        alone = with_vrp_encoder.prompt(features, with_vrp_encoder.prepare([one]))
        torch.testing.assert_close(alone.sparse, together.sparse[row : row + 1])
        torch.testing.assert_close(
            with_vrp_encoder.decode(features, alone)[0], logits[row], rtol=1e-4, atol=1e-5
        )
    assert (logits[0] - logits[1]).abs().max() > 1e-4


@torch.inference_mode()
def test_shots_are_concatenated_and_repeated(with_vrp_encoder: FullSizeModel) -> None:
    features = with_vrp_encoder.encode(frame(1))
    shots = [reference(with_vrp_encoder, 1, seed) for seed in (0, 5, 6)]
    other = reference(with_vrp_encoder, 2)

    prompts = with_vrp_encoder.prompt(features, with_vrp_encoder.prepare([*shots, other]))

    assert prompts.sparse.shape == (2, 18, WIDTH)
    for shot, tokens in zip(shots, prompts.sparse[0].split(6), strict=True):
        alone = with_vrp_encoder.prompt(features, with_vrp_encoder.prepare([shot])).sparse[0]
        torch.testing.assert_close(tokens, alone)
    once = with_vrp_encoder.prompt(features, with_vrp_encoder.prepare([other])).sparse[0]
    torch.testing.assert_close(prompts.sparse[1], once.repeat(3, 1))


@torch.no_grad()
@pytest.mark.parametrize("pseudo_mask", ["probe", "correlation"])
@pytest.mark.parametrize("size", [(16, 16), (33, 250), (250, 17), (300, 300)])
def test_frames_of_any_size(
    tiny_sam: Sam, size: tuple[int, int], pseudo_mask: PseudoMaskKind
) -> None:
    model = build(tiny_sam, pseudo_mask=pseudo_mask)
    features = model.encode(frame(1, size))
    mask = torch.zeros(size)
    mask[3:9, 3:9] = 1
    references = [reference(model), EncodedReference(features, mask, 1, "point")]
    prompts = model.prompt(features, model.prepare(references))
    logits = model.decode(features, prompts)
    assert features.size == size
    assert logits.shape == (1, *size)
    assert logits.dtype == torch.float32
    assert logits.isfinite().all()
    assert prompts.pseudo_mask is not None
    rows, columns = prompts.pseudo_mask.shape[-2:]
    # Only cells of the frame, without padding.
    assert (rows, columns) == tuple(-(-8 * side // max(size)) for side in size)


def test_encoding_a_batch_equals_encoding_each_frame(with_vrp_encoder: FullSizeModel) -> None:
    batch = torch.cat([frame(1), frame(2)])
    together = with_vrp_encoder.encode(batch)
    assert len(together) == 2
    for i in range(2):
        alone = with_vrp_encoder.encode(batch[i : i + 1])
        torch.testing.assert_close(together[i].embedding, alone.embedding, rtol=1e-4, atol=1e-5)
        for ours, theirs in zip(together[i].semantic, alone.semantic, strict=True):
            torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4)


@torch.no_grad()
@pytest.mark.parametrize("pseudo_mask", ["probe", "correlation"])
@pytest.mark.parametrize("prompting", ["vrp", "points", "points+box", "box"])
def test_segmenting_a_batch_equals_segmenting_each_frame(
    tiny_sam: Sam, pseudo_mask: PseudoMaskKind, prompting: Prompting
) -> None:
    model = build(tiny_sam, pseudo_mask=pseudo_mask).with_prompting(prompting)
    prepared = model.prepare([reference(model, 1), reference(model, 2), reference(model, 2, 5)])
    features = model.encode(torch.cat([frame(seed) for seed in (1, 2, 3)]))
    vectorised = model.segment_vectorised(features, prepared)  # as on a GPU
    assert torch.backends.mha.get_fastpath_enabled()
    each = [model.decode(features[i], model.prompt(features[i], prepared)) for i in range(3)]
    expected = torch.stack(each)
    assert (expected[0] - expected[1]).abs().max() > 1e-3
    torch.testing.assert_close(model.segment(features, prepared), expected)
    torch.testing.assert_close(vectorised, expected, rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_stage_4_runs_only_for_the_correlation(
    with_vrp_encoder: FullSizeModel, with_probe: FullSizeModel
) -> None:
    complete, shallow = (
        model.encode(frame(1)).semantic for model in (with_vrp_encoder, with_probe)
    )
    assert (len(complete), len(shallow)) == (3, 2)
    for deep, same in zip(complete[:2], shallow, strict=True):
        torch.testing.assert_close(deep, same)


@torch.no_grad()
def test_features_are_single_precision(tiny_sam: Sam) -> None:
    model = build(tiny_sam)
    exact = model.encode(frame(1))
    model.precision = "bfloat16"
    half = model.encode(frame(1))
    for found, expected in zip(
        (half.embedding, *half.semantic), (exact.embedding, *exact.semantic), strict=True
    ):
        assert found.dtype == torch.float32
        assert 0 < (found - expected).abs().max() < 0.05 * expected.abs().max()


def test_only_the_vrp_encoder_learns(make_tiny_sam: Callable[[], Sam]) -> None:
    model = build(make_tiny_sam())
    features = model.encode(frame(1))
    prompts = model.prompt(features, model.prepare([reference(model)]))
    model.decode(features, prompts).square().mean().backward()
    learning = {name for name, p in model.named_parameters() if p.grad is not None}
    assert learning == {n for n, _ in model.named_parameters() if n.startswith("vrp_encoder.")}


def test_only_the_vrp_encoder_learns_with_the_probe_too(make_tiny_sam: Callable[[], Sam]) -> None:
    model = build(make_tiny_sam(), pseudo_mask="probe")
    features = model.encode(frame(1))
    prompts = model.prompt(features, model.prepare([reference(model)]))
    model.decode(features, prompts).square().mean().backward()
    assert all(
        (p.grad is not None) == name.startswith("vrp_encoder.")
        for name, p in model.named_parameters()
    )


@pytest.fixture(scope="module")
def trained(tiny_sam: Sam) -> FullSizeModel:
    """Model with the trained backbone of `lite` as semantic encoder and a random SAM."""
    semantic = EfficientNetLite0()
    lite: Any = load_model("lite")
    semantic.backbone.load_state_dict(lite.network.backbone.state_dict())
    return FullSizeModel("tiny", tiny_sam, semantic, prompting="points+box").eval()


@torch.no_grad()
@pytest.mark.parametrize(("kind", "least"), [("mask", 0.55), ("scribble", 0.4), ("point", 0.3)])
def test_probe_finds_the_class_on_a_frame_of_another_shape(
    trained: FullSizeModel, kind: str, least: float
) -> None:
    stack, labels = sample_stack(frames=2)
    images = torch.from_numpy(stack.astype(np.float32) / 255)[:, None].repeat(1, 3, 1, 1)
    ground_truth = torch.from_numpy(labels > 0)
    drawn = torch.from_numpy(
        simulate_annotation(ground_truth[1].numpy(), kind, np.random.default_rng(0))
    )
    # A wide reference and a tall target, with padding on different sides.
    wide = EncodedReference(trained.encode(images[1:, :, :200]), drawn[:200], 1, kind)
    target = trained.encode(images[:1, :, :, 56:])
    pseudo_mask = trained.prompt(target, trained.prepare([wide])).pseudo_mask
    assert pseudo_mask is not None
    assert pseudo_mask.shape == (1, 1, 32, 25)
    found = F.interpolate(pseudo_mask, (256, 200), mode="bilinear")[0, 0] > 0
    wanted = ground_truth[0][:, 56:]
    overlap = float((found & wanted).sum() / (found | wanted).sum())
    assert overlap > least > float(wanted.float().mean())


def painted(ground_truth: Tensor, colour: tuple[float, float, float], seed: int) -> Tensor:
    """Return a frame with a class of one colour on blue background, shape (1, 3, H, W)."""
    shades = (torch.tensor(c)[:, None, None] for c in (colour, (0.2, 0.2, 0.8)))
    return torch.where(ground_truth > 0, *shades)[None] + 0.1 * frame(
        seed, tuple(ground_truth.shape)
    )


@pytest.mark.full_learning
@torch.no_grad()
def test_probe_is_fitted_to_all_references(with_probe: FullSizeModel) -> None:
    """A class that is red on one frame and green on another needs both references."""
    mask = torch.zeros(SIZE)
    mask[10:80, 20:100] = 1
    colours = [(0.8, 0.2, 0.2), (0.2, 0.8, 0.2)]
    red, green = (
        EncodedReference(with_probe.encode(painted(mask, colour, seed)), mask, 1)
        for seed, colour in enumerate(colours)
    )
    other = mask.flip(0, 1)
    targets = [
        with_probe.encode(painted(other, colour, 7))
        for colour in [(0.8, 0.2, 0.2), (0.2, 0.8, 0.2)]
    ]
    inside = F.adaptive_avg_pool2d(other[None], (5, 8))[0] > 0.9

    def found(references: list[EncodedReference]) -> list[float]:
        prepared = with_probe.prepare(references)
        assert prepared[0].pseudo_mask(targets[0]).shape == (1, 1, 8, 8)
        prompts = [with_probe.prompt(target, prepared) for target in targets]
        assert all(p.sparse.shape == (1, 6 * len(references), WIDTH) for p in prompts)
        return [float((p.pseudo_mask[0, 0] > 0)[inside].float().mean()) for p in prompts]

    alone, together = found([red]), found([red, green])
    assert alone[0] > 0.9
    assert alone[1] < 0.5
    assert min(together) > 0.9


@torch.no_grad()
@pytest.mark.parametrize("vrp", [True, False])
def test_prompts_depend_on_the_probe(tiny_sam: Sam, vrp: bool) -> None:
    """Both kinds of prompts, VRP encoder and GP-SAM, use the pseudo-mask of the probe."""
    model = build(tiny_sam, vrp=vrp, pseudo_mask="probe")
    model = model.with_prompting("vrp" if vrp else "points+box")
    (prepared,) = model.prepare([reference(model)])
    features = model.encode(frame(1))
    sparse = model.prompt(features, [prepared]).sparse
    empty = replace(prepared, pseudo_mask=lambda _: torch.zeros(1, 1, 8, 8))
    assert (model.prompt(features, [empty]).sparse - sparse).abs().max() > 1e-3


@torch.no_grad()
@pytest.mark.parametrize("prompting", ["points", "box"])
def test_only_points_or_only_a_box(geometric: FullSizeModel, prompting: Prompting) -> None:
    model = geometric.with_prompting(prompting)
    features, shown = model.encode(frame(1)), [reference(model)]
    sparse = model.prompt(features, model.prepare(shown)).sparse
    both = geometric.prompt(features, geometric.prepare(shown)).sparse
    # Points come first; a box has two tokens, and points without a box have an extra token.
    own = slice(0, 5) if prompting == "points" else slice(5, 7)
    torch.testing.assert_close(sparse[:, : 5 if prompting == "points" else 2], both[:, own])
    assert sparse.shape[1] == (6 if prompting == "points" else 2)
    assert geometric.prompting == "points+box"


@torch.no_grad()
def test_prompting_probe_returns_the_map_of_the_probe(trained: FullSizeModel) -> None:
    stack, labels = sample_stack(frames=2)
    images = torch.from_numpy(stack.astype(np.float32) / 255)[:, None].repeat(1, 3, 1, 1)
    ground_truth = torch.from_numpy(labels > 0)
    model = trained.with_prompting("probe")
    shown = EncodedReference(model.encode(images[1:]), ground_truth[1].float(), 1)
    target = model.encode(images[:1, :, :150])  # wider than high, so the canvas has padding
    logits = model.decode(target, model.prompt(target, model.prepare([shown])))
    assert logits.shape == (1, 150, 256)
    wanted = ground_truth[0][:150]
    overlap = float((logits[0].gt(0) & wanted).sum() / (logits[0].gt(0) | wanted).sum())
    assert overlap > 0.55 > float(wanted.float().mean())


def test_unsupported_promptings(geometric: FullSizeModel, with_vrp_encoder: FullSizeModel) -> None:
    assert with_vrp_encoder.prompting == "vrp"
    assert with_vrp_encoder.with_prompting("points+box").prompting == "points+box"
    with pytest.raises(InputError, match=r"'tiny' has no VRP encoder: .* points, box, points"):
        geometric.with_prompting("vrp")
    with pytest.raises(
        InputError, match="Unknown prompting 'guess': choose one of vrp, objects, points"
    ):
        geometric.with_prompting("guess")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="needs the pseudo-mask 'probe'"):
        with_vrp_encoder.with_prompting("probe")


def test_vrp_encoder_of_another_backbone_is_refused(tiny_sam: Sam) -> None:
    with pytest.raises(InputError, match="another SAM or semantic encoder"):
        FullSizeModel("tiny", tiny_sam, EfficientNetLite0(), VRPEncoder(1536, WIDTH))


def test_geometric_prompts_are_inside_the_pseudo_mask() -> None:
    pseudo_mask = torch.full((2, 1, 6, 8), 0.70)
    pseudo_mask[0, 0, 1:4, 2:5] = 0.80
    pseudo_mask[1, 0, 5, 7] = 0.80  # fewer cells than points
    points, boxes = geometric_prompts(pseudo_mask, 10.0)
    assert boxes.tolist() == [[20, 10, 50, 40], [70, 50, 80, 60]]
    assert points.shape == (2, 5, 2)
    assert len(points[1].unique(dim=0)) == 1
    for (x0, y0, x1, y1), inside in zip(boxes.tolist(), points, strict=True):
        assert inside[:, 0].ge(x0).all()
        assert inside[:, 0].le(x1).all()
        assert inside[:, 1].ge(y0).all()
        assert inside[:, 1].le(y1).all()
    assert len(points[0].unique(dim=0)) == 5
    assert torch.equal(points, geometric_prompts(pseudo_mask, 10.0)[0])
    few = pseudo_mask[..., :1, :3]
    assert geometric_prompts(few, 10.0)[0].shape == (2, 5, 2)


@torch.no_grad()
@pytest.mark.parametrize("prompting", ["points", "box", "points+box"])
def test_geometric_prompts_are_encoded_as_in_sam(tiny_sam: Sam, prompting: Prompting) -> None:
    pseudo_mask = torch.rand(3, 1, 6, 8, generator=torch.Generator().manual_seed(0))
    points, boxes = geometric_prompts(pseudo_mask, 10.0)
    labels = torch.ones(points.shape[:2], dtype=torch.int32)
    expected = tiny_sam.prompt_encoder(
        None if prompting == "box" else (points, labels),
        None if prompting == "points" else boxes,
        None,
    )
    for found, wanted in zip(
        encode_geometric(tiny_sam, pseudo_mask, 10.0, prompting), expected, strict=True
    ):
        torch.testing.assert_close(found, wanted)


@pytest.mark.parametrize("pseudo_mask", ["probe", "correlation"])
def test_reference_without_the_class_adds_no_prompts(
    tiny_sam: Sam, pseudo_mask: PseudoMaskKind
) -> None:
    model = build(tiny_sam, pseudo_mask=pseudo_mask)
    target = model.encode(frame(3))
    shown = reference(model)
    nowhere = EncodedReference(model.encode(frame(5)), torch.zeros(SIZE), 1)
    alone = model.prompt(target, model.prepare([shown]))
    together = model.prompt(target, model.prepare([shown, nowhere]))
    assert alone.sparse.shape == together.sparse.shape
    assert torch.isfinite(model.decode(target, together)).all()
