"""Drawings are rasterised in their box, with the same pixels as on the whole frame."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_vrp_sam.annotations.geometry import OutsideFrameError, points_to_mask, shape_to_mask
from napari_vrp_sam.io.references.annotations import Drawing
from napari_vrp_sam.io.references.rasterise import FrameMasks, draw

SHAPE = 60, 80
corner = st.tuples(st.floats(-20, 80), st.floats(-20, 100))


@given(
    kind=st.sampled_from(["polygon", "rectangle", "ellipse", "path", "point"]),
    centre=corner,
    size=st.tuples(st.floats(1, 40), st.floats(1, 40)),
    width=st.floats(1, 9),
)
def test_the_box_does_not_change_a_drawing(kind, centre, size, width):
    signs = np.array([(-1, -1), (-1, 1), (1, 1), (1, -1)])
    vertices = np.array(centre) + signs * np.array(size) / 2
    vertices = vertices[:1] if kind == "point" else vertices
    expected = None
    try:
        if kind == "point":
            expected = points_to_mask(vertices, SHAPE) > 0
        else:
            expected = shape_to_mask(kind, vertices, SHAPE, width=width)[0] > 0
    except OutsideFrameError:
        pass
    drawing = Drawing(kind, (vertices,), width=width)
    if expected is None:
        with pytest.raises(OutsideFrameError):
            draw(drawing, SHAPE)
        return
    place, mask, _ = draw(drawing, SHAPE)
    whole = np.zeros(SHAPE, np.bool_)
    whole[place] = mask
    np.testing.assert_array_equal(whole, expected)


def test_many_shapes_on_a_large_frame_take_the_memory_of_their_boxes(monkeypatch):
    square = np.array([(0, 0), (0, 9), (9, 9), (9, 0)], float)
    drawings = [Drawing("polygon", (square + 20 * n,)) for n in range(200)]
    sizes = []
    zeros = np.zeros
    monkeypatch.setattr(np, "zeros", lambda *a, **k: sizes.append(np.prod(a[0])) or zeros(*a, **k))
    masks = FrameMasks(drawings, (4100, 4100), zeros=np.zeros)
    assert masks.classes[1][0].sum() == 200 * 100
    # Whole frames for the class, the background and ignored pixels, and boxes for the shapes.
    assert sum(size > 1000 for size in sizes) == 3
