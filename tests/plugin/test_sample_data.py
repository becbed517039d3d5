import pytest
from napari.components import ViewerModel

from napari_vrp_sam.plugin.sample_data import sample_nuclei_layers, sample_stack_layers


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
