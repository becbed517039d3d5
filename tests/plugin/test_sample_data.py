import pytest
from napari.components import ViewerModel

from napari_vrp_sam.plugin.sample_data import (
    sample_nuclei_layers,
    sample_scene_layers,
    sample_stack_layers,
)


@pytest.mark.parametrize("make", [sample_stack_layers, sample_nuclei_layers])
def test_sample_has_a_hidden_ground_truth(make):
    viewer = ViewerModel()
    for layer in make():
        viewer._add_layer_from_data(*layer)

    stack, ground_truth = viewer.layers
    assert stack.data.ndim == 3
    assert stack.data.shape == ground_truth.data.shape
    assert ground_truth.data.any()
    assert (stack.visible, ground_truth.visible) == (True, False)


def test_the_scene_has_polygons_inside_the_class():
    viewer = ViewerModel()
    for layer in sample_scene_layers():
        viewer._add_layer_from_data(*layer)

    scene, ground_truth, polygons = viewer.layers
    assert scene.rgb
    assert scene.data.shape[:2] == ground_truth.data.shape
    assert (scene.visible, ground_truth.visible, polygons.visible) == (True, False, True)
    drawn = polygons.to_labels(ground_truth.data.shape) > 0
    assert ground_truth.data[drawn].mean() > 0.95
    assert 0.1 < drawn.sum() / ground_truth.data.sum() < 0.6
