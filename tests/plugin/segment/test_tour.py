"""The tour, followed with the mouse."""

import numpy as np
import pytest
from qtpy.QtCore import QPoint, Qt

from napari_vrp_sam.plugin.layers.outputs.accepted import current_result
from napari_vrp_sam.plugin.segment.widget import SegmentStackWidget


def press(qtbot, button):
    assert button.isVisible()
    qtbot.mouseClick(button, Qt.MouseButton.LeftButton)


def pointed_at(dock):
    """Return the outlined control, which receives mouse events through the outline."""
    pointer = dock.tour.outline
    if not pointer.isVisible():
        return None
    place = pointer.geometry()
    control = dock.window().childAt(pointer.mapTo(dock.window(), pointer.rect().center()))
    for corner in (control.rect().topLeft(), control.rect().bottomRight()):
        assert place.contains(control.mapTo(pointer.parentWidget(), corner))
    return control


def wait_for_step(qtbot, dock, number):
    qtbot.waitUntil(lambda: dock.tour.count_label.text() == f"Step {number} of 5", timeout=60_000)


def draw_stroke(qtbot, viewer, start, end):
    """Drag the mouse between two positions (row, column) of the image."""
    canvas = viewer.window._qt_viewer.canvas
    where = canvas.view.scene.transform.map
    points = [
        QPoint(*(round(float(x)) for x in where([*np.add(start, step)[::-1], 0, 1])[:2]))
        for step in np.linspace((0, 0), np.subtract(end, start), 5)
    ]
    qtbot.mousePress(canvas.native, Qt.MouseButton.LeftButton, pos=points[0])
    for point in points:
        qtbot.mouseMove(canvas.native, point, delay=20)
    qtbot.mouseRelease(canvas.native, Qt.MouseButton.LeftButton, pos=points[-1])


@pytest.fixture
def window(make_napari_viewer, engine):
    """Viewer without a proxy, for access to its canvas, and the dock."""
    viewer = make_napari_viewer(show=True)
    dock = SegmentStackWidget(viewer, engine)
    viewer.window.add_dock_widget(dock, name="Segment stack")
    return viewer, dock


def test_tour_advances_with_the_actions_of_the_user(qtbot, window, engine):
    viewer, dock = window
    form, tour = dock.form, dock.tour
    press(qtbot, form.tour_button)
    wait_for_step(qtbot, dock, 1)
    assert viewer.layers[0].name == "sample nuclei"
    assert not form.tour_button.isVisible()
    assert pointed_at(dock) is form.draw_buttons["scribble"]

    press(qtbot, form.draw_buttons["scribble"])
    wait_for_step(qtbot, dock, 2)
    assert pointed_at(dock) is None
    qtbot.wait(400)
    wait_for_step(qtbot, dock, 2)  # nothing is drawn yet

    qtbot.wait(300)  # until the canvas has its final size
    draw_stroke(qtbot, viewer, (100, 100), (110, 112))
    assert viewer.layers["scribbles"].data.any()
    wait_for_step(qtbot, dock, 3)
    assert pointed_at(dock) is dock.segment_button

    engine.let_through()
    press(qtbot, dock.segment_button)
    wait_for_step(qtbot, dock, 4)
    assert not dock.running
    assert pointed_at(dock) is dock.quality_panel.plot

    viewer.dims.set_current_step(0, 2)
    wait_for_step(qtbot, dock, 5)
    assert pointed_at(dock) is dock.accept_button

    press(qtbot, dock.accept_button)
    qtbot.waitUntil(lambda: tour.end_button.text() == "Close tour")
    assert current_result(viewer, viewer.layers[0]) is not None
    assert pointed_at(dock) is None

    press(qtbot, tour.end_button)
    assert not tour.isVisible()
    assert not tour.running


def test_tour_can_be_skipped(qtbot, viewer, dock):
    press(qtbot, dock.form.tour_button)
    assert dock.tour.running
    press(qtbot, dock.tour.end_button)
    assert not dock.tour.running
    assert not dock.tour.outline.isVisible()
    assert len(viewer.layers) == 2
    viewer.layers.clear()
    assert dock.form.tour_button.isVisible()  # to start it again


def test_tour_does_not_block_other_actions(qtbot, viewer, dock, engine, stack):
    """Annotate another image and then delete all layers."""
    press(qtbot, dock.form.tour_button)
    viewer.layers.clear()
    viewer.add_image(stack[0], name="my own")
    viewer.add_points([[3, 10, 10]])
    wait_for_step(qtbot, dock, 3)
    viewer.layers.clear()
    qtbot.wait(500)
    assert dock.tour.running
    press(qtbot, dock.segment_button)
    assert "open an image stack first" in dock.status.text()
    wait_for_step(qtbot, dock, 3)


def test_closing_the_dock_ends_the_tour(qtbot, viewer, dock):
    press(qtbot, dock.form.tour_button)
    dock.parentWidget().close()
    assert not dock.tour.running
