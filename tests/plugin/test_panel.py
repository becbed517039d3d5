"""Both widgets of the manifest are tabs of one dock."""

import pytest
from qtpy.QtWidgets import QApplication, QDockWidget
from tests.plugin.conftest import open_annotated

NAME = "napari-vrp-sam"
SEGMENT, FINE_TUNE = "Segment stack", "Fine-tune"


def docks():
    """Return the docks of the plugin."""
    docks = [widget for widget in QApplication.allWidgets() if isinstance(widget, QDockWidget)]
    return [dock for dock in docks if "vrp-sam" in dock.windowTitle().lower()]


def title(panel):
    return panel.tabs.tabText(panel.tabs.currentIndex())


@pytest.mark.parametrize("order", [(SEGMENT, FINE_TUNE), (FINE_TUNE, SEGMENT)])
def test_both_widgets_open_the_same_dock_with_their_tab(qtbot, viewer, cold_worker, order):
    panels = []
    for name in (*order, order[0]):
        dock, panel = viewer.window.add_plugin_dock_widget(NAME, name)
        panels.append(panel)
        assert dock.widget() is panel
        assert title(panel) == name
        qtbot.waitUntil(panel.isVisible)
        qtbot.waitUntil(lambda dock=dock: docks() == [dock])
        qtbot.waitUntil(lambda name=name: list(viewer.window.dock_widgets) == [f"{name} ({NAME})"])
    assert panels[0] is panels[1] is panels[2]


def test_menu_opens_the_tab_of_its_command(qtbot, viewer, cold_worker):
    from napari._app_model import get_app_model

    execute = get_app_model().commands.execute_command
    execute(f"{NAME}.segment_stack").result()
    (panel,) = [dock.widget() for dock in docks()]
    execute(f"{NAME}.fine_tune").result()
    qtbot.waitUntil(lambda: len(docks()) == 1)
    assert title(panel) == FINE_TUNE
    panel.tabs.setCurrentIndex(0)
    docks()[0].setVisible(False)
    execute(f"{NAME}.fine_tune").result()  # the command of the hidden dock
    qtbot.waitUntil(panel.isVisible)
    assert title(panel) == FINE_TUNE


def test_inputs_stay_in_step_and_a_run_survives_the_other_command(qtbot, viewer, stack):
    _, panel = viewer.window.add_plugin_dock_widget(NAME, SEGMENT)
    image, drawn = open_annotated(viewer, stack)
    segment = panel.segment
    segment.preview_box.setChecked(False)
    segment.form.annotation_list.tick(drawn, on=False)
    segment.form.annotation_list.tick(drawn)
    segment.segment()
    assert segment.running
    viewer.window.add_plugin_dock_widget(NAME, FINE_TUNE)
    qtbot.waitUntil(lambda: len(docks()) == 1)
    assert segment.running  # moving the panel is not closing it
    tune = panel.fine_tune
    assert tune.form.image_box.layer == image
    segment.form.annotation_list.tick(drawn, on=False)
    assert [row.ticked for row in tune.form.annotation_list.rows] == [False]
    viewer.window.remove_dock_widget(docks()[0])
    qtbot.waitUntil(lambda: not segment.running)
    _, other = viewer.window.add_plugin_dock_widget(NAME, SEGMENT)
    assert other is not panel
