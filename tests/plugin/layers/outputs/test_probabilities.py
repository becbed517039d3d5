import numpy as np
from napari.layers import Image

from napari_vrp_sam.plugin.layers.outputs.probabilities import is_probability_layer


def probability_layers(viewer):
    return [layer for layer in viewer.layers if is_probability_layer(layer)]


def test_one_layer_per_class(qtbot, viewer, dock, engine, annotated, stack):
    image, _ = annotated
    dock.probability_box.setChecked(True)
    engine.let_through()
    dock.segment()
    assert engine.jobs[-1].probabilities
    qtbot.waitUntil(lambda: not dock.running, timeout=30_000)

    layers = probability_layers(viewer)
    assert [layer.name for layer in layers] == [
        f"stack probability of class {class_id} (%)" for class_id in (1, 2)
    ]
    for class_id, layer in enumerate(layers, start=1):
        assert isinstance(layer, Image)
        assert layer.data.max() <= 100
        np.testing.assert_array_equal(layer.data > 50, stack[1] == class_id)
        np.testing.assert_allclose(layer.scale, image.scale)
        assert layer.units == image.units
        assert not layer.visible
    # The layers are not offered as images to segment.
    assert dock.form.image_box.layer.name == "stack"
    assert dock.form.image_box.count() == 1
    dock.probability_box.setChecked(False)
    dock.segment()
    qtbot.waitUntil(lambda: not dock.running, timeout=30_000)
    assert len(probability_layers(viewer)) == 2


def test_layer_deleted_during_the_run(qtbot, viewer, dock, engine, annotated):
    dock.probability_box.setChecked(True)
    dock.segment()
    engine.let_through(1)
    qtbot.waitUntil(lambda: len(probability_layers(viewer)) == 2, timeout=30_000)
    viewer.layers.remove(probability_layers(viewer)[0])
    engine.let_through()
    qtbot.waitUntil(lambda: not dock.running, timeout=30_000)
    assert "all 7 frames" in dock.status.text()
    assert len(probability_layers(viewer)) == 1


def test_channels_share_probabilities(qtbot, viewer, dock, engine, stack):
    data, ground_truth = stack
    viewer.add_image(np.stack([data, data], axis=1), name="two", axis_labels=("z", "c", "y", "x"))
    drawn = np.zeros((7, 2, 48, 64), dtype=np.uint8)
    drawn[3] = ground_truth[3]
    viewer.add_labels(drawn)
    dock.probability_box.setChecked(True)
    engine.let_through()
    dock.segment()
    qtbot.waitUntil(lambda: not dock.running, timeout=30_000)
    for layer in probability_layers(viewer):
        assert layer.data.shape == (7, 2, 48, 64)
        np.testing.assert_array_equal(layer.data[:, 0], layer.data[:, 1])
