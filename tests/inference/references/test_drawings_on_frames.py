"""Drawings are assigned to frames, and become references of classes."""

from __future__ import annotations

import numpy as np
import pytest

from napari_vrp_sam.errors import InputError
from napari_vrp_sam.inference.frames import Frames
from napari_vrp_sam.inference.out_of_core import scratch
from napari_vrp_sam.inference.references.drawn import drawn_references
from napari_vrp_sam.io.references.annotations import Drawing

STACK = np.random.default_rng(0).integers(0, 255, (3, 40, 60), np.uint8)
FRAMES = Frames(STACK)


def square(row: int, column: int, class_id: int = 1, frame: int | None = None, **options):
    corners = np.array([(0, 0), (0, 9), (9, 9), (9, 0)], float) + np.array((row, column))
    return Drawing("polygon", (corners,), class_id, frame, **options)


def found(drawings, **options):
    references = drawn_references(FRAMES, drawings, **options)
    return [(r.frame, r.class_id, r.kind) for r in references]


def test_each_drawing_is_on_its_frame():
    drawings = [square(5, 5, 2, frame=2), square(5, 30, 1, frame=0)]
    assert found(drawings) == [(0, 1, "mask"), (2, 2, "mask")]
    assert found(drawings, one_class=True, kind="partial") == [(0, 1, "partial"), (2, 1, "partial")]
    assert found(drawings, chosen=2) == [(2, 2, "mask")]
    with pytest.raises(InputError, match="no annotation on frame 1: the file annotates the frames"):
        found(drawings, chosen=1)


def test_drawings_without_a_frame_are_on_the_given_or_only_one():
    with pytest.raises(InputError, match="do not say their frame, but the stack has 3: give"):
        found([square(5, 5)])
    assert found([square(5, 5)], chosen=1) == [(1, 1, "mask")]
    # A file that annotates one frame was drawn on a separate image of it.
    assert found([square(5, 5, frame=0)], chosen=1) == [(1, 1, "mask")]
    (reference,) = drawn_references(Frames(STACK[:1]), [square(5, 5)])
    assert reference.frame == 0
    assert reference.mask.sum() == 100


def test_drawings_outside_the_image_are_reported(caplog):
    outside = square(100, 100, frame=0)
    assert found([square(5, 5, frame=0), outside]) == [(0, 1, "mask")]
    assert "1 of 2 annotations lie outside the image" in caplog.text
    with pytest.raises(InputError, match="All annotations lie outside the image"):
        found([outside])


def test_background_belongs_to_all_classes_of_its_frame():
    drawings = [square(5, 5, 1, frame=0), square(5, 30, 2, frame=1)]
    drawings.append(square(20, 5, frame=1, role="background"))
    references = drawn_references(FRAMES, drawings)
    assert [(r.frame, r.class_id) for r in references] == [(0, 1), (1, 1), (1, 2)]
    # Of class 1, which is not on frame 1, nothing else is known there.
    absent = references[1]
    assert not absent.mask.any()
    np.testing.assert_array_equal(absent.ignored, ~absent.negative)
    assert references[0].negative is None
    for reference in references[1:]:
        assert reference.negative is not None
        assert reference.negative[20:30, 5:15].all()
    with pytest.raises(InputError, match="no annotation of a class, only of background"):
        found(drawings[2:])


def test_large_frames_give_the_same_pixels(monkeypatch):
    drawings = [square(5, 5, 1, frame=1), square(20, 40, 2, frame=1)]
    drawings.append(square(20, 5, frame=1, role="background"))
    drawings.append(square(20, 20, frame=1, role="ignored"))
    expected = drawn_references(FRAMES, drawings)
    monkeypatch.setattr(scratch, "LARGEST_FRAME", 1000)
    references = drawn_references(FRAMES, drawings)
    assert [(r.class_id, r.kind) for r in references] == [(r.class_id, r.kind) for r in expected]
    for one, other in zip(references, expected, strict=True):
        for name in ("image", "mask", "negative", "ignored"):
            np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
