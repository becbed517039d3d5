"""A full-size model small enough to run in every test."""

from __future__ import annotations

import pytest
import torch
from segment_anything.modeling import (
    ImageEncoderViT,
    MaskDecoder,
    PromptEncoder,
    Sam,
    TwoWayTransformer,
)

from napari_vrp_sam.models.sam import FullSizeModel
from napari_vrp_sam.models.semantic import EfficientNetLite0
from napari_vrp_sam.models.vrp_encoder import VRPEncoder


@pytest.fixture(scope="session")
def full_size_model() -> FullSizeModel:
    """256 px, two blocks, width 64, random weights."""
    torch.manual_seed(0)
    encoder = ImageEncoderViT(
        img_size=256,
        depth=2,
        embed_dim=64,
        num_heads=2,
        use_rel_pos=True,
        window_size=7,
        global_attn_indexes=(1,),
        out_chans=64,
    )
    transformer = TwoWayTransformer(depth=2, embedding_dim=64, mlp_dim=128, num_heads=4)
    decoder = MaskDecoder(transformer_dim=64, transformer=transformer, iou_head_hidden_dim=64)
    sam = Sam(encoder, PromptEncoder(64, (16, 16), (256, 256), mask_in_chans=16), decoder)
    vrp_encoder = VRPEncoder(152, 64, queries=6)
    return FullSizeModel("tiny", sam, EfficientNetLite0(), vrp_encoder, semantic_side=128).eval()
