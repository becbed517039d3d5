"""Strategy for transforms of napari layers."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import strategies as st


@st.composite
def layer_transforms(draw: st.DrawFn, ndim: int, *, in_plane: bool = False) -> dict[str, Any]:
    """Generate invertible transforms of a layer, as keyword arguments of napari's layers.

    Parameters
    ----------
    draw : DrawFn
        Supplied by Hypothesis.
    ndim : int
        Number of axes of the layer, at least 2.
    in_plane : bool, default: False
        Rotate and shear frames within their plane only, so that each stays one frame.

    Returns
    -------
    strategy of dict
        Some of `scale`, `translate`, `rotate`, `shear` and `affine`. Scales are 0.05 to 20 in
        size and may be negative; no transform magnifies one direction more than about 2000 times
        as much as another.

    Examples
    --------
    >>> from hypothesis import given
    >>> @given(layer_transforms(3))
    ... def test_each_axis_has_a_scale(transform):
    ...     assert len(transform.get("scale", (1, 1, 1))) == 3
    >>> test_each_axis_has_a_scale()
    """
    transform: dict[str, Any] = {}
    size = st.floats(0.05, 20)
    sign = st.sampled_from((1, -1))
    position = st.floats(-1000, 1000)
    if draw(st.booleans()):
        transform["scale"] = tuple(draw(size) * draw(sign) for _ in range(ndim))
    if draw(st.booleans()):
        transform["translate"] = tuple(draw(position) for _ in range(ndim))
    flat = ndim == 2 or in_plane
    if draw(st.booleans()):
        transform["rotate"] = _rotation(ndim, draw(st.floats(-180, 180)), flat=flat)
        if not flat:
            turns = [_rotation(3, draw(st.floats(-180, 180)), axis) for axis in range(3)]
            matrix = np.eye(ndim)
            matrix[-3:, -3:] = turns[0] @ turns[1] @ turns[2]
            transform["rotate"] = matrix
    if draw(st.booleans()):
        upper = np.eye(ndim)
        upper[-2, -1] = draw(st.floats(-2, 2))
        if not flat:
            upper[-3, -2:] = draw(st.floats(-2, 2)), draw(st.floats(-2, 2))
        transform["shear"] = upper
    if draw(st.booleans()):
        affine = np.eye(ndim + 1)
        affine[-3:-1, -3:-1] = _rotation(2, draw(st.floats(-180, 180))) * draw(st.floats(0.2, 5))
        affine[:-1, -1] = [draw(position) for _ in range(ndim)]
        transform["affine"] = affine
    return transform


def _rotation(ndim: int, degrees: float, axis: int = 0, *, flat: bool = True) -> Any:
    """Return the matrix of a rotation in the last two axes, or about one of three axes."""
    angle = np.deg2rad(degrees)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    matrix = np.eye(ndim)
    first, second = (ndim - 2, ndim - 1) if flat and axis == 0 else _others(ndim, axis)
    matrix[np.ix_((first, second), (first, second))] = turn
    return matrix


def _others(ndim: int, axis: int) -> tuple[int, int]:
    first, second = (at for at in range(3) if at != axis)
    return ndim - 3 + first, ndim - 3 + second
