"""Image and annotation layers of all kinds."""

import dask.array as da
import numpy as np
import pytest
import zarr
from napari.components import ViewerModel
from qtpy.QtCore import Qt
from tests.plugin.window import press

from napari_vrp_sam.plugin.layers.annotations import Annotation, references_from_layers
from napari_vrp_sam.plugin.layers.outputs.accepted import accepted_frames
from napari_vrp_sam.plugin.layers.outputs.results import is_result_layer

SIZES = {"T": 2, "Z": 3, "C": 2, "Y": 48, "X": 64}


def run(qtbot, viewer, dock, engine):
    """Run a segmentation and return the labels of the result."""
    engine.let_through()
    press(qtbot, dock.segment_button)
    qtbot.waitUntil(lambda: not dock.running, timeout=60_000)
    results = [layer for layer in viewer.layers if is_result_layer(layer)]
    assert results, dock.status.text()
    return results[-1].data


def along(axes, frames):
    """Return a stack with the given axes; all channels are equal."""
    sizes = {axis: SIZES[axis] for axis in axes}
    kept = [axis for axis in axes if axis != "C"]
    count = np.prod([sizes[axis] for axis in kept[:-2]], dtype=int)
    array = frames[:count].reshape([sizes[axis] for axis in kept])
    if "C" in axes:
        array = np.stack([array] * sizes["C"], axis=axes.index("C"))
    return array


def test_images_with_any_order_of_axes(qtbot, viewer, dock, engine, stack):
    for axes in ("YX", "CYX", "TYX", "CZYX", "ZTYX", "TZCYX", "TCZYX", "ZCTYX"):
        data, truth = (along(axes, array) for array in stack)
        viewer.add_image(data, name=axes)
        if dock.form.axes_box.count() > 1:
            dock.form.axes_box.setCurrentText(axes)
        assert dock.form.axes == axes
        drawn = np.zeros_like(truth)
        last = (-1,) * (len(axes) - 2)
        drawn[last] = truth[last]
        viewer.add_labels(drawn)
        np.testing.assert_array_equal(run(qtbot, viewer, dock, engine), truth, err_msg=axes)
        viewer.dims.current_step = [0] * len(axes)
        press(qtbot, dock.accept_button)
        assert accepted_frames(viewer.layers[-1]) == [0]
        viewer.layers.clear()


def in_zarr(array):
    stored = zarr.create_array(
        zarr.storage.MemoryStore(), shape=array.shape, dtype=array.dtype, chunks=(1, 20, 20)
    )
    stored[...] = array
    return stored


def test_images_of_any_array_type(qtbot, viewer, dock, engine, stack):
    data, truth = stack
    for kind, image, options in (
        ("dask", da.from_array(data, chunks=(2, 20, 20)), {}),
        ("zarr", in_zarr(data), {}),
        ("multiscale", [data, data[:, ::2, ::2], data[:, ::4, ::4]], {"multiscale": True}),
        ("lazy levels", [da.from_array(level) for level in (data, data[:, ::2, ::2])], {}),
        ("RGB", np.stack([data] * 3, axis=-1), {"rgb": True}),
        ("lazy RGBA", da.stack([data] * 4, axis=-1), {"rgb": True}),
        ("float", data.astype(np.float32) / 255, {}),
        ("signed", data.astype(np.int16) - 100, {}),
        ("bool", data > 150, {}),
    ):
        expected = (truth == 2).astype(np.uint8) if kind == "bool" else truth
        viewer.add_image(image, name=kind, **options)
        viewer.add_labels(np.where(np.arange(7)[:, None, None] == 3, expected, 0))
        np.testing.assert_array_equal(run(qtbot, viewer, dock, engine), expected, err_msg=kind)
        viewer.layers.clear()


def test_lazy_stack_is_not_read_completely(qtbot, viewer, dock, engine):
    read = []

    def plane(block_info):
        z = block_info[None]["chunk-location"][0]
        read.append(z)
        frame = np.full((1, 1024, 1024), 20, dtype=np.uint8)
        frame[0, 100:200, 100 + z % 50 : 300] = 200
        return frame

    chunks = ((1,) * 2048, (1024,), (1024,))
    lazy = da.map_blocks(plane, chunks=chunks, dtype=np.uint8, meta=np.empty((0, 0, 0), np.uint8))
    assert lazy.nbytes == 2 * 2**30
    viewer.add_image(lazy, name="stack", contrast_limits=(0, 255))
    viewer.dims.set_current_step(0, 1000)
    qtbot.mouseClick(dock.form.draw_buttons["mask"], Qt.MouseButton.LeftButton)
    masks = viewer.layers.selection.active
    masks.data[1000, 100:200, 100:300] = 1
    dock.form.frame_range.last.setValue(1002)
    dock.form.frame_range.first.setValue(998)
    read.clear()

    result = run(qtbot, viewer, dock, engine)

    assert [z for z in range(996, 1005) if result[z].any()] == list(range(998, 1003))
    assert result[1002, 150, 102:299].all()
    # Contrast limits are estimated from 8 frames, and napari shows one.
    assert len(set(read)) <= 5 + 8 + 1


