"""Kernels, streams and graphs of a GPU, compared with the CPU."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
import torch
from segment_anything.modeling import (
    ImageEncoderViT,
    MaskDecoder,
    PromptEncoder,
    Sam,
    TwoWayTransformer,
)

from napari_vrp_sam.annotations.reference import Reference
from napari_vrp_sam.inference.normalisation import Normalisation
from napari_vrp_sam.inference.prediction.cuda_graph import WARM_UPS, CapturedFunction
from napari_vrp_sam.inference.prediction.pipeline import normalise
from napari_vrp_sam.inference.prediction.predictor import Predictor
from napari_vrp_sam.io.samples import sample_stack
from napari_vrp_sam.models.precision import mixed_precision
from napari_vrp_sam.models.probe.tree_kernel import descend
from napari_vrp_sam.models.probe.tree_kernel import kernel_runs as trees_run
from napari_vrp_sam.models.probe.tree_tables import TreeTables
from napari_vrp_sam.models.sam import attention_kernel as kernel
from napari_vrp_sam.models.sam.attention import AttentionInput, biased_sdpa, blockwise_attention
from napari_vrp_sam.models.sam.full_size_model import FullSizeModel
from napari_vrp_sam.models.sam.image_encoder import encode_images
from napari_vrp_sam.models.sam.prompting import Prompting
from napari_vrp_sam.models.vrp.semantic_encoders import ResNet50
from napari_vrp_sam.models.vrp.vrp_encoder import VRPEncoder
from napari_vrp_sam.models.zoo.registry import load_model

CUDA, CPU = torch.device("cuda"), torch.device("cpu")
WHOLE_RANGE = Normalisation((0,), (255,))


def sam_of(dim: int, heads: int) -> Sam:
    """Encoder of two blocks on the grid of SAM: 64 x 64 tokens, windows of 14 x 14."""
    torch.manual_seed(0)
    encoder = ImageEncoderViT(
        depth=2,
        embed_dim=dim,
        num_heads=heads,
        norm_layer=partial(torch.nn.LayerNorm, eps=1e-6),
        use_rel_pos=True,
        window_size=14,
        global_attn_indexes=(1,),
    )
    for name, parameter in encoder.named_parameters():
        if "pos" in name or name.endswith("bias"):
            torch.nn.init.normal_(parameter, std=0.2)
    transformer = TwoWayTransformer(depth=2, embedding_dim=256, mlp_dim=256, num_heads=4)
    decoder = MaskDecoder(transformer_dim=256, transformer=transformer)
    prompts = PromptEncoder(256, (64, 64), (1024, 1024), mask_in_chans=16)
    return Sam(encoder, prompts, decoder).eval().requires_grad_(requires_grad=False)


@pytest.fixture
def model() -> FullSizeModel:
    sam = sam_of(128, 2)
    torch.manual_seed(1)
    return FullSizeModel("small", sam, ResNet50(), VRPEncoder(1536, 256)).eval()


@pytest.fixture(scope="module")
def stack() -> tuple[np.ndarray, np.ndarray]:
    return sample_stack(size=256, frames=11)


def predictor_of(
    model: object, stack: tuple[np.ndarray, np.ndarray], **options: object
) -> Predictor:
    predictor = Predictor(model, **options)  # type: ignore[arg-type]
    references = [Reference(stack[0][0], stack[1][0] == 1, 1, frame=0)]
    predictor.set_references(references, WHOLE_RANGE)
    return predictor


@torch.no_grad()
@pytest.mark.parametrize(("dim", "heads"), [(128, 2), (160, 2)])
def test_the_image_encoder(dim: int, heads: int) -> None:
    encoder = sam_of(dim, heads).image_encoder.to(CUDA)
    images = torch.randn(2, 3, 1024, 1024, device=CUDA)
    expected = encoder(images)
    largest = expected.abs().max()
    assert (encode_images(encoder, images) - expected).abs().max() < 1e-3 * largest
    with mixed_precision(CUDA, "auto"):
        assert (encode_images(encoder, images) - expected).abs().max() < 0.03 * largest
        masked = encode_images(encoder, images, biased_sdpa)
    assert (masked - expected).abs().max() < 0.03 * largest


@pytest.mark.parametrize("dim", [32, 64, 80])
@pytest.mark.parametrize(("tokens", "side"), [(64, 64), (64, 14), (20, 7)])
def test_the_attention_kernel(dim: int, tokens: int, side: int) -> None:
    torch.manual_seed(0)
    shapes = ((2, tokens, tokens, 3, 2, dim), (3, 2, dim), (2 * side - 1, dim), (2 * side - 1, dim))
    qkv, beyond, rows, columns = (torch.randn(s, device=CUDA).bfloat16() for s in shapes)
    assert kernel.kernel_runs(CUDA)
    found = kernel.triton_attention(AttentionInput(qkv, beyond, rows, columns, side))
    exact = AttentionInput(qkv.float(), beyond.float(), rows.float(), columns.float(), side)
    torch.testing.assert_close(found.float(), blockwise_attention(exact), atol=0.05, rtol=0.05)


def test_normalisation_to_the_bit() -> None:
    frames = np.random.default_rng(0).integers(0, 2**16, (2, 64, 64, 3), dtype=np.uint16)
    limits = Normalisation((100.3,) * 3, (40_001.7,) * 3)
    found = normalise(torch.from_numpy(frames.view(np.int16)).to(CUDA), limits).cpu().numpy()
    np.testing.assert_array_equal(found, np.stack([limits.apply(frame) for frame in frames]))


@pytest.mark.parametrize("compiled", [False, True])
def test_a_stream_gives_what_frames_give_one_by_one(
    model: FullSizeModel, stack: tuple[np.ndarray, np.ndarray], compiled: bool
) -> None:
    single = predictor_of(model, stack, device="cuda", precision="float32", batch=1)
    expected = np.stack([single.predict(frame) for frame in stack[0]])
    several = predictor_of(
        model, stack, device="cuda", precision="float32", batch=4, compile=compiled
    )
    found = list(several.predict_stream(stack[0]))
    probabilities = np.stack([p for _, p in found if p is not None])
    np.testing.assert_allclose(probabilities, expected, atol=2e-3)
    for labels, own in found:
        assert own is not None
        np.testing.assert_array_equal(labels, own[0] > 0.5)


def test_a_gpu_gives_what_the_processor_gives(
    model: FullSizeModel, stack: tuple[np.ndarray, np.ndarray]
) -> None:
    model.pseudo_mask = "correlation"  # a probe is trained, and differs in the last digits
    expected = predictor_of(model, stack, device="cpu", precision="float32").predict(stack[0][3])
    exact = predictor_of(model, stack, device="cuda", precision="float32").predict(stack[0][3])
    np.testing.assert_allclose(exact, expected, atol=2e-3)
    half = predictor_of(model, stack, device="cuda").predict(stack[0][3])
    np.testing.assert_allclose(half, expected, atol=0.05)


@pytest.mark.parametrize("prompting", ["vrp", "points+box"])
def test_nothing_in_the_loop_waits_for_the_gpu(
    model: FullSizeModel, stack: tuple[np.ndarray, np.ndarray], prompting: Prompting
) -> None:
    predictor = predictor_of(model.with_prompting(prompting), stack, device="cuda", batch=4)
    run = predictor._batches.logits(predictor.prepared)
    images = torch.rand(4, 3, 256, 256, device=CUDA)
    run(images)
    torch.cuda.set_sync_debug_mode("error")
    try:
        run(images)
    finally:
        torch.cuda.set_sync_debug_mode("default")


def test_a_function_that_waits_runs_without_a_graph() -> None:
    def waiting(given: torch.Tensor) -> torch.Tensor:
        return given * float(given.max())

    graphed = CapturedFunction(waiting)
    for _ in range(3):
        given = torch.rand(3, device=CUDA)
        torch.testing.assert_close(graphed(given), waiting(given))


def test_a_graph_is_captured_once_and_passed_over_by_the_rest() -> None:
    calls: list[int] = []

    def double(given: torch.Tensor) -> torch.Tensor:
        calls.append(len(given))
        return 2 * given

    graphed = CapturedFunction(double)
    for count in (5, 5, 5, 5, 3, 5):
        given = torch.rand(count, 4, device=CUDA)
        torch.testing.assert_close(graphed(given), 2 * given)
    # The first, warming up and capturing, and the rest that is smaller.
    assert calls == [5] + (WARM_UPS + 1) * [5] + [3]


def test_the_tree_kernel() -> None:
    from sklearn.ensemble import ExtraTreesClassifier

    rng = np.random.default_rng(0)
    x = rng.normal(size=(5000, 5)).astype(np.float32)
    y = x[:, 0] * x[:, 1] + rng.normal(size=5000) > 0
    forest = ExtraTreesClassifier(30, max_depth=20, min_samples_leaf=3, random_state=0).fit(x, y)
    cells = torch.from_numpy(rng.normal(size=(5, 100_001)).astype(np.float32))
    assert trees_run(CUDA)
    found = descend(TreeTables.from_forest(forest).to(CUDA), cells.to(CUDA)).cpu()
    expected = torch.from_numpy(forest.predict_proba(cells.T.numpy())[:, 1]).float()
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=0)


def test_lite_on_a_gpu(stack: tuple[np.ndarray, np.ndarray]) -> None:
    expected = predictor_of(load_model("lite"), stack, device="cpu").predict(stack[0][3])[0] > 0.5
    predictor = predictor_of(load_model("lite"), stack, device="cuda", batch=4)
    labels = [labels for labels, _ in predictor.predict_stream(stack[0])]
    found = labels[3] > 0
    assert (found & expected).sum() / (found | expected).sum() > 0.97
