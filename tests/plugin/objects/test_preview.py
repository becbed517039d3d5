"""Live preview of the objects on the frame in view."""

import numpy as np
import pytest
from napari.layers import Labels
from qtpy.QtCore import QPoint, QPointF, Qt
from qtpy.QtGui import QWheelEvent
from qtpy.QtWidgets import QAbstractSlider, QApplication

from napari_vrp_sam.inference.objects.find import objects_from_labels
from napari_vrp_sam.plugin.layers.outputs.objects import is_objects_layer
from napari_vrp_sam.plugin.layers.outputs.results import RESULT_OF
from napari_vrp_sam.plugin.objects.form import CLASSES, ON_FRAMES


@pytest.fixture
def touching(viewer, dock):
    """An image with a result: two touching discs, one with a hole, and a speck on each frame."""
    rows, columns = np.indices((60, 90))
    discs = [np.hypot(rows - 30, columns - x) < 17 for x in (30, 60)]
    frame = (discs[0] | discs[1]).astype(np.uint8)
    frame[30, 28:31] = 0
    frame[2, 2] = 1
    labels = np.stack([frame, frame[::-1], frame[:, ::-1]])
    image = viewer.add_image(labels * 100.0, name="cells")
    result = Labels(labels, name="cells result")
    result.metadata["napari-vrp-sam"] = {RESULT_OF: image.unique_id, "axes": "ZYX"}
    viewer.add_layer(result)
    dock.form.image_box.setCurrentText("cells")
    return labels


def settle(qtbot, panel):
    qtbot.waitUntil(lambda: not panel.preview.busy, timeout=60_000)


def open_section(qtbot, panel):
    panel.expand(animate=False)
    panel.form.output_box.setCurrentIndex(ON_FRAMES)
    settle(qtbot, panel)


def shown(viewer, panel):
    return panel.preview.layer.data[viewer.dims.current_step[0]]


def test_the_preview_shows_the_objects_that_are_found_later(qtbot, viewer, dock, engine, touching):
    panel, clean_up = dock.objects_panel, dock.result_tools.form
    viewer.dims.set_current_step(0, 0)
    open_section(qtbot, panel)
    assert sorted(np.unique(shown(viewer, panel))) == [0, 1, 2]
    for strength, size, holes, smoothing in (
        (0.5, -1, True, 0),
        (0, 0, False, 0),
        (0.4, 9, True, 2),
    ):
        panel.form.split_slider.setValue(strength)
        clean_up.size_box.setValue(size)
        clean_up.holes_box.setCurrentText("fill" if holes else "keep")
        clean_up.smoothing_box.setValue(smoothing)
        settle(qtbot, panel)
        in_view = shown(viewer, panel).copy()
        engine.let_through()
        panel.find()
        assert panel.preview.layer is None  # the objects take its place
        qtbot.waitUntil(lambda: not panel.running, timeout=60_000)
        layer = next(layer for layer in reversed(viewer.layers) if is_objects_layer(layer))
        np.testing.assert_array_equal(layer.data[0], in_view)
        in_python = objects_from_labels(
            touching, axes="ZYX", split_strength=strength, fill_holes=holes, smoothing=smoothing,
            min_size="auto" if size < 0 else size,
        )  # fmt: skip
        np.testing.assert_array_equal(layer.data, in_python.labels)
    assert len(in_python.table) == 6


def test_the_preview_follows_the_frame_in_view(qtbot, viewer, dock, touching):
    panel = dock.objects_panel
    open_section(qtbot, panel)
    for frame in (0, 2):
        viewer.dims.set_current_step(0, frame)
        settle(qtbot, panel)
        assert shown(viewer, panel)[touching[frame] > 0].mean() > 0.9
        others = np.delete(panel.preview.layer.data, frame, axis=0)
        assert not others.any()


def test_the_preview_is_removed_with_its_cause(qtbot, viewer, dock, touching):
    panel = dock.objects_panel
    for remove in (
        lambda: panel.collapse(animate=False),
        lambda: panel.form.output_box.setCurrentIndex(CLASSES),
        lambda: panel.lock(locked=True),
        lambda: viewer.layers.remove(viewer.layers["cells result"]),
    ):
        panel.lock(locked=False)
        panel.collapse(animate=False)
        open_section(qtbot, panel)
        layer = panel.preview.layer
        assert layer in viewer.layers
        assert not is_objects_layer(layer)
        remove()
        settle(qtbot, panel)
        assert panel.preview.layer is None
        assert layer not in viewer.layers


def test_the_preview_follows_corrections_of_the_result(qtbot, viewer, dock, touching):
    panel = dock.objects_panel
    viewer.dims.set_current_step(0, 0)
    open_section(qtbot, panel)
    result = viewer.layers["cells result"]
    for change in (
        lambda: result.paint((0, 20, 25), 0),
        lambda: setattr(result, "data", touching * np.uint8(0)),
    ):
        before = shown(viewer, panel).copy()
        change()
        settle(qtbot, panel)
        assert (shown(viewer, panel) != before).any()
    assert not shown(viewer, panel).any()


def test_a_deleted_preview_comes_back_with_the_next_change(qtbot, viewer, dock, touching):
    panel = dock.objects_panel
    open_section(qtbot, panel)
    viewer.layers.remove(panel.preview.layer)
    viewer.dims.set_current_step(0, 1)
    settle(qtbot, panel)
    assert panel.preview.layer is None
    panel.form.split_slider.setValue(0.2)
    settle(qtbot, panel)
    assert panel.preview.layer is not None


def test_the_preview_is_no_annotation(qtbot, viewer, dock, touching):
    open_section(qtbot, dock.objects_panel)
    layers = [annotation.layer for annotation in dock.form.annotation_list.annotations]
    assert dock.objects_panel.preview.layer not in layers


def test_scrolling_the_dock_does_not_change_settings(dock):
    form = dock.objects_panel.form
    form.output_box.setCurrentIndex(ON_FRAMES)
    before = form.settings()
    sliders = form.split_slider.findChildren(QAbstractSlider)
    assert sliders
    for control in sliders:
        event = QWheelEvent(
            QPointF(5, 5), QPointF(5, 5), QPoint(), QPoint(0, 120), Qt.MouseButton.NoButton,
            Qt.KeyboardModifier.NoModifier, Qt.ScrollPhase.NoScrollPhase, False,
        )  # fmt: skip
        QApplication.sendEvent(control, event)
    assert form.settings() == before
