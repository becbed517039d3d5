"""Use of the dock with the keyboard."""

import numpy as np
import pytest
from napari.utils.key_bindings import coerce_keybinding
from napari.utils.shortcuts import default_shortcuts
from qtpy.QtCore import QPoint, QRect, Qt
from qtpy.QtGui import QAction
from qtpy.QtWidgets import QApplication, QPushButton

from napari_vrp_sam.plugin.layers.outputs.accepted import accepted_frames
from napari_vrp_sam.plugin.layers.outputs.results import is_result_layer
from napari_vrp_sam.plugin.segment.run_controls import RUN_KEYS
from napari_vrp_sam.plugin.widgets.focus.keyboard import visible_controls


def focused():
    return QApplication.focusWidget()


def tab(qtbot, *, back=False):
    before = focused()
    modifier = Qt.KeyboardModifier.ShiftModifier if back else Qt.KeyboardModifier.NoModifier
    qtbot.keyClick(before, Qt.Key.Key_Backtab if back else Qt.Key.Key_Tab, modifier)
    return focused()


def tab_to(qtbot, wanted):
    """Press Tab until the control has the focus."""
    for _ in range(60):
        if focused() is wanted:
            return
        tab(qtbot)
    pytest.fail(f"Tab does not reach {wanted}")


@pytest.fixture
def at_the_top(qtbot, viewer, dock):
    """Activate the window and focus the first control."""
    window = dock.window()
    window.activateWindow()
    qtbot.waitUntil(window.isActiveWindow)
    dock.form.image_box.setFocus(Qt.FocusReason.TabFocusReason)
    assert focused() is dock.form.image_box


def test_tab_visits_controls_in_visual_order(qtbot, viewer, dock, annotated, at_the_top):
    viewer.add_points([[1, 4, 4]], name="points")
    form = dock.form
    names = [annotation.layer.name for annotation in form.annotation_list.annotations]
    assert names == ["points", "drawn"]
    tick_points, tick_drawn = (form.annotation_list.tick_box(row) for row in (0, 1))
    rows = [
        control
        for entry in form.class_list.classes
        for row in [form.class_list.row(entry.number)]
        for control in (row.number_button, row.swatch, row.name_box)
        # Tab reaches only the selected radio button of a group.
        if control is not row.number_button or entry.number == form.class_list.classes.current
    ]
    order = [
        form.image_box,
        form.draw_help,
        *form.draw_buttons.values(),
        *rows,
        form.class_list.add_button,
        form.class_list.remove_button,
        form.class_list.class_menu,
        tick_points,
        tick_drawn,
        form.annotation_list.kind_box(1),
        form.model_box,
        form.gallery_button,
        dock.preview_box,
        dock.segment_button,
    ]
    seen = [focused()]
    while seen[-1] is not dock.segment_button:
        seen.append(tab(qtbot))
    assert seen == order
    for control in reversed(order[:-1]):
        assert tab(qtbot, back=True) is control
    assert not dock.isAncestorOf(tab(qtbot, back=True))  # Tab leaves the dock
    list(visible_controls(dock))[-1].setFocus(Qt.FocusReason.TabFocusReason)
    assert not dock.isAncestorOf(tab(qtbot))


def test_keyboard_focus_is_outlined(qtbot, viewer, dock, annotated, at_the_top):
    outline = dock.keyboard.outline
    for _ in range(8):
        control = tab(qtbot)
        assert outline.isVisible()
        assert outline.control is control
        place = outline.geometry()
        holder = outline.parentWidget()
        assert place.contains(control.mapTo(holder, control.rect().topLeft()))
        assert place.contains(control.mapTo(holder, control.rect().bottomRight()))
    dock.window().setFocus()
    assert not outline.isVisible()


def test_tab_scrolls_a_long_list_of_layers(qtbot, viewer, dock, at_the_top):
    viewer.add_image(np.zeros((3, 20, 30)))
    for _ in range(9):
        viewer.add_points(ndim=3)
    annotation_list = dock.form.annotation_list
    ticks = [annotation_list.tick_box(row) for row in range(9)]
    seen = []
    while focused() is not dock.segment_button:
        control = tab(qtbot)
        if control in ticks:
            seen.append(control)
            assert annotation_list.viewport().rect().contains(control.geometry().center())
    assert seen == ticks


