"""What annotations say about pixels before a probe has seen them."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from napari_vrp_sam.models.base import EncodedReference, FrameFeatures
from napari_vrp_sam.models.probe.encoded_shots import Shot, make_shot, marks_of_other_classes


def shot_of(features: FrameFeatures, *args: Any, **options: Any) -> Shot:
    return make_shot(features, features.semantic, *args, **options)


def empty_features(count: int, side: int, size: tuple[int, int] | None = None) -> FrameFeatures:
    frames = torch.zeros(count, 3, side, side)
    maps = tuple(F.avg_pool2d(frames, stride) for stride in (2, 4))
    return FrameFeatures(size or (side, side), torch.zeros(count, 1, side // 8, side // 8), maps)


def test_padding_is_neither_class_nor_background() -> None:
    mask = torch.zeros(1, 50, 40)
    mask[:, 10:20, 10:20] = 0.7
    features = empty_features(1, 64, size=(50, 40))
    shot = shot_of(features, mask, ["mask"], excluded=torch.ones_like(mask))
    known = shot.foreground + shot.background
    assert known.shape == (1, 64, 64)
    torch.testing.assert_close(known[:, :50, :40], torch.ones(1, 50, 40))
    assert known[:, 50:].sum() == known[:, :, 40:].sum() == shot.excluded[:, 50:].sum() == 0


def test_kinds_say_what_is_unknown() -> None:
    features = empty_features(4, 64)
    shot = shot_of(features, torch.ones(4, 64, 64), ["mask", "box", "scribble", "point"])
    assert shot.sparse.tolist() == [False, False, True, True]
    assert shot.loose.tolist() == [False, True, False, False]
    assert not shot.completed


def test_pixels_may_be_ignored_in_part() -> None:
    mask, ignored = torch.zeros(1, 64, 64), torch.zeros(1, 64, 64)
    mask[:, :32], ignored[:, :, :32] = 0.5, 0.8
    shot = shot_of(empty_features(1, 64), mask, ["mask"], ignored=ignored)
    torch.testing.assert_close(shot.foreground, 0.5 * (mask > 0) * (1 - ignored))
    torch.testing.assert_close(shot.foreground + shot.background, 1 - ignored)
    torch.testing.assert_close(shot.mask, mask)


def test_other_classes_of_the_frame_are_known_background() -> None:
    features = empty_features(1, 32)

    def square(start: int, stop: int) -> Tensor:
        mask = torch.zeros(32, 32)
        mask[start:stop, start:stop] = 1
        return mask

    def marked(start: int, class_id: int, **options: Any) -> EncodedReference:
        return EncodedReference(features, square(start, start + 6), class_id, **options)

    own = marked(0, 1, kind="point", frame=3)
    others = [
        marked(4, 2, kind="point", frame=3),
        marked(20, 1, kind="point", frame=3),
        marked(12, 2, kind="scribble", frame=4),
        marked(24, 3, kind="box", frame=3),
        marked(24, 3, kind="point"),
    ]
    # Class 2 on this frame, without the pixels it shares with this class; no box, no other frame.
    expected = square(4, 10) * (1 - square(0, 6))
    excluded = marks_of_other_classes(own, [own, *others])
    assert excluded is not None
    torch.testing.assert_close(excluded, expected)
    assert marks_of_other_classes(own, [own]) is None
