"""Measurements of single steps for `speed.py`."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from segment_anything import sam_model_registry
from segment_anything.modeling import (
    ImageEncoderViT,
    MaskDecoder,
    PromptEncoder,
    Sam,
    TwoWayTransformer,
)
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from napari_vrp_sam.models.base import EncodedReference
from napari_vrp_sam.models.precision import mixed_precision
from napari_vrp_sam.models.sam.attention import AttentionInput, biased_sdpa, blockwise_attention
from napari_vrp_sam.models.sam.full_size_model import FullSizeModel
from napari_vrp_sam.models.sam.image_encoder import attention_for, encode_images
from napari_vrp_sam.models.vrp.semantic_encoders import build_semantic_encoder


def sam_of(name: str) -> Sam:
    """Build SAM with random weights; "tiny" is a small model for tests."""
    if name != "tiny":
        return sam_model_registry[name]()
    encoder = ImageEncoderViT(
        img_size=1024,
        depth=2,
        embed_dim=128,
        num_heads=2,
        use_rel_pos=True,
        window_size=14,
        global_attn_indexes=(1,),
    )
    transformer = TwoWayTransformer(depth=2, embedding_dim=256, mlp_dim=256, num_heads=4)
    decoder = MaskDecoder(transformer_dim=256, transformer=transformer)
    prompts = PromptEncoder(256, (64, 64), (1024, 1024), mask_in_chans=16)
    return Sam(encoder, prompts, decoder).eval()


def matrix_peak(device: torch.device) -> dict[str, float]:
    """Measure the TFLOP/s of a large matrix product, an upper bound."""
    peaks = {}
    side = 8192
    for dtype in (torch.bfloat16, torch.float16, torch.float32):
        a, b = (torch.randn(side, side, device=device, dtype=dtype) for _ in range(2))
        seconds = timed(partial(torch.mm, a, b), 20)
        peaks[str(dtype).removeprefix("torch.")] = 2 * side**3 / seconds / 1e12
    return peaks


@torch.no_grad()
def counted_flops(model: FullSizeModel) -> dict[str, float]:
    """Count the floating-point operations of the encoders per frame."""
    counted: dict[str, float] = {}
    with torch.device("meta"):
        sam, semantic = sam_of(model.name), build_semantic_encoder("resnet50")
        image = torch.empty(1, 3, model.input_side, model.input_side)
        small = torch.empty(1, 3, model.semantic_side, model.semantic_side)
        work: dict[str, Callable[[], Any]] = {
            "image_encoder": lambda: encode_images(sam.image_encoder, image, blockwise_attention),
            "image_encoder_of_sam": lambda: sam.image_encoder(image),
            "semantic_encoder": lambda: semantic.shallow(small),
        }
        for part, step in work.items():
            with FlopCounterMode(display=False) as counter:
                step()
            counted[part] = counter.get_total_flops()
    counted["total"] = counted["image_encoder"] + counted["semantic_encoder"]
    return counted


@torch.no_grad()
def closeness(model: FullSizeModel) -> dict[str, float | str]:
    """Compute the largest difference to SAM's encoder, relative to its largest value.

    On a GPU, `attention` is the name of the attention that is used.
    """
    encoder = model.sam.image_encoder
    device = next(encoder.parameters()).device
    torch.manual_seed(1)
    images = torch.randn(1, 3, model.input_side, model.input_side, device=device)
    with mixed_precision(device, "float32"):
        expected = encoder(images)
        found = difference(encode_images(encoder, images), expected)
    differences: dict[str, float | str] = {"float32": found}
    if device.type == "cuda":
        with mixed_precision(device, "bfloat16"):
            differences["bfloat16_of_sam"] = difference(encoder(images), expected)
            differences["bfloat16"] = difference(encode_images(encoder, images), expected)
            masked = encode_images(encoder, images, biased_sdpa)
            differences["bfloat16_scaled_dot_product"] = difference(masked, expected)
            differences["attention"] = attention_for(images).__name__
    return differences


def difference(found: Tensor, expected: Tensor) -> float:
    return float((found.float() - expected).abs().max() / expected.abs().max())


@torch.no_grad()
def parts(model: FullSizeModel, size: int, batch: int, *, compiled: bool) -> dict[str, float]:
    """Measure the milliseconds per frame of each step, in batches."""
    device = next(model.parameters()).device
    frames = torch.rand(batch, 3, size, size, device=device)
    model.precision, model.compiled, model.pseudo_mask = "auto", compiled, "probe"
    features = model.encode(frames)
    mask = torch.zeros(size, size, device=device)
    mask[size // 4 : size // 2, size // 4 : size // 2] = 1
    prepared = model.prepare([EncodedReference(features[0], mask, 1)])
    large = model.sam.preprocess(255 * frames)
    small = torch.rand(batch, 3, model.semantic_side, model.semantic_side, device=device)
    small = small.contiguous(memory_format=torch.channels_last)

    def in_precision(work: Callable[[], Any]) -> Callable[[], Any]:
        def run() -> None:
            with mixed_precision(device, model.precision):
                work()

        return run

    encoder = model.sam.image_encoder
    work: dict[str, Callable[[], Any]] = {
        "encode": partial(model.encode, frames),
        "image_encoder": in_precision(lambda: encode_images(encoder, large, compiled=compiled)),
        "image_encoder_of_sam": in_precision(lambda: encoder(large[:1])),
        "semantic_encoder": in_precision(lambda: model.semantic.shallow(small)),
        "prompt_and_decode": partial(model.segment, features, prepared),
        "prompt_and_decode_one": partial(model.segment, features[0], prepared),
    }
    alone = {"image_encoder_of_sam", "prompt_and_decode_one"}
    return {
        name: 1e3 * timed(step, 5) / (1 if name in alone else batch) for name, step in work.items()
    }


@torch.no_grad()
def attention_variants(model: FullSizeModel, batch: int) -> dict[str, Any]:
    """Measure the milliseconds of an attention layer per frame, windowed and global."""
    from napari_vrp_sam.models.sam import attention_kernel as kernel

    layer = model.sam.image_encoder.blocks[0].attn
    heads, device = layer.num_heads, layer.qkv.weight.device
    dim = layer.qkv.in_features // heads
    grid = model.input_side // 16

    def drawn(*shape: int) -> Tensor:
        return torch.randn(shape, device=device, dtype=torch.bfloat16)

    found: dict[str, Any] = {}
    tiles = {
        grid: [(128, 64, 8, 3), (64, 64, 4, 3), (128, 128, 8, 3)],
        14: [(64, 64, 4, 2), (64, 64, 4, 1), (128, 64, 8, 2)],
    }
    for side, of_side in tiles.items():
        given = AttentionInput(
            qkv=drawn(batch, grid, grid, 3, heads, dim),
            padding=drawn(3, heads, dim),
            rows=drawn(2 * side - 1, dim),
            columns=drawn(2 * side - 1, dim),
            side=side,
        )
        name = "windows" if side == 14 else "whole"
        variants: dict[str, Callable[[], Any]] = {
            f"{name} biased_sdpa": partial(biased_sdpa, given),
        }
        for tile in of_side:
            sizes = dict(zip(("queries", "keys", "num_warps", "num_stages"), tile, strict=True))
            variants[f"{name} kernel {tile}"] = partial(kernel.launch, given, sizes)
        for variant, step in variants.items():
            try:
                found[variant] = 1e3 * timed(step, 20) / batch
            except Exception as error:
                found[variant] = f"{type(error).__name__}: {error}"[:200]
    return found


def timed(step: Callable[[], Any], repeats: int) -> float:
    """Measure the seconds of a step on a GPU."""
    for _ in range(3):
        step()
    start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    start.record()
    for _ in range(repeats):
        step()
    end.record()
    end.synchronize()
    return float(start.elapsed_time(end)) / 1e3 / repeats
