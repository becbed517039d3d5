import numpy as np
import pytest
from napari.components import ViewerModel

from napari_vrp_sam.inference.objects.result_settings import AUTOMATIC
from napari_vrp_sam.plugin.layers.outputs.results import ResultLayer, is_result_layer

TRANSFORM = {
    "scale": (2, 0.5, 0.5),
    "translate": (1, 2, 3),
    "rotate": [0, 0, 30],
    "shear": [0.1, 0, 0],
    "affine": np.array(
        [(1.0, 0, 0, 5), (0, 0.8, -0.6, 0), (0, 0.6, 0.8, 0), (0, 0, 0, 1)],
    ),
    "units": ("s", "um", "um"),
    "axis_labels": ("time", "row", "column"),
}


@pytest.fixture
def viewer():
    return ViewerModel()


def result_on(viewer, image, axes="ZYX", class_ids=(1, 2)):
    return ResultLayer(viewer, image, axes=axes, class_ids=class_ids, metadata={"model": "lite"})


def results(viewer):
    return [layer for layer in viewer.layers if is_result_layer(layer)]


def test_the_layer_has_the_transform_of_the_image(viewer):
    image = viewer.add_image(np.zeros((4, 20, 30)), name="stack", **TRANSFORM)
    result_on(viewer, image).write([(2, np.ones((20, 30), dtype=np.uint8))])

    (layer,) = results(viewer)
    for position in ((0, 0, 0), (3, 19, 29)):
        np.testing.assert_allclose(
            layer.data_to_world(position), image.data_to_world(position), atol=1e-6
        )
    assert layer.units == image.units
    assert layer.axis_labels == image.axis_labels
    assert layer.data.any(axis=(1, 2)).tolist() == [False, False, True, False]
    assert layer.metadata["napari-vrp-sam"] == {
        "style": "contour",
        "result of": image.unique_id,
        "model": "lite",
        "frames_done": [2],
        "confidence": {},
        "relabelling": AUTOMATIC.as_dict(),
    }


def test_the_layer_is_added_with_the_first_frame(viewer):
    result_on(viewer, viewer.add_image(np.zeros((4, 20, 30))))

    assert not results(viewer)


@pytest.mark.parametrize(("highest_class", "dtype"), [(1, np.uint8), (255, np.uint8), (256, "u2")])
def test_dtype_is_the_smallest_possible(viewer, highest_class, dtype):
    image = viewer.add_image(np.zeros((4, 20, 30)))

    assert result_on(viewer, image, class_ids=[highest_class]).labels.dtype == dtype


def test_image_and_result_deleted_during_the_run(viewer):
    image = viewer.add_image(np.zeros((4, 20, 30)), name="stack", scale=(3, 1, 1))
    result = result_on(viewer, image)
    ones = np.ones((20, 30), dtype=np.uint8)
    result.write([(0, ones)])
    viewer.layers.clear()

    result.write([(1, 2 * ones)])

    (layer,) = results(viewer)
    assert layer.data[:, 0, 0].tolist() == [1, 2, 0, 0]
    np.testing.assert_allclose(layer.scale, (3, 1, 1))


def test_dtype_converted_during_the_run(viewer):
    result = result_on(viewer, viewer.add_image(np.zeros((4, 20, 30))))
    ones = np.ones((20, 30), dtype=np.uint8)
    result.write([(0, ones)])
    results(viewer)[0].data = results(viewer)[0].data.astype(np.int32)

    result.write([(1, ones)])

    assert results(viewer)[0].data[:, 0, 0].tolist() == [1, 1, 0, 0]


def test_the_layer_is_editable_when_finished(viewer):
    result = result_on(viewer, viewer.add_image(np.zeros((4, 20, 30))))
    result.write([(0, np.ones((20, 30), dtype=np.uint8))])
    (layer,) = results(viewer)
    assert not layer.editable

    result.finish()

    assert layer.editable


def test_the_active_layer_stays_active(viewer):
    image = viewer.add_image(np.zeros((4, 20, 30)))
    drawn = viewer.add_labels(np.zeros((4, 20, 30), dtype=int))
    viewer.layers.selection.active = drawn
    drawn.mode = "paint"

    result_on(viewer, image).write([(0, np.ones((20, 30), dtype=np.uint8))])

    assert viewer.layers.selection.active is drawn
    assert drawn.mode == "paint"


def test_the_new_result_takes_over_the_drawing_settings(viewer):
    image = viewer.add_image(np.zeros((4, 20, 30)))
    first, second = result_on(viewer, image), result_on(viewer, image)
    first.write([(0, np.ones((20, 30), dtype=np.uint8))])
    first.finish()
    viewer.layers.selection.active = first.layer
    first.layer.mode, first.layer.brush_size, first.layer.selected_label = "paint", 13, 2

    second.write([(0, np.ones((20, 30), dtype=np.uint8))])
    second.finish()

    assert viewer.layers.selection.active is second.layer
    assert (second.layer.mode, second.layer.brush_size) == ("paint", 13)
    assert second.layer.selected_label == 2


@pytest.mark.parametrize("axes", ["TCYX", "CTYX"])
def test_channels_share_labels(viewer, axes):
    image = viewer.add_image(np.zeros((3, 3, 20, 30)))
    result = result_on(viewer, image, axes=axes)
    result.write([(2, np.ones((20, 30), dtype=np.uint8))])

    (layer,) = results(viewer)
    assert result.labels.shape == (3, 20, 30)
    assert layer.data.shape == image.data.shape
    along_time = layer.data if axes == "TCYX" else layer.data.swapaxes(0, 1)
    assert along_time[2].all()
    assert not along_time[:2].any()
    # A correction of one channel changes all.
    result.finish()
    viewer.dims.set_current_step(0, 0)
    layer.paint((0, 0, 5, 5), 7)
    assert (along_time[0, :, 5, 5] == 7).all()


def test_2d_rgb_image(viewer):
    image = viewer.add_image(np.zeros((20, 30, 3), dtype=np.uint8), rgb=True)
    result_on(viewer, image, axes="YXS").write([(0, np.ones((20, 30), dtype=np.uint8))])

    assert results(viewer)[0].data.all()