PLACES = {
    "scaled": {"scale": (1, 0.5, 0.5)},
    "moved": {"translate": (0, 3, -4)},
    "turned": {"rotate": [0, 0, 20]},
    "sheared": {"shear": [0, 0, 0.2]},
    "mapped": {"affine": [(1, 0, 0, 0), (0, 0.8, -0.3, 2), (0, 0.3, 0.8, 1), (0, 0, 0, 1)]},
}


@pytest.mark.parametrize("where", PLACES)
@pytest.mark.parametrize("kind", ["labels", "shapes", "points"])
def test_annotations_with_another_transform_are_mapped_to_the_image(stack, where, kind):
    """Draw in a layer whose scale, position and angle differ from those of the stack."""
    viewer = ViewerModel()
    data, truth = stack
    image = viewer.add_image(data, name="stack", scale=(3, 0.7, 0.7), translate=(1, 5, 2))
    add = getattr(viewer, f"add_{kind}")
    if kind == "labels":
        layer = add(np.zeros((30, 160, 200), dtype=np.uint8), **PLACES[where])
        layer.translate = np.add(layer.translate, (0, -20, -20))
    else:
        layer = add(ndim=3, **PLACES[where])
    middle = np.argwhere(truth[3] == 1).mean(axis=0)
    corners = [(3, *np.add(middle, corner)) for corner in ((-4, -5), (-4, 5), (4, 5), (4, -5))]
    drawn = np.array([layer.world_to_data(image.data_to_world(at)) for at in corners])
    if kind == "points":
        layer.add(drawn.mean(axis=0))
    elif kind == "shapes":
        layer.add_polygons(drawn)
    else:
        drawn[:, 0] = np.round(drawn[0, 0])
        layer.paint_polygon(drawn, 1)

    (reference,) = references_from_layers(image, [Annotation(layer)], viewer.dims)

    assert reference.frame == 3
    mask = reference.mask > 0
    assert (truth[3] == 1)[mask].all()
    np.testing.assert_allclose(np.argwhere(mask).mean(axis=0), middle, atol=1.5)
    if kind != "points":
        assert 0.8 * 8 * 10 < mask.sum() < 1.5 * 8 * 10  # includes pixels at the edge


@pytest.mark.parametrize("dtype", ["i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", "bool"])
def test_labels_of_any_dtype_are_annotations(stack, dtype):
    viewer = ViewerModel()
    data, truth = stack
    image = viewer.add_image(data)
    layer = viewer.add_labels((truth == 1).astype(dtype))
    found = references_from_layers(image, [Annotation(layer)], viewer.dims)
    assert [(r.frame, r.class_id) for r in found] == [(frame, 1) for frame in range(7)]
    np.testing.assert_array_equal(found[3].mask, truth[3] == 1)


def test_lazy_labels_with_large_values_are_annotations(qtbot, viewer, dock, engine, stack):
    """Annotate with read-only labels whose values exceed 255."""
    data, truth = stack
    drawn = np.where(np.arange(7)[:, None, None] == 3, truth.astype(np.uint32) * 700, 0)
    viewer.add_image(data)
    viewer.add_labels(da.from_array(drawn, chunks=(1, 48, 64)))
    result = run(qtbot, viewer, dock, engine)
    assert result.dtype == np.uint16
    np.testing.assert_array_equal(result, truth.astype(np.uint16) * 700)


def test_run_in_3d_display(qtbot, viewer, dock, engine, annotated, stack):
    viewer.dims.ndisplay = 3
    np.testing.assert_array_equal(run(qtbot, viewer, dock, engine), stack[1])
    assert not dock.accept_button.isVisible()  # no single frame is in view
    viewer.dims.ndisplay = 2
    viewer.dims.set_current_step(0, 4)
    assert dock.accept_button.text() == "Accept frame 4"


def test_layer_with_fewer_axes_is_rejected_in_3d_display(qtbot, viewer, dock, engine, stack):
    viewer.add_image(stack[0], name="stack")
    viewer.add_points([[10, 10]], name="flat")
    viewer.dims.ndisplay = 3
    press(qtbot, dock.segment_button)
    assert "'flat' has fewer axes than 'stack'" in dock.status.text()
    assert not engine.jobs
    viewer.dims.ndisplay = 2
    viewer.dims.order = (1, 0, 2)  # side view
    press(qtbot, dock.segment_button)
    assert not engine.jobs
    viewer.dims.order = (0, 1, 2)
    viewer.dims.set_current_step(0, 2)
    assert run(qtbot, viewer, dock, engine)[2, 10, 10] == 1
    assert engine.jobs[0].references[0].frame == 2
