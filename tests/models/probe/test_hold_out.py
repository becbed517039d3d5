"""What is learned from and what is looked at never overlap."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from napari_vrp_sam.models.base import FrameFeatures
from napari_vrp_sam.models.probe.encoded_shots import Shot, make_shot
from napari_vrp_sam.models.probe.hold_out import kept, with_hold_out

HEIGHT, WIDTH = 24, 40


def shot(mask: Tensor) -> Shot:
    maps = (torch.zeros(1, 1, 16, 32),)  # reaches beyond the frame: there is padding
    return make_shot(FrameFeatures((HEIGHT, WIDTH), maps[0], maps), maps, mask[None], ["mask"])


def box(rows: slice, columns: slice) -> Tensor:
    mask = torch.zeros(HEIGHT, WIDTH)
    mask[rows, columns] = 1
    return mask


@pytest.mark.parametrize(
    "mask", [box(slice(3, 9), slice(2, 34)), box(slice(1, 23), slice(30, 36))], ids=["wide", "tall"]
)
def test_one_reference_is_cut_across_the_class(mask: Tensor) -> None:
    (marked,) = with_hold_out([shot(mask)])
    assert marked.half is not None
    assert set(marked.half.unique().tolist()) == {0.0, 1.0}
    first, second = kept(marked, 0), kept(marked, 1)
    for name in ("mask", "foreground", "background", "known"):
        whole, one, other = (getattr(s, name) for s in (marked, first, second))
        torch.testing.assert_close(one + other, whole)
        assert not (one * other).any()
    assert first.foreground.sum() == second.foreground.sum() == mask.sum() / 2
    # A straight cut: each half of the class lies on one side.
    rows = [s.foreground.nonzero()[:, 1 if mask[:, 34].any() else 2] for s in (first, second)]
    assert rows[0].max() < rows[1].min()


def test_of_several_references_every_other_is_a_half() -> None:
    shots = with_hold_out([shot(box(slice(2, 6 + i), slice(2, 9))) for i in range(3)])
    for number, marked in enumerate(shots):
        for side in (0, 1):
            left = kept(marked, side)
            assert torch.equal(left.foreground, marked.foreground * (number % 2 == side))
            assert torch.equal(left.known, marked.known * (number % 2 == side))


def test_frames_without_the_class_are_no_half() -> None:
    body = box(slice(3, 9), slice(2, 34))
    nothing = torch.zeros_like(body)
    alone = with_hold_out([shot(body)])[0].half
    beside = with_hold_out([shot(body), shot(nothing)])[0].half
    assert alone is not None
    assert beside is not None
    assert torch.equal(alone, beside)
    marked = with_hold_out([shot(mask) for mask in (nothing, body, nothing, body)])
    assert [float(s.half.max()) for s in marked if s.half is not None] == [0, 0, 0, 1]


def test_the_class_in_one_spot_leaves_a_half_without_it() -> None:
    (marked,) = with_hold_out([shot(box(slice(5, 6), slice(5, 6)))])
    assert sorted(float(kept(marked, side).foreground.sum()) for side in (0, 1)) == [0, 1]
