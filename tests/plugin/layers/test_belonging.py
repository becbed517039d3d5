import numpy as np
import pytest
from napari.components import ViewerModel

from napari_vrp_sam.plugin.classes.annotation_layers import new_annotation_layer
from napari_vrp_sam.plugin.layers.belonging import candidate_images, image_of


@pytest.fixture
def viewer():
    return ViewerModel()


@pytest.fixture
def images(viewer):
    """Two stacks of different sizes, of which the first has pixels of half the size."""
    fine = viewer.add_image(np.zeros((4, 80, 80)), name="fine", scale=(1, 0.5, 0.5))
    coarse = viewer.add_image(np.zeros((4, 60, 60)), name="coarse")
    return fine, coarse


@pytest.mark.parametrize("kind", ["scribble", "mask", "point", "box"])
def test_layer_added_for_an_image_belongs_to_it(viewer, images, kind):
    for image in images:
        layer = new_annotation_layer(viewer, image, kind)
        assert image_of(viewer, layer) is image
        assert candidate_images(viewer, layer) == [image]


def test_labels_belong_to_the_image_of_the_same_extent(viewer, images):
    fine, coarse = images
    half_size = viewer.add_labels(np.zeros((4, 40, 40), int))
    assert candidate_images(viewer, half_size) == [fine]
    one_frame = viewer.add_labels(np.zeros((60, 60), int))
    assert candidate_images(viewer, one_frame) == [coarse]


def test_layers_that_fit_several_images_may_annotate_each(viewer, images):
    points = viewer.add_points([[0, 10, 10]])
    crop = viewer.add_labels(np.zeros((4, 20, 20), int))
    empty = viewer.add_shapes(None, ndim=3)
    for layer in (points, crop, empty):
        assert candidate_images(viewer, layer) == list(images)


def test_points_outside_an_image_do_not_annotate_it(viewer, images):
    points = viewer.add_points([[0, 50, 50]])
    assert candidate_images(viewer, points) == [images[1]]


def test_layer_without_an_image_below_may_annotate_any(viewer, images):
    """The error of a run explains that it lies outside."""
    points = viewer.add_points([[0, 900, 900]])
    assert candidate_images(viewer, points) == list(images)


def test_layer_of_a_deleted_image_belongs_to_the_image_in_its_place(viewer):
    first = viewer.add_image(np.zeros((4, 60, 60)))
    layer = new_annotation_layer(viewer, first, "mask")
    viewer.layers.remove(first)
    assert candidate_images(viewer, layer) == []
    second = viewer.add_image(np.zeros((4, 60, 60)))
    assert image_of(viewer, layer) is None
    assert candidate_images(viewer, layer) == [second]
