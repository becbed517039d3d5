"""Memory bank of reference features to which targets are compared, for class and background.

The paper's pseudo-mask (section 4.1) is the highest similarity to the annotated object. Outside the
domain of photographs all features are similar, and the class is recognised by being more similar to
the object than to the background. So the background has features in the bank, too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from napari_vrp_sam.models.probe.encoded_shots import Shot

TOKENS = 512
"""Tokens of the class and of the background; bounds memory for frames of any size."""

CELLS = 2048
"""Target cells that a CPU compares at a time, so that the products fit into its cache."""


@dataclass(frozen=True, eq=False)
class ReferenceBank:
    """Normalised reference tokens (B, TOKENS, C_i) of B classes on several feature levels.

    Mean and scale (B, C_i, 1, 1) of the references standardise the targets, too.
    """

    foreground: tuple[Tensor, ...]
    background: tuple[Tensor, ...]
    mean: tuple[Tensor, ...]
    scale: tuple[Tensor, ...]

    def similarity(self, maps: Sequence[Tensor], grid: tuple[int, int]) -> Tensor:
        """Return the highest cosine similarity of target cells to the class and the background.

        The maps (B or 1, C_i, h_i, w_i) are on the levels of the bank. The result has the shape
        (B, 2 * levels, *grid): for each level the similarity to the class, then to the background.
        """
        channels = []
        for level, features in enumerate(maps):
            target = (features - self.mean[level]) / self.scale[level]
            tokens = F.normalize(target.flatten(2), dim=1)
            chunks = [tokens] if tokens.device.type != "cpu" else torch.split(tokens, CELLS, dim=2)
            for bank in (self.foreground[level], self.background[level]):
                best = torch.cat([torch.bmm(bank, chunk).amax(dim=1) for chunk in chunks], dim=1)
                best = best.reshape(len(bank), 1, *features.shape[-2:])
                channels.append(F.interpolate(best, grid, mode="bilinear", align_corners=False))
        return torch.cat(channels, dim=1)


def build_bank(
    shots: Sequence[Shot], levels: Sequence[int], *, generator: torch.Generator | None = None
) -> ReferenceBank:
    """Sample tokens of B classes from their references, on some levels of the semantic maps.

    The default of `generator`, which must be on the CPU, has a fixed seed.
    """
    generator = generator or torch.Generator().manual_seed(0)
    columns: list[list[Tensor]] = [[], [], [], []]
    for level in levels:
        maps = [shot.features.semantic[level] for shot in shots]
        tokens = torch.cat([m.flatten(2).transpose(1, 2) for m in maps], dim=1)
        mean = tokens.mean(dim=1, keepdim=True)
        scale = tokens.std(dim=1, keepdim=True, correction=0) + 1e-3
        tokens = F.normalize((tokens - mean) / scale, dim=-1)
        for column, name in zip(columns[:2], ("foreground", "background"), strict=True):
            # Weighted by area: a cell half covered by the class is drawn half as often.
            weights = torch.cat(
                [
                    F.adaptive_avg_pool2d(
                        getattr(shot, name).cpu(), (m.shape[-2], m.shape[-1])
                    ).flatten(1)
                    for shot, m in zip(shots, maps, strict=True)
                ],
                dim=1,
            )
            # With replacement, because a class may have fewer cells than the bank has tokens.
            drawn = torch.multinomial(weights + 1e-9, TOKENS, replacement=True, generator=generator)
            drawn = drawn.to(tokens.device)[..., None].expand(-1, -1, tokens.shape[-1])
            column.append(tokens.gather(1, drawn))
        columns[2].append(mean.transpose(1, 2)[..., None])
        columns[3].append(scale.transpose(1, 2)[..., None])
    return ReferenceBank(*map(tuple, columns))
