"""PerSAM on a tiny SAM, against an independent implementation."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

import pytest
import torch
from segment_anything import SamPredictor
from segment_anything.modeling import Sam
from torch import Tensor

from napari_vrp_sam.models.base import EncodedReference, FrameFeatures
from napari_vrp_sam.models.sam.full_size_model import FullSizeModel
from napari_vrp_sam.models.sam.mask_decoder import Guidance, decode_masks
from napari_vrp_sam.models.sam.persam import (
    PerSAMPrompts,
    class_embedding,
    decode_persam,
    persam_prompts,
)
from napari_vrp_sam.models.vrp.semantic_encoders import EfficientNetLite0

SIZE = (100, 180)


def features_of(sam: Sam, seed: int, size: tuple[int, int] = SIZE) -> FrameFeatures:
    """Return features with random embeddings."""
    dim, grid = sam.prompt_encoder.embed_dim, sam.prompt_encoder.image_embedding_size
    random = torch.Generator().manual_seed(seed)
    return FrameFeatures(size, torch.randn(1, dim, *grid, generator=random), ())


def square(size: tuple[int, int], rows: slice, columns: slice) -> Tensor:
    mask = torch.zeros(size)
    mask[rows, columns] = 1
    return mask


def test_class_embedding_is_the_mean_over_covered_cells(tiny_sam: Sam) -> None:
    features = features_of(tiny_sam, 0, (128, 128))  # 16 x 16 cells of 8 pixels
    embedding = features.embedding[0]
    # Half of the cells of rows 16-24 is covered, and a quarter of those of rows 48-56.
    wide = EncodedReference(features, square((128, 128), slice(20, 50), slice(16, 48)), 1)
    expected = embedding[:, 2:6, 2:6].mean(dim=(1, 2))
    torch.testing.assert_close(class_embedding([wide]), expected)
    thin = EncodedReference(features, square((128, 128), slice(8, 9), slice(0, 16)), 1)
    torch.testing.assert_close(class_embedding([thin]), embedding[:, 1, :2].mean(dim=1))
    both = class_embedding([wide, thin])
    torch.testing.assert_close(both, (expected + embedding[:, 1, :2].mean(dim=1)) / 2)


def test_points_have_highest_and_lowest_similarity(tiny_sam: Sam) -> None:
    features = features_of(tiny_sam, 1)
    # SAM's input has 256 pixels a side: 142 rows of frame, cells of 16 pixels, 9 rows of them.
    wanted, unwanted = torch.randn(2, tiny_sam.prompt_encoder.embed_dim)
    embedding = 0.05 * features.embedding
    embedding[0, :, 3:5, 9:11] += wanted[:, None, None]
    embedding[0, :, 6:8, 2:4] -= wanted[:, None, None]
    embedding[0, :, 12:, :] += 5 * wanted[:, None, None]  # on the padding
    frame = FrameFeatures(SIZE, embedding, ())
    prompts = persam_prompts(tiny_sam, frame, (4,), wanted[None])
    (x, y), (x_not, y_not) = prompts.points[0].tolist()
    assert 9 * 16 <= x < 11 * 16
    assert 3 * 16 <= y < 5 * 16
    assert 2 * 16 <= x_not < 4 * 16
    assert 6 * 16 <= y_not < 8 * 16
    attention = prompts.guidance.attention.reshape(16, 16)
    assert attention[3:5, 9:11].min() > 0.9
    assert attention[6:8, 2:4].max() < 0.1
    assert attention[9:].eq(0).all()
    assert prompts.class_ids == (4,)
    other = persam_prompts(tiny_sam, frame, (4,), unwanted[None])
    assert not torch.equal(other.sparse, prompts.sparse)


@contextmanager
def guided(transformer: Any, guidance: Guidance) -> Iterator[None]:
    """Change SAM's transformer by hooks as the original code changes its copy."""
    target = guidance.embedding[:, None]

    def prompt(number: int, module: Any, args: Any, kwargs: Any) -> Any:
        # The queries of the first layer are the tokens, which include the class already.
        kwargs["queries"] = kwargs["queries"] + (target if number else 0)
        return args, kwargs

    def attend(module: Any, args: Any, kwargs: Any, output: Tensor) -> Tensor:
        heads = module.num_heads
        q, k, v = (
            torch.stack(projection(kwargs[name]).chunk(heads, dim=-1), dim=1)
            for name, projection in zip(
                "qkv", (module.q_proj, module.k_proj, module.v_proj), strict=True
            )
        )
        weights = torch.softmax(torch.matmul(q, k.mT) / q.shape[-1] ** 0.5, dim=-1)
        weights = torch.softmax(weights + guidance.attention[:, None, None, :], dim=-1)
        found = torch.cat(list((weights @ v).unbind(dim=1)), dim=-1)
        result: Tensor = module.out_proj(found)
        return result

    def place(module: Any, args: Any, kwargs: Any) -> Any:
        return args, kwargs | {"q": kwargs["q"] + target}

    with ExitStack() as stack:
        for number, layer in enumerate(transformer.layers):
            hook = layer.register_forward_pre_hook(partial(prompt, number), with_kwargs=True)
            stack.callback(hook.remove)
            attention = layer.cross_attn_token_to_image
            hook = attention.register_forward_hook(attend, with_kwargs=True)
            stack.callback(hook.remove)
        final = transformer.final_attn_token_to_image
        stack.callback(final.register_forward_pre_hook(place, with_kwargs=True).remove)
        yield


