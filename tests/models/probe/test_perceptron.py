"""The perceptron computed in strips equals the perceptron computed at once."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from napari_vrp_sam.models.probe import perceptron as module
from napari_vrp_sam.models.probe.perceptron import PerceptronProbe, hidden_strips
from napari_vrp_sam.models.probe.probe import cell_features

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
def test_strips_equal_the_projection_of_resized_maps(
    layout: torch.memory_format, rows: int, strips: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "STRIP_BYTES", rows * 20 * 8 * 4)
    maps, (parts, bias) = maps_in(layout), weights()
    expected = cell_features(maps, (12, 20))[0] @ torch.cat(parts) + bias
    actual = list(hidden_strips([m[0] for m in maps], parts, bias))
    assert len(actual) == strips
    assert {len(strip) for strip in actual[:-1]} <= {rows * 20}
    torch.testing.assert_close(torch.cat(actual), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("frames", [1, 2])
def test_cpu_and_gpu_evaluation_agree(frames: int) -> None:
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
    strips = probe.in_strips(maps, parts, probe.hidden_bias)
    at_once = probe.at_once(maps, parts, probe.hidden_bias)
    assert strips.shape == (2, 1, 12, 20)
    torch.testing.assert_close(strips, at_once, rtol=1e-4, atol=1e-4)
