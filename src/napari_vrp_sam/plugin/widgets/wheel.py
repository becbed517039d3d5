"""Controls that the mouse wheel does not change while the dock is scrolled."""

from __future__ import annotations

from qtpy.QtCore import QEvent, QObject, Qt
from qtpy.QtWidgets import QWidget


class WheelFilter(QObject):
    """Let a control follow the mouse wheel only while it has the keyboard focus.

    Otherwise the wheel scrolls the dock.

    Parameters
    ----------
    control : QWidget
        Slider, spin box or combo box.
    """

    def __init__(self, control: QWidget) -> None:
        super().__init__(control)
        self._control = control
        control.setFocusPolicy(Qt.FocusPolicy.StrongFocus)  # not by the wheel
        control.installEventFilter(self)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:  # noqa: N802
        """Pass the event on to the parent."""
        control = self.__dict__.get("_control")
        if watched is control and event.type() == QEvent.Type.Wheel and not control.hasFocus():
            event.ignore()
            return True
        return False