@torch.inference_mode()
def test_guided_decoding_equals_that_of_the_original_code(tiny_sam: Sam) -> None:
    torch.manual_seed(3)
    decoder = tiny_sam.mask_decoder
    dim, grid = tiny_sam.prompt_encoder.embed_dim, tiny_sam.prompt_encoder.image_embedding_size
    embedding, position = torch.randn(1, dim, *grid), tiny_sam.prompt_encoder.get_dense_pe()
    sparse, dense = torch.randn(3, 4, dim), torch.randn(3, dim, *grid)
    guidance = Guidance(torch.rand(3, grid[0] * grid[1]), torch.randn(3, dim))

    ours = decode_masks(decoder, embedding, position, sparse, dense, guidance=guidance)

    own = torch.cat([decoder.iou_token.weight, decoder.mask_tokens.weight]).expand(3, -1, -1)
    tokens = torch.cat([own, sparse], dim=1) + guidance.embedding[:, None]
    with guided(decoder.transformer, guidance):
        tokens, pixels = decoder.transformer(
            embedding + dense, position.expand(3, -1, -1, -1), tokens
        )
    upscaled = decoder.output_upscaling(pixels.mT.reshape(3, dim, *grid))
    kernel = decoder.output_hypernetworks_mlps[0](tokens[:, 1])
    theirs = (kernel[:, None] @ upscaled.flatten(2)).reshape(3, 1, *upscaled.shape[-2:])
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)
    unguided = decode_masks(decoder, embedding, position, sparse, dense)
    assert (ours - unguided).abs().max() > 1e-3


@torch.inference_mode()
def test_refinement_equals_that_of_sams_predictor(tiny_sam: Sam) -> None:
    """Two passes, with points and mask, then a box too; each selects the best of three masks."""
    features = features_of(tiny_sam, 5)
    classes = torch.randn(2, tiny_sam.prompt_encoder.embed_dim)
    prompts = persam_prompts(tiny_sam, features, (1, 2), classes)
    logits = decode_persam(tiny_sam, features, prompts)

    predictor = SamPredictor(tiny_sam)
    predictor.features, predictor.is_image_set = features.embedding, True
    predictor.original_size, predictor.input_size = SIZE, (142, 256)
    first = decode_masks(
        tiny_sam.mask_decoder,
        features.embedding,
        tiny_sam.prompt_encoder.get_dense_pe(),
        prompts.sparse,
        prompts.dense,
        guidance=prompts.guidance,
    )
    for row in range(2):
        points, labels = prompts.points[row : row + 1], torch.tensor([[1, 0]])
        _, ious, low = predictor.predict_torch(points, labels, mask_input=first[row : row + 1])
        mask = low[:, ious[0].argmax()][:, None]
        whole = tiny_sam.postprocess_masks(mask, (142, 256), SIZE)[0, 0] > 0
        assert whole.any()
        ys, xs = whole.nonzero().unbind(dim=1)
        corners = torch.stack([xs.min(), ys.min(), xs.max(), ys.max()]).float()
        box = corners * torch.tensor([256 / 180, 142 / 100] * 2)
        _, ious, low = predictor.predict_torch(points, labels, box[None], mask)
        torch.testing.assert_close(logits[row, 0], low[0, ious[0].argmax()], rtol=1e-3, atol=1e-4)


@torch.inference_mode()
def test_empty_mask_has_no_box(make_tiny_sam: Callable[..., Sam]) -> None:
    sam = make_tiny_sam()
    features = features_of(sam, 5)
    prompts = persam_prompts(sam, features, (1,), torch.randn(1, sam.prompt_encoder.embed_dim))
    sam.mask_threshold = 1e9  # no pixel exceeds it
    assert decode_persam(sam, features, prompts).isfinite().all()


@pytest.fixture(scope="module")
def model(tiny_sam: Sam) -> FullSizeModel:
    torch.manual_seed(2)
    return FullSizeModel(
        "tiny", tiny_sam, EfficientNetLite0(), semantic_side=128, prompting="persam"
    ).eval()


@torch.no_grad()
def test_model_with_several_classes_and_references(
    make_tiny_sam: Callable[..., Sam],
) -> None:
    device = "cuda" if torch.cuda.is_available() else "cpu"
    semantic = EfficientNetLite0()
    model = FullSizeModel("tiny", make_tiny_sam(), semantic, semantic_side=128, prompting="persam")
    model.to(device).eval()
    random = torch.Generator().manual_seed(0)
    frames = [torch.rand(1, 3, *SIZE, generator=random).to(device) for _ in range(3)]
    target, *shown = (model.encode(frame) for frame in frames)
    mask = square(SIZE, slice(20, 70), slice(30, 110)).to(device)
    references = [
        EncodedReference(shown[0], mask, 7),
        EncodedReference(shown[1], mask.flip(1), 7),
        EncodedReference(shown[1], mask.roll(20, 0), 3),
        EncodedReference(shown[0], torch.zeros(SIZE, device=device), 3),
    ]
    prepared = model.prepare(references)
    prompts = model.prompt(target, prepared)
    assert isinstance(prompts, PerSAMPrompts)
    assert prompts.class_ids == (3, 7)
    logits = model.decode(target, prompts)
    assert logits.shape == (2, *SIZE)
    for row, one in enumerate(prepared):
        alone = model.decode(target, model.prompt(target, [one]))
        torch.testing.assert_close(alone[0], logits[row], rtol=1e-3, atol=1e-3)


@torch.no_grad()
@pytest.mark.parametrize("size", [(16, 16), (33, 250), (250, 17)])
def test_frames_of_any_size(model: FullSizeModel, size: tuple[int, int]) -> None:
    features = model.encode(torch.rand(1, 3, *size, generator=torch.Generator().manual_seed(1)))
    mask = square(size, slice(3, 9), slice(3, 9))
    prepared = model.prepare([EncodedReference(features, mask, 1, "point")])
    logits = model.decode(features, model.prompt(features, prepared))
    assert logits.shape == (1, *size)
    assert logits.isfinite().all()
