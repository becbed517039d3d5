"""Tokens of the annotated frames that targets are compared with, class against background.

The paper's pseudo-mask keeps the highest similarity to the annotated object alone. Off the
domain of photographs everything resembles everything, and what tells a class from its
surroundings is which of the two it resembles more: so the background has its own tokens.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from napari_vrp_sam.models.probe.encoded_shots import Shot

TOKENS = 512
"""Tokens kept of the class and of the background; bounds memory for frames of any size."""

CELLS = 2048
"""Of a target that a processor compares at once: the products stay in its cache."""


@dataclass(frozen=True, eq=False)
class ReferenceBank:
    """Normalised reference tokens of B classes on several levels.

    Attributes
    ----------
    foreground, background : tuple of Tensor, each of shape (B, TOKENS, C_i)
    mean, scale : tuple of Tensor, each of shape (B, C_i, 1, 1)
        Standardisation of the reference's channels, applied to targets too.
    """

    foreground: tuple[Tensor, ...]
    background: tuple[Tensor, ...]
    mean: tuple[Tensor, ...]
    scale: tuple[Tensor, ...]

    def similarity(self, maps: Sequence[Tensor], grid: tuple[int, int]) -> Tensor:
        """Highest cosine similarity of every target cell to the class and to the background.

        Parameters
        ----------
        maps : sequence of Tensor, each of shape (B, C_i, h_i, w_i) or (1, C_i, h_i, w_i)
            The target on the bank's levels.
        grid : tuple of int
            Height and width of the result.

        Returns
        -------
        Tensor, shape (B, 2 * levels, *grid)
            For each level the similarity to the class, then that to the background; -1..1.
        """
        channels = []
        for level, features in enumerate(maps):
            target = (features - self.mean[level]) / self.scale[level]
            tokens = F.normalize(target.flatten(2), dim=1)
            for bank in (self.foreground[level], self.background[level]):
                parts = (
                    torch.split(tokens, CELLS, dim=2) if tokens.device.type == "cpu" else [tokens]
                )
                best = torch.cat([torch.bmm(bank, part).amax(dim=1) for part in parts], dim=1)
                channels.append(
                    F.interpolate(
                        best.reshape(len(bank), 1, *features.shape[-2:]),
                        grid,
                        mode="bilinear",
                        align_corners=False,
                    )
                )
        return torch.cat(channels, dim=1)


def build_bank(
    shots: Sequence[Shot],
    levels: Sequence[int],
    *,
    generator: torch.Generator | None = None,
) -> ReferenceBank:
    """Draw tokens of B classes from their references.

    Parameters
    ----------
    shots : sequence of Shot
        One for each reference; batches of B classes.
    levels : sequence of int
        Semantic maps that are compared.
    generator : torch.Generator, optional
        On the CPU; a fixed seed by default, so that runs repeat.
    """
    generator = generator or torch.Generator().manual_seed(0)
    parts: list[list[Tensor]] = [[], [], [], []]
    for level in levels:
        maps = [shot.features.semantic[level] for shot in shots]
        tokens = torch.cat([m.flatten(2).transpose(1, 2) for m in maps], dim=1)
        mean = tokens.mean(dim=1, keepdim=True)
        scale = tokens.std(dim=1, keepdim=True, correction=0) + 1e-3
        tokens = F.normalize((tokens - mean) / scale, dim=-1)
        for index, masks in enumerate(
            ([shot.foreground for shot in shots], [shot.background for shot in shots])
        ):
            # Area weights: a cell that the class half covers is drawn half as often.
            share = torch.cat(
                [
                    F.adaptive_avg_pool2d(mask.cpu(), (m.shape[-2], m.shape[-1])).flatten(1)
                    for mask, m in zip(masks, maps, strict=True)
                ],
                dim=1,
            )
            # Without replacement nothing could be drawn from a class smaller than the bank.
            picks = torch.multinomial(share + 1e-9, TOKENS, replacement=True, generator=generator)
            picks = picks.to(tokens.device)[..., None].expand(-1, -1, tokens.shape[-1])
            parts[index].append(tokens.gather(1, picks))
        parts[2].append(mean.transpose(1, 2)[..., None])
        parts[3].append(scale.transpose(1, 2)[..., None])
    return ReferenceBank(*(tuple(part) for part in parts))
