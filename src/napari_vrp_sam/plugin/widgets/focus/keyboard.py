"""Keyboard navigation of a dock: Tab visits the controls in their visual order."""

from __future__ import annotations

from collections.abc import Iterator

from qtpy.QtCore import QObject, Qt
from qtpy.QtWidgets import QApplication, QScrollBar, QWidget

from napari_vrp_sam.plugin.widgets.controls import SEVERITY_COLOURS
from napari_vrp_sam.plugin.widgets.focus.outline import Outline

OVERLAP = 3
"""Minimum vertical overlap of controls in the same row, in pixels."""


class TabNavigation(QObject):
    """Move the focus through the controls of a dock, row by row, and outline the focused one.

    Qt's tab order is the order of creation, and some controls are recreated whenever layers change.
    napari's style does not show the focus.

    Parameters
    ----------
    dock : QWidget
    content : QWidget
        Scrolled widget inside the dock.
    """

    def __init__(self, dock: QWidget, content: QWidget) -> None:
        super().__init__(dock)
        self._dock = dock
        self.outline = Outline(SEVERITY_COLOURS["info"], content, dock)
        self._application = QApplication.instance()
        self._application.focusChanged.connect(self._show_focus)

    def release(self) -> None:
        """Disconnect from the application, which outlives the window."""
        self._application.focusChanged.disconnect(self._show_focus)

    def step(self, *, forward: bool) -> bool:
        """Focus the next or previous control, or leave the dock; return False if impossible."""
        focused = QApplication.focusWidget()
        controls = list(visible_controls(self._dock))
        if focused is None or focused not in controls:
            return False
        index = controls.index(focused) + (1 if forward else -1)
        inside = 0 <= index < len(controls)
        target = controls[index] if inside else self._outside(focused, forward=forward)
        if target is None:
            return False
        reason = Qt.FocusReason.TabFocusReason if forward else Qt.FocusReason.BacktabFocusReason
        target.setFocus(reason)
        return True

    def _show_focus(self, _before: QWidget | None, now: QWidget | None) -> None:
        by_mouse = QApplication.mouseButtons() != Qt.MouseButton.NoButton
        inside = now is not None and self._dock.isAncestorOf(now)
        self.outline.point_at(now if inside and not by_mouse else None)

    def _outside(self, start: QWidget, *, forward: bool) -> QWidget | None:
        """Return the nearest control outside the dock in Qt's tab order."""
        control = start
        while True:
            control = control.nextInFocusChain() if forward else control.previousInFocusChain()
            if control is start:
                return None
            if _accepts_tab(control) and not self._dock.isAncestorOf(control):
                return control


def visible_controls(parent: QWidget) -> Iterator[QWidget]:
    """Yield the controls inside a widget that Tab reaches, row by row."""
    children = [
        child
        for child in parent.children()
        if isinstance(child, QWidget) and child.isVisible() and not child.isWindow()
    ]
    rows: list[list[QWidget]] = []
    bottom = 0
    for child in sorted(children, key=lambda child: child.y()):
        if not rows or child.y() > bottom - OVERLAP:
            rows.append([])
        rows[-1].append(child)
        bottom = max(other.geometry().bottom() for other in rows[-1])
    for row in rows:
        for child in sorted(row, key=lambda child: (child.x(), child.y())):
            if _accepts_tab(child):
                yield child
            yield from visible_controls(child)


def _accepts_tab(control: QWidget) -> bool:
    return (
        bool(control.focusPolicy().value & Qt.FocusPolicy.TabFocus.value)
        and control.isVisible()
        and control.isEnabled()
        and control.focusProxy() is None
        and not isinstance(control, QScrollBar)
    )
