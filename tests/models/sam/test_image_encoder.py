"""Fast image encoder against SAM's own."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from peft import LoraConfig, inject_adapter_in_model
from segment_anything.modeling import ImageEncoderViT, Sam
from torch import nn

from napari_vrp_sam.models.sam import attention as attention_module
from napari_vrp_sam.models.sam.attention import (
    Attention,
    AttentionInput,
    biased_sdpa,
    blockwise_attention,
)
from napari_vrp_sam.models.sam.image_encoder import encode_images

SIDE = 256


@pytest.fixture
def encoder(make_tiny_sam: Callable[..., Sam]) -> ImageEncoderViT:
    """Encoder with 16 x 16 tokens, windows of 7 and relative positions other than zero."""
    encoder = make_tiny_sam().image_encoder
    for name, parameter in encoder.named_parameters():
        if "pos" in name or name.endswith("bias"):
            nn.init.normal_(parameter, std=0.3)
    return encoder


@torch.no_grad()
@pytest.mark.parametrize("attention", [None, blockwise_attention, biased_sdpa])
def test_embeddings_equal_sam(encoder: ImageEncoderViT, attention: Attention | None) -> None:
    images = torch.randn(2, 3, SIDE, SIDE)
    found = encode_images(encoder, images, attention)
    torch.testing.assert_close(found, encoder(images), rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_lora_adapters_are_applied(encoder: ImageEncoderViT) -> None:
    images = torch.randn(1, 3, SIDE, SIDE)
    before = encoder(images)
    inject_adapter_in_model(LoraConfig(r=2, target_modules=["qkv"]), encoder)
    for name, parameter in encoder.named_parameters():
        if "lora_B" in name:
            nn.init.normal_(parameter, std=0.3)
    encoder.eval()
    found = encode_images(encoder, images)
    torch.testing.assert_close(found, encoder(images), rtol=1e-4, atol=1e-5)
    assert (found - before).abs().max() > 1e-2


@torch.no_grad()
def test_half_precision_is_accurate(encoder: ImageEncoderViT) -> None:
    images = torch.randn(1, 3, SIDE, SIDE)
    expected = encoder(images)
    with torch.autocast("cpu", torch.bfloat16):
        found = encode_images(encoder, images)
    assert (found - expected).abs().max() < 0.03 * expected.abs().max()


@pytest.mark.parametrize("attention", [blockwise_attention, biased_sdpa])
@pytest.mark.parametrize("limit", [7, 64, 5000])
def test_result_does_not_depend_on_block_size(
    monkeypatch: pytest.MonkeyPatch, attention: Attention, limit: int
) -> None:
    """Blocks of one query, some queries of a window, or several windows."""
    torch.manual_seed(0)
    qkv, padding = torch.randn(2, 6, 9, 3, 2, 8), torch.randn(3, 2, 8)
    inputs = AttentionInput(qkv, padding, torch.randn(7, 8), torch.randn(7, 8), side=4)
    expected = attention(inputs)
    monkeypatch.setattr(attention_module, "BLOCK_SCORES", limit)
    monkeypatch.setattr(attention_module, "MASK_SCORES", limit)
    torch.testing.assert_close(attention(inputs), expected)
    assert expected.shape == (2, 6, 9, 16)
