"""Labels of pixels from annotations, and their hold-out split."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from napari_vrp_sam.models.base import EncodedReference, FrameFeatures
from napari_vrp_sam.models.probe.encoded_shots import (
    Shot,
    assign_folds,
    excluded_pixels,
    make_shot,
    restrict_to_fold,
)


def shot_with_maps(features: FrameFeatures, *args: Any, **options: Any) -> Shot:
    return make_shot(features, features.semantic, *args, **options)


def empty_features(count: int, side: int, size: tuple[int, int] | None = None) -> FrameFeatures:
    frames = torch.zeros(count, 3, side, side)
    maps = tuple(F.avg_pool2d(frames, stride) for stride in (2, 4))
    return FrameFeatures(size or (side, side), torch.zeros(count, 1, side // 8, side // 8), maps)


def test_padding_is_neither_class_nor_background() -> None:
    mask = torch.zeros(1, 50, 40)
    mask[:, 10:20, 10:20] = 0.7
    features = empty_features(1, 64, size=(50, 40))
    shot = shot_with_maps(features, mask, ["mask"], excluded=torch.ones_like(mask))
    known = shot.foreground + shot.background
    assert known.shape == (1, 64, 64)
    torch.testing.assert_close(known[:, :50, :40], torch.ones(1, 50, 40))
    assert known[:, 50:].sum() == known[:, :, 40:].sum() == shot.excluded[:, 50:].sum() == 0


def test_kinds_determine_which_pixels_are_unknown() -> None:
    features = empty_features(4, 64)
    shot = shot_with_maps(features, torch.ones(4, 64, 64), ["mask", "box", "scribble", "point"])
    assert shot.sparse.tolist() == [False, False, True, True]
    assert shot.box.tolist() == [False, True, False, False]
    assert not shot.completed


def test_pixels_may_be_ignored_by_a_fraction() -> None:
    mask, ignored = torch.zeros(1, 64, 64), torch.zeros(1, 64, 64)
    mask[:, :32], ignored[:, :, :32] = 0.5, 0.8
    shot = shot_with_maps(empty_features(1, 64), mask, ["mask"], ignored=ignored)
    torch.testing.assert_close(shot.foreground, 0.5 * (mask > 0) * (1 - ignored))
    torch.testing.assert_close(shot.foreground + shot.background, 1 - ignored)
    torch.testing.assert_close(shot.mask, mask)


def test_other_classes_on_the_frame_are_background() -> None:
    features = empty_features(1, 32)

    def square(start: int, stop: int) -> Tensor:
        mask = torch.zeros(32, 32)
        mask[start:stop, start:stop] = 1
        return mask

    def marked(start: int, class_id: int, **options: Any) -> EncodedReference:
        return EncodedReference(features, square(start, start + 6), class_id, **options)

    reference = marked(0, 1, kind="point", frame=3)
    others = [
        marked(4, 2, kind="point", frame=3),
        marked(20, 1, kind="point", frame=3),
        marked(12, 2, kind="scribble", frame=4),
        marked(24, 3, kind="box", frame=3),
        marked(24, 3, kind="point"),
    ]
    # Class 2 on this frame only, without boxes and without the pixels shared with this class.
    expected = square(4, 10) * (1 - square(0, 6))
    excluded = excluded_pixels(reference, [reference, *others])
    assert excluded is not None
    torch.testing.assert_close(excluded, expected)
    assert excluded_pixels(reference, [reference]) is None
    negative = square(28, 32) > 0
    alone = marked(0, 1, kind="point", frame=3, negative=negative)
    excluded = excluded_pixels(alone, [alone, *others])
    assert excluded is not None
    torch.testing.assert_close(excluded, torch.maximum(expected, negative.float()))


HEIGHT, WIDTH = 24, 40


def shot(mask: Tensor) -> Shot:
    maps = (torch.zeros(1, 1, 16, 32),)  # extends beyond the frame, as padding does
    return make_shot(FrameFeatures((HEIGHT, WIDTH), maps[0], maps), maps, mask[None], ["mask"])


def box(rows: slice, columns: slice) -> Tensor:
    mask = torch.zeros(HEIGHT, WIDTH)
    mask[rows, columns] = 1
    return mask


@pytest.mark.parametrize(
    "mask", [box(slice(3, 9), slice(2, 34)), box(slice(1, 23), slice(30, 36))], ids=["wide", "tall"]
)
def test_a_single_reference_is_cut_across_the_class(mask: Tensor) -> None:
    (split,) = assign_folds([shot(mask)])
    assert split.fold is not None
    assert set(split.fold.unique().tolist()) == {0.0, 1.0}
    first, second = restrict_to_fold(split, 0), restrict_to_fold(split, 1)
    for name in ("mask", "foreground", "background", "known"):
        whole, one, other = (getattr(s, name) for s in (split, first, second))
        torch.testing.assert_close(one + other, whole)
        assert not (one * other).any()
    assert first.foreground.sum() == second.foreground.sum() == mask.sum() / 2
    # Each fold of the class lies on one side of a straight cut.
    rows = [s.foreground.nonzero()[:, 1 if mask[:, 34].any() else 2] for s in (first, second)]
    assert rows[0].max() < rows[1].min()


def test_several_references_alternate_between_the_folds() -> None:
    shots = assign_folds([shot(box(slice(2, 6 + i), slice(2, 9))) for i in range(3)])
    for number, split in enumerate(shots):
        for fold in (0, 1):
            inside = restrict_to_fold(split, fold)
            assert torch.equal(inside.foreground, split.foreground * (number % 2 == fold))
            assert torch.equal(inside.known, split.known * (number % 2 == fold))


def test_frames_without_the_class_do_not_count_as_references() -> None:
    body = box(slice(3, 9), slice(2, 34))
    nothing = torch.zeros_like(body)
    alone = assign_folds([shot(body)])[0].fold
    beside = assign_folds([shot(body), shot(nothing)])[0].fold
    assert alone is not None
    assert beside is not None
    assert torch.equal(alone, beside)
    split = assign_folds([shot(mask) for mask in (nothing, body, nothing, body)])
    assert [float(s.fold.max()) for s in split if s.fold is not None] == [0, 0, 0, 1]


def test_a_class_of_one_pixel_leaves_a_fold_without_it() -> None:
    (split,) = assign_folds([shot(box(slice(5, 6), slice(5, 6)))])
    assert sorted(float(restrict_to_fold(split, fold).foreground.sum()) for fold in (0, 1)) == [
        0,
        1,
    ]
