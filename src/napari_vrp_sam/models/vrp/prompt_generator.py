"""Prompt generator: queries attend to the reference, then to the target."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

TEMPERATURE = 10000.0


class PromptGenerator(nn.Module):
    """Attention of queries to the enhanced reference, then to the enhanced target.

    Each of the two (paper, equations 4 and 5) is a cross-attention and a self-attention, post-norm,
    without dropout or feed-forward block. The results are prompt tokens for SAM's mask decoder.

    Parameters
    ----------
    dim : int, default 256
        Width of queries, features and prompts; a multiple of four and of `heads`.
    queries : int, default 50
        Number of learnable queries; 0 if the caller provides the initial queries.
    heads : int, default 4
        Number of attention heads.
    """

    def __init__(self, dim: int = 256, queries: int = 50, heads: int = 4) -> None:
        super().__init__()
        self.queries = nn.Parameter(torch.randn(queries, dim)) if queries else None
        self.reference_cross_attention = ResidualAttention(dim, heads)
        self.reference_self_attention = ResidualAttention(dim, heads)
        self.target_cross_attention = ResidualAttention(dim, heads)
        self.target_self_attention = ResidualAttention(dim, heads)

    def attend_reference(self, enhanced: Tensor, queries: Tensor | None = None) -> Tensor:
        """Return the queries after their attention to the reference.

        Parameters
        ----------
        enhanced : Tensor, shape (B, dim, h, w)
        queries : Tensor, shape (B, N, dim), optional
            Initial queries; default: the learnable ones.

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
        """Return prompts of shape (B, N, dim); for queries after `attend_reference`."""
        return self.attend_target_tokens(queries, *_keys_and_values(enhanced))

    def attend_target_tokens(self, queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        """Return prompts of shape (B, N, dim) from M cells of a target.

        `values` are features of shape (B, M, dim), `keys` the same with position embedding.
        """
        queries = self.target_cross_attention(queries, keys, values)
        prompts: Tensor = self.target_self_attention(queries, queries, queries)
        return prompts


class ResidualAttention(nn.Module):
    """Attention with residual connection and layer norm."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(dim, heads, batch_first=True)
        self.norm = nn.LayerNorm(dim)

    def forward(self, queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        """Attend from queries (B, N, dim) to keys and values (B, M, dim)."""
        # PyTorch's fused kernel returns no attention weights.
        attended, _ = self.attention(queries, keys, values, need_weights=False)
        normed: Tensor = self.norm(queries + attended)
        return normed


def sine_position_embedding(height: int, width: int, dim: int, *, like: Tensor) -> Tensor:
    """Return the sine embedding of grid positions, normalised to 2 pi (DETR).

    Parameters
    ----------
    height, width : int
        Size of the grid.
    dim : int
        Number of channels, a multiple of four. The first half encodes y, the second x; even
        channels are sines, odd ones cosines.
    like : Tensor
        Tensor with the device and dtype of the result.

    Returns
    -------
    Tensor, shape (height * width, dim)
    """
    y = sine_axis_embedding(height, dim, like=like)[:, None].expand(-1, width, -1)
    x = sine_axis_embedding(width, dim, like=like)[None].expand(height, -1, -1)
    return torch.cat([y, x], dim=-1).flatten(0, 1)


def sine_axis_embedding(length: int, dim: int, *, like: Tensor) -> Tensor:
    """Return the half of the embedding for one axis of the grid, shape (length, dim / 2)."""
    position = torch.arange(1, length + 1, device=like.device, dtype=torch.float32)
    position = position / (length + 1e-6) * (2 * math.pi)
    pair = torch.arange(dim // 4, device=like.device, dtype=torch.float32)
    angle = position[:, None] / TEMPERATURE ** (4 * pair / dim)
    return torch.stack([angle.sin(), angle.cos()], dim=-1).flatten(1).to(like.dtype)


def _keys_and_values(features: Tensor) -> tuple[Tensor, Tensor]:
    """Flatten a (B, dim, h, w) map to tokens; only keys get a position embedding."""
    _, dim, height, width = features.shape
    values = features.flatten(2).transpose(1, 2)
    return values + sine_position_embedding(height, width, dim, like=features), values
