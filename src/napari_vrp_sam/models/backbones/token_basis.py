"""Principal components of the tokens of annotated frames."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

COMPONENTS = 192
"""Largest number of components. Four blocks of ViT-S have 1,536 channels, most of them redundant:
probes on all of them would take eight times as long."""

MAX_TOKENS = 8192
"""Largest number of tokens that the components are computed from."""


@dataclass(frozen=True, eq=False)
class TokenBasis:
    """Mean (C,) and components (C, K) of tokens."""

    mean: Tensor
    components: Tensor

    @classmethod
    def fit(cls, embeddings: Sequence[Tensor]) -> TokenBasis:
        """Compute the components of embeddings, each of shape (1, C, h, w)."""
        tokens = torch.cat([e.flatten(2)[0].T for e in embeddings])
        tokens = tokens[:: -(-len(tokens) // MAX_TOKENS)].double()
        mean = tokens.mean(dim=0)
        centred = tokens - mean
        # Eigenvectors in ascending order of their variances.
        _, vectors = torch.linalg.eigh((centred.T @ centred).cpu())
        components = vectors.flip(1)[:, :COMPONENTS]
        return cls(mean.to(embeddings[0]), components.to(embeddings[0]))

    def project(self, embedding: Tensor) -> Tensor:
        """Return the components (B, K, h, w) of an embedding (B, C, h, w)."""
        centred = embedding - self.mean[:, None, None]
        return torch.einsum("bchw,ck->bkhw", centred, self.components)