def test_tab_scrolls_a_low_window(qtbot, viewer, dock, annotated, at_the_top):
    dock.scroll.setMaximumHeight(150)
    qtbot.wait(200)
    area = dock.scroll.viewport()
    assert dock.scroll.content.height() > area.height()
    tab_to(qtbot, dock.segment_button)
    place = dock.segment_button.mapTo(area, dock.segment_button.rect().center())
    assert area.rect().contains(place)


def test_annotate_run_accept_with_the_keyboard(
    qtbot, viewer, dock, engine, annotated, stack, at_the_top
):
    drawn = annotated[1]
    viewer.add_labels(np.zeros_like(drawn.data), name="other", scale=drawn.scale, units=drawn.units)
    form = dock.form

    def press_space(control):
        tab_to(qtbot, control)
        qtbot.keyClick(control, Qt.Key.Key_Space)

    press_space(form.annotation_list.tick_box(0))  # untick
    assert [a.layer for a in form.annotation_list.annotations] == [drawn]
    tab_to(qtbot, form.annotation_list.kind_box(1))
    qtbot.keyClick(focused(), Qt.Key.Key_Down)
    assert form.annotation_list.annotations[0].kind == "partial"
    qtbot.keyClick(focused(), Qt.Key.Key_Up)

    engine.let_through()
    press_space(dock.segment_button)
    assert dock.running
    qtbot.waitUntil(lambda: not dock.running, timeout=60_000)
    (result,) = [layer for layer in viewer.layers if is_result_layer(layer)]
    np.testing.assert_array_equal(result.data, stack[1])

    form.image_box.setFocus(Qt.FocusReason.TabFocusReason)
    tab_to(qtbot, dock.quality_panel.plot)
    at = viewer.dims.current_step[0]
    qtbot.keyClick(focused(), Qt.Key.Key_Right)
    assert viewer.dims.current_step[0] == at + 1
    press_space(dock.quality_panel.next_button)
    form.image_box.setFocus(Qt.FocusReason.TabFocusReason)
    press_space(dock.accept_button)
    assert accepted_frames(result) == [viewer.dims.current_step[0]]


def test_add_annotation_layer_with_the_keyboard(qtbot, viewer, dock, stack, at_the_top):
    viewer.add_image(stack[0])
    tab_to(qtbot, dock.form.draw_buttons["box"])
    qtbot.keyClick(focused(), Qt.Key.Key_Space)
    assert viewer.layers.selection.active.name == "boxes"


def test_shortcut_starts_a_run_from_anywhere_in_the_window(
    qtbot, viewer, dock, engine, annotated, at_the_top
):
    assert RUN_KEYS.toString() in dock.segment_button.toolTip()
    engine.let_through()
    modifiers = Qt.KeyboardModifier.ControlModifier | Qt.KeyboardModifier.ShiftModifier
    qtbot.keyClick(dock.window(), Qt.Key.Key_Return, modifiers)
    qtbot.waitUntil(lambda: len(engine.jobs) == 1)
    qtbot.waitUntil(lambda: not dock.running, timeout=60_000)


def test_shortcut_is_not_used_by_napari(viewer, dock):
    taken = {binding for bindings in default_shortcuts.values() for binding in bindings}
    assert coerce_keybinding(RUN_KEYS.toString().replace("Return", "Enter")) not in taken
    window = dock.window()
    for thing in [*window.findChildren(QAction), *window.findChildren(QPushButton)]:
        if thing is not dock.segment_button:
            keys = thing.shortcuts() if isinstance(thing, QAction) else [thing.shortcut()]
            assert RUN_KEYS not in keys


def test_outline_follows_a_control_whose_section_is_moved(qtbot, viewer, dock, annotated):
    button = dock.objects_panel.toggleButton()
    outline = dock.keyboard.outline
    outline.point_at(button)
    dock.form.advanced.expand()  # above it
    content = dock.scroll.content

    def on_the_button():
        return (
            outline.geometry().center()
            == QRect(button.mapTo(content, QPoint(0, 0)), button.size()).center()
        )

    before = outline.y()
    qtbot.waitUntil(lambda: button.mapTo(content, QPoint(0, 0)).y() > before + 20, timeout=10_000)
    qtbot.waitUntil(on_the_button, timeout=10_000)
