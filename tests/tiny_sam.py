"""Tiny Segment Anything model for tests."""

from __future__ import annotations

from functools import partial

import torch
from segment_anything.modeling import (
    ImageEncoderViT,
    MaskDecoder,
    PromptEncoder,
    Sam,
    TwoWayTransformer,
)

SIDE = 256
WIDTH = 64


def build_tiny_sam(seed: int = 0, depth: int = 2) -> Sam:
    """Return a SAM with 256 px, width 64 and random weights, by default with two blocks."""
    torch.manual_seed(seed)
    grid = SIDE // 16
    encoder = ImageEncoderViT(
        img_size=SIDE,
        depth=depth,
        embed_dim=WIDTH,
        num_heads=2,
        norm_layer=partial(torch.nn.LayerNorm, eps=1e-6),
        use_rel_pos=True,
        window_size=7,
        global_attn_indexes=(depth - 1,),
        out_chans=WIDTH,
    )
    decoder = MaskDecoder(
        transformer_dim=WIDTH,
        transformer=TwoWayTransformer(depth=2, embedding_dim=WIDTH, mlp_dim=128, num_heads=4),
        iou_head_hidden_dim=WIDTH,
    )
    prompts = PromptEncoder(WIDTH, (grid, grid), (SIDE, SIDE), mask_in_chans=16)
    return Sam(encoder, prompts, decoder).eval()
