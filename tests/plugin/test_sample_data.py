import pytest
from napari.components import ViewerModel

from napari_vrp_sam.plugin.sample_data import sample_nuclei_layers, sample_stack_layers


@pytest.mark.parametrize("make", [sample_stack_layers, sample_nuclei_layers])
def test_a_sample_is_a_stack_with_hidden_truth(make):
    viewer = ViewerModel()
    for layer in make():
        viewer._add_layer_from_data(*layer)

    stack, truth = viewer.layers
    assert stack.data.ndim == 3
    assert stack.data.shape == truth.data.shape
    assert truth.data.any()
    assert (stack.visible, truth.visible) == (True, False)
