"""Annotations keep their geometry through any invertible transforms of image and annotation."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from napari.components import ViewerModel
from tests.properties.conftest import examples

from napari_vrp_sam.annotations.geometry import shape_to_mask
from napari_vrp_sam.plugin.layers.annotations import Annotation, references_from_layers
from napari_vrp_sam.plugin.layers.transforms import layer_map
from napari_vrp_sam.testing import drawn_shapes, layer_transforms

pytestmark = pytest.mark.filterwarnings("ignore:Non-orthogonal slicing")
FRAME = 40, 52
OFF_CENTRE = np.array([0.1234567, 0.7654321])
"""Moves vertices so that no edge passes through the centre of a pixel, where rounding decides."""


@given(layer_transforms(3), layer_transforms(3), st.integers(0, 2**16))
@examples(8)
def test_there_and_back_is_the_identity(one, other, seed):
    viewer = ViewerModel()
    image = viewer.add_image(np.zeros((4, *FRAME), np.uint8), **one)
    points = viewer.add_points(np.zeros((1, 3)), **other)
    there, back = layer_map(image, points, viewer.dims), layer_map(points, image, viewer.dims)
    positions = np.random.default_rng(seed).uniform(0, 50, (20, 3))
    np.testing.assert_allclose(back(there(positions)), positions, atol=1e-5)
    assert back.magnification * there.magnification > 0


@given(
    layer_transforms(3, in_plane=True),
    layer_transforms(3, in_plane=True),
    drawn_shapes((FRAME[0] - 1, FRAME[1] - 1)),
    st.integers(0, 3),
)
@examples(8)
def test_a_shape_marks_the_pixels_below_it(of_image, of_shapes, shape, frame):
    viewer = ViewerModel()
    image = viewer.add_image(np.zeros((4, *FRAME), np.uint8), **of_image)
    layer = viewer.add_shapes(ndim=3, **of_shapes)
    vertices = shape.vertices + OFF_CENTRE
    there = layer_map(image, layer, viewer.dims)
    drawn = there(np.insert(vertices, 0, frame, axis=1))
    layer.add(drawn, shape_type=shape.shape_type, edge_width=shape.width * there.magnification)
    (reference,) = references_from_layers(image, [Annotation(layer)], viewer.dims, axes="ZYX")
    expected, kind = shape_to_mask(shape.shape_type, vertices, FRAME, width=shape.width)
    assert (reference.frame, reference.kind) == (frame, kind)
    np.testing.assert_array_equal(reference.mask, expected)


@given(layer_transforms(3, in_plane=True), layer_transforms(3, in_plane=True), st.data())
@examples(8)
def test_a_point_marks_the_pixel_below_it(of_image, of_points, data):
    row, column = (data.draw(st.integers(0, side - 1)) for side in FRAME)
    frame = data.draw(st.integers(0, 3))
    viewer = ViewerModel()
    image = viewer.add_image(np.zeros((4, *FRAME), np.uint8), **of_image)
    layer = viewer.add_points(ndim=3, **of_points)
    layer.add(layer_map(image, layer, viewer.dims)([(frame, row, column)]))
    (reference,) = references_from_layers(
        image, [Annotation(layer)], viewer.dims, axes="ZYX", point_radius=0.5
    )
    assert reference.frame == frame
    assert np.argwhere(reference.mask).tolist() == [[row, column]]


@given(layer_transforms(3), st.integers(0, 3), st.integers(0, 2**16))
@examples(8)
def test_labels_with_the_transform_of_the_image_stay_as_painted(transform, frame, seed):
    painted = np.zeros((4, *FRAME), np.uint8)
    top, left = np.random.default_rng(seed).integers(0, 25, 2)
    painted[frame, top : top + 9, left : left + 11] = 1
    viewer = ViewerModel()
    image = viewer.add_image(np.zeros(painted.shape, np.uint8), **transform)
    layer = viewer.add_labels(painted, **transform)
    (reference,) = references_from_layers(image, [Annotation(layer)], viewer.dims, axes="ZYX")
    assert reference.frame == frame
    np.testing.assert_array_equal(reference.mask, painted[frame])
