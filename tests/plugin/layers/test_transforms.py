import numpy as np
import pytest
from napari.components import ViewerModel

from napari_vrp_sam.plugin.layers.transforms import layer_map, slice_in_view


@pytest.fixture
def viewer():
    return ViewerModel()


def test_scale_translate_and_affine(viewer):
    image = viewer.add_image(np.zeros((4, 20, 30)), scale=(3, 0.5, 0.5), translate=(6, 1, 2))
    points = viewer.add_points(
        np.zeros((1, 3)), scale=(1, 2, 2), affine=np.diag([1.0, 0.5, 0.5, 1.0])
    )

    position = layer_map(points, image, viewer.dims)([[12, 4, 6]])

    # (12, 4, 6) in world coordinates, minus the translation, divided by the scale.
    np.testing.assert_allclose(position, [[2, 6, 8]])


def test_equal_rotation_and_shear_cancel_out(viewer):
    place = {"rotate": 30, "shear": [0.2, 0.1, 0.0], "scale": (2, 1, 1)}
    image = viewer.add_image(np.zeros((4, 20, 30)), **place)
    labels = viewer.add_labels(np.zeros((4, 20, 30), dtype=int), **place)

    mapping = layer_map(labels, image, viewer.dims)

    np.testing.assert_allclose(mapping([[1, 2, 3]]), [[1, 2, 3]], atol=1e-9)
    assert not mapping.is_tilted((20, 30))


def test_a_layer_with_fewer_axes_lies_on_the_slice_in_view(viewer):
    image = viewer.add_image(np.zeros((5, 6, 20, 30)), scale=(1, 2, 1, 1))
    shapes = viewer.add_points(np.zeros((1, 2)))
    viewer.dims.set_current_step(0, 3)
    viewer.dims.set_current_step(1, 4)

    position = layer_map(shapes, image, viewer.dims)([[7, 8]])

    np.testing.assert_allclose(position, [[3, 4, 7, 8]])


def test_axes_are_aligned_from_the_last(viewer):
    viewer.add_image(np.zeros((3, 5, 20, 30)))
    image = viewer.add_image(np.zeros((5, 20, 30)))
    viewer.dims.set_current_step(0, 2)
    viewer.dims.set_current_step(1, 4)

    np.testing.assert_allclose(slice_in_view(image, viewer.dims)[0], 4)


def test_compatible_units_are_converted(viewer):
    image = viewer.add_image(np.zeros((20, 30)), scale=(0.5, 0.5), units="um")
    points = viewer.add_points(np.zeros((1, 2)), units="nm")

    np.testing.assert_allclose(
        layer_map(points, image, viewer.dims)([[1000, 2000]]), [[2, 4]], rtol=1e-9
    )


def test_slice_in_view_is_in_units_of_the_layer(viewer):
    image = viewer.add_image(np.zeros((9, 20, 30)), scale=(2, 1, 1), units="um")
    viewer.add_points(np.zeros((1, 3)), units="nm")  # the viewer now uses nanometres
    viewer.dims.set_point(0, 8000)

    np.testing.assert_allclose(slice_in_view(image, viewer.dims)[0], 8)


def test_incompatible_units_are_not_converted(viewer):
    image = viewer.add_image(np.zeros((20, 30)), scale=(0.5, 0.5), units="um")
    points = viewer.add_points(np.zeros((1, 2)))

    np.testing.assert_allclose(layer_map(points, image, viewer.dims)([[3, 4]]), [[6, 8]])


@pytest.mark.filterwarnings("ignore:Non-orthogonal slicing")
def test_tilted_layer(viewer):
    image = viewer.add_image(np.zeros((4, 20, 30)))
    labels = viewer.add_labels(np.zeros((4, 20, 30), dtype=int), rotate=[0, 20, 0])

    assert layer_map(labels, image, viewer.dims).is_tilted((20, 30))
