"""Training data of the probe of full-size models, on random maps."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from napari_vrp_sam.models.base import EncodedReference, FrameFeatures
from napari_vrp_sam.models.sam.probe import canvas_shot, fit_probe, probe_maps

SIZE = (48, 90)
"""Size of the frame: 6.4 of 12 rows of the finest map, 4.3 of 8 and 3.2 of 6 of the others."""


def random_features(padding: float | None = None, size: tuple[int, int] = SIZE) -> FrameFeatures:
    """Return random maps of a frame; the padding is random too or has a constant value."""
    generator = torch.Generator().manual_seed(0)
    maps = []
    for channels, cells in ((5, 8), (7, 6), (4, 12)):
        values = torch.randn(1, channels, cells, cells, generator=generator)
        if padding is not None:
            values[..., -(-cells * size[0] // 90) :, :] = padding
        maps.append(values)
    return FrameFeatures(size, maps[2], (maps[0], maps[1], torch.zeros(1, 1, 6, 6)))


def square(start: int, stop: int, size: tuple[int, int] = SIZE) -> Tensor:
    mask = torch.zeros(size)
    mask[start:stop, start:stop] = 1
    return mask


def test_finest_map_comes_first() -> None:
    features = random_features()
    assert [m.shape[1] for m in probe_maps(features)] == [4, 5, 7]
    swapped = FrameFeatures(SIZE, features.semantic[1], (features.embedding, features.semantic[0]))
    assert [m.shape[1] for m in probe_maps(swapped)] == [4, 5, 7]


@pytest.mark.parametrize("kind", ["mask", "box", "scribble"])
def test_padding_does_not_affect_the_probe(kind: str) -> None:
    # The frame ends with a row of cells on every map, so interpolation could reach the padding.
    size = (45, 90)
    mask = square(10, 40, size)
    target = [torch.rand(1, channels, 12, 12) for channels in (4, 5, 7)]

    def logits(padding: float | None) -> Tensor:
        reference = EncodedReference(random_features(padding, size), mask, 1, kind)
        probe = fit_probe([reference], [reference])
        return probe.logits(target, (12, 12))

    expected = logits(None)
    assert expected.std() > 0.1
    for padding in (0.0, 1e3):
        torch.testing.assert_close(logits(padding), expected, rtol=0, atol=0)


def test_annotations_are_resized_by_area_inside_the_frame() -> None:
    # A cell has 90 / 24 = 3.75 px; the last row of cells is 80 % frame.
    everywhere = EncodedReference(random_features(), torch.ones(SIZE), 1)
    shot = canvas_shot(everywhere, [everywhere])
    assert shot.mask.shape == (1, 24, 24)
    torch.testing.assert_close(shot.mask[0, :13], torch.ones(13, 24))
    assert shot.known[0, :12].min() == 1
    assert 0 < shot.known[0, 12].max() < 1
    assert shot.known[0, 13:].max() == 0
    assert shot.background.sum() == 0

    small = EncodedReference(random_features(), square(15, 17), 1)
    shot = canvas_shot(small, [small])
    assert shot.mask.sum() == pytest.approx(4 / 3.75**2, rel=0.2)
    torch.testing.assert_close(shot.foreground + shot.background, shot.known)


def test_other_classes_and_ignored_pixels_are_on_the_canvas() -> None:
    ignored = square(0, 15) > 0
    own = EncodedReference(random_features(), square(15, 30), 1, "point", frame=2, ignored=ignored)
    other = EncodedReference(random_features(), square(30, 45), 2, "scribble", frame=2)
    shot = canvas_shot(own, [own, other])
    assert shot.known[0, :4, :4].max() == 0
    assert shot.known[0, 4:12, 4:].min() == 1
    assert (shot.foreground + shot.background)[0, :4, :4].max() == 0
    assert shot.mask[0, 4:8, 4:8].min() == 1
    assert shot.excluded[0, 8:12, 8:12].min() == 1
    assert shot.excluded.sum() == 16
    assert shot.sparse.all()
    elsewhere = canvas_shot(own, [own, replace(other, frame=3)])
    assert elsewhere.excluded.sum() == 0
