"""A hidden layer in strips is the hidden layer."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from napari_vrp_sam.models.probe.perceptron import PerceptronProbe, hidden_strips
from napari_vrp_sam.models.probe.probe import gather
from napari_vrp_sam.models.probe.probe import perceptron as module

SHAPES = ((3, 12, 20), (5, 6, 10), (4, 12, 20), (2, 5, 3), (6, 1, 1))


def maps_in(layout: torch.memory_format, frames: int = 1) -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    maps = [torch.randn(frames, *shape, generator=generator) for shape in SHAPES]
    return [m.contiguous(memory_format=layout) for m in maps]


def weights(hidden: int = 8) -> tuple[list[Tensor], Tensor]:
    generator = torch.Generator().manual_seed(1)
    parts = [torch.randn(shape[0], hidden, generator=generator) for shape in SHAPES]
    return parts, torch.randn(1, hidden, generator=generator)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize(("rows", "strips"), [(1, 12), (5, 3), (12, 1), (99, 1)])
def test_strips_are_what_projecting_resized_maps_gives(
    layout: torch.memory_format, rows: int, strips: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "STRIP_BYTES", rows * 20 * 8 * 4)
    maps, (parts, bias) = maps_in(layout), weights()
    expected = gather(maps, (12, 20))[0] @ torch.cat(parts) + bias
    found = list(hidden_strips([m[0] for m in maps], parts, bias))
    assert len(found) == strips
    assert {len(strip) for strip in found[:-1]} <= {rows * 20}
    torch.testing.assert_close(torch.cat(found), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("frames", [1, 2])
def test_both_ways_agree(frames: int) -> None:
    """What processors do, and what other devices do."""
    maps, (parts, bias) = maps_in(torch.channels_last, frames), weights()
    generator = torch.Generator().manual_seed(2)
    parts = [torch.randn(2, *part.shape, generator=generator) for part in parts]
    probe = PerceptronProbe(
        torch.zeros(2, 1, 20),
        torch.ones(2, 1, 20),
        torch.cat(parts, dim=1),
        bias.expand(2, -1, -1),
        torch.randn(2, 8, 1, generator=generator),
        torch.randn(2, 1, 1, generator=generator),
    )
    strips = probe._in_strips(maps, parts, probe.hidden_bias)
    at_once = probe._at_once(maps, parts, probe.hidden_bias)
    assert strips.shape == (2, 1, 12, 20)
    torch.testing.assert_close(strips, at_once, rtol=1e-4, atol=1e-4)
