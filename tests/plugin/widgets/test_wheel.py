"""Controls of the docks under the mouse wheel."""

import pytest
from qtpy.QtCore import QPoint, QPointF, Qt
from qtpy.QtGui import QWheelEvent
from qtpy.QtWidgets import QAbstractSlider, QAbstractSpinBox, QApplication, QComboBox, QScrollBar


def value_of(control):
    if isinstance(control, QComboBox):
        return control.currentIndex()
    return control.value()


def turn_wheel(control, delta):
    event = QWheelEvent(
        QPointF(control.rect().center()),
        QPointF(control.mapToGlobal(control.rect().center())),
        QPoint(),
        QPoint(0, delta),
        Qt.MouseButton.NoButton,
        Qt.KeyboardModifier.NoModifier,
        Qt.ScrollPhase.NoScrollPhase,
        False,
    )
    QApplication.sendEvent(control, event)


def controls_of(widget):
    found = [
        control
        for kind in (QComboBox, QAbstractSpinBox, QAbstractSlider)
        for control in widget.findChildren(kind)
        if not isinstance(control, QScrollBar)
    ]
    assert len(found) >= 5
    return found


@pytest.fixture
def segment_dock(dock, annotated):
    return dock


@pytest.mark.parametrize("name", ["segment_dock", "tuner"])
def test_the_wheel_changes_no_control_without_focus(request, name):
    for control in controls_of(request.getfixturevalue(name)):
        before = value_of(control)
        assert control.focusPolicy() & Qt.FocusPolicy.WheelFocus != Qt.FocusPolicy.WheelFocus
        control.clearFocus()
        for delta in (120, -120):
            turn_wheel(control, delta)
            assert value_of(control) == before, control.accessibleName() or control


def test_the_wheel_changes_the_control_with_the_focus(segment_dock, qtbot):
    box = segment_dock.form.device_box
    segment_dock.form.advanced.expand(animate=False)
    segment_dock.window().activateWindow()
    box.setFocus()
    qtbot.waitUntil(box.hasFocus)
    turn_wheel(box, -120)
    assert box.currentIndex() == 1
