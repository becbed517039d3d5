"""Strategy for shapes that people draw on a frame."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray

SHAPE_TYPES = ("line", "path", "rectangle", "polygon", "ellipse")


@dataclass(frozen=True, eq=False)
class DrawnShape:
    """Shape on a frame, as napari's Shapes layers have them.

    Attributes
    ----------
    shape_type : {"line", "path", "rectangle", "polygon", "ellipse"}
    vertices : ndarray, shape (N, 2), float64
        Rows and columns in pixels; of rectangles and ellipses the four corners in order.
    width : float
        Edge width of lines and paths in pixels.
    """

    shape_type: str
    vertices: NDArray[np.float64]
    width: float = 1.0

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:  # noqa: ARG002, FBT001
        printer.text(repr(self))

    def __repr__(self) -> str:
        return f"DrawnShape({self.shape_type!r}, {self.vertices.tolist()}, {self.width})"


@st.composite
def drawn_shapes(
    draw: st.DrawFn, frame_shape: tuple[int, int], *, smallest: float = 3.0
) -> DrawnShape:
    """Generate shapes inside of a frame: lines, paths, boxes, polygons and ellipses.

    Parameters
    ----------
    draw : DrawFn
        Supplied by Hypothesis.
    frame_shape : tuple of int
        Height and width of the frame in pixels.
    smallest : float, default: 3
        Smallest height and width of a shape in pixels; less may be taken for a click.

    Returns
    -------
    strategy of DrawnShape

    Examples
    --------
    >>> from hypothesis import given
    >>> from napari_vrp_sam.annotations.geometry import shape_to_mask
    >>> @given(drawn_shapes((40, 50)))
    ... def test_each_shape_marks_pixels(shape):
    ...     mask, kind = shape_to_mask(shape.shape_type, shape.vertices, (40, 50))
    ...     assert mask.any()
    >>> test_each_shape_marks_pixels()
    """
    shape_type = draw(st.sampled_from(SHAPE_TYPES))
    height, width = frame_shape
    top, left = draw(st.floats(0, height - 1 - smallest)), draw(st.floats(0, width - 1 - smallest))
    bottom = draw(st.floats(top + smallest, height - 1))
    right = draw(st.floats(left + smallest, width - 1))
    corners = np.array([(top, left), (top, right), (bottom, right), (bottom, left)])
    if shape_type in ("rectangle", "ellipse"):
        return DrawnShape(shape_type, corners)
    if shape_type == "line":
        return DrawnShape(shape_type, corners[[0, 2]], draw(st.floats(1, 6)))
    inside = st.tuples(st.floats(top, bottom), st.floats(left, right))
    more = np.array(draw(st.lists(inside, min_size=1, max_size=4)))
    return DrawnShape(shape_type, np.vstack([corners[[0, 2]], more]), draw(st.floats(1, 6)))
