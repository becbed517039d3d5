"""Prompt generator: learnable queries gather the class from the reference, then from the target."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

TEMPERATURE = 10000.0


class PromptGenerator(nn.Module):
    """Queries attend to the enhanced reference (equation 4), then to the enhanced target (5).

    Each half is one cross-attention and one self-attention, post-norm, without dropout and
    without a feed-forward block. The result are prompt tokens for SAM's mask decoder.

    Parameters
    ----------
    dim : int, default 256
        Width of queries, features and prompts; a multiple of four and of `heads`.
    queries : int, default 50
        Number of prompts; 0 where the first queries are given from outside.
    heads : int, default 4
        Attention heads.
    """

    def __init__(self, dim: int = 256, queries: int = 50, heads: int = 4) -> None:
        super().__init__()
        self.queries = nn.Parameter(torch.randn(queries, dim)) if queries else None
        self.reference_cross_attention = ResidualAttention(dim, heads)
        self.reference_self_attention = ResidualAttention(dim, heads)
        self.target_cross_attention = ResidualAttention(dim, heads)
        self.target_self_attention = ResidualAttention(dim, heads)

    def attend_reference(self, enhanced: Tensor, queries: Tensor | None = None) -> Tensor:
        """Queries after the reference.

        Parameters
        ----------
        enhanced : Tensor, shape (B, dim, h, w)
        queries : Tensor, shape (B, N, dim), optional
            What to begin with; the learnable queries unless given.

        Returns
        -------
        Tensor, shape (B, N, dim)
        """
        if queries is None:
            assert self.queries is not None
            queries = self.queries.expand(len(enhanced), -1, -1)
        queries = self.reference_cross_attention(queries, *_keys_and_values(enhanced))
        attended: Tensor = self.reference_self_attention(queries, queries, queries)
        return attended

    def attend_target(self, queries: Tensor, enhanced: Tensor) -> Tensor:
        """Prompts of shape (B, N, dim) from queries that have seen the reference."""
        return self.attend_target_tokens(queries, *_keys_and_values(enhanced))

    def attend_target_tokens(self, queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        """The same from any cells of a target, each (B, M, dim); keys know their position."""
        queries = self.target_cross_attention(queries, keys, values)
        prompts: Tensor = self.target_self_attention(queries, queries, queries)
        return prompts


class ResidualAttention(nn.Module):
    """Attention, residual, layer norm."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(dim, heads, batch_first=True)
        self.norm = nn.LayerNorm(dim)

    def forward(self, queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        """Attend from (B, N, dim) to (B, M, dim)."""
        # Without weights the fused kernel runs.
        attended, _ = self.attention(queries, keys, values, need_weights=False)
        normed: Tensor = self.norm(queries + attended)
        return normed


def sine_position_embedding(height: int, width: int, dim: int, *, like: Tensor) -> Tensor:
    """Sine embedding of grid positions (DETR's), normalised to 2 pi.

    Parameters
    ----------
    height, width : int
        The grid.
    dim : int
        Channels, a multiple of four: the first half holds y, the second x; even channels are
        sines, odd ones cosines.
    like : Tensor
        Gives device and dtype.

    Returns
    -------
    Tensor, shape (height * width, dim)
    """
    y = sine_axis_embedding(height, dim, like=like)[:, None].expand(-1, width, -1)
    x = sine_axis_embedding(width, dim, like=like)[None].expand(height, -1, -1)
    return torch.cat([y, x], dim=-1).flatten(0, 1)


def sine_axis_embedding(length: int, dim: int, *, like: Tensor) -> Tensor:
    """Half of the embedding along one axis of the grid, shape (length, dim / 2)."""
    position = torch.arange(1, length + 1, device=like.device, dtype=torch.float32)
    position = position / (length + 1e-6) * (2 * math.pi)
    pair = torch.arange(dim // 4, device=like.device, dtype=torch.float32)
    angle = position[:, None] / TEMPERATURE ** (4 * pair / dim)
    return torch.stack([angle.sin(), angle.cos()], dim=-1).flatten(1).to(like.dtype)


def _keys_and_values(features: Tensor) -> tuple[Tensor, Tensor]:
    """Tokens of a (B, dim, h, w) map; only the keys know their position."""
    _, dim, height, width = features.shape
    values = features.flatten(2).transpose(1, 2)
    return values + sine_position_embedding(height, width, dim, like=features), values
