"""The dock by keys alone: Tab goes from control to control as they are seen."""

from __future__ import annotations

from collections.abc import Iterator

from qtpy.QtCore import QObject, Qt
from qtpy.QtWidgets import QApplication, QScrollBar, QWidget

from napari_vrp_sam.plugin.widgets.controls import SEVERITY_COLOURS
from napari_vrp_sam.plugin.widgets.outline import Outline

OVERLAP = 3
"""Pixels that controls of one row have in common at least, top to bottom."""


class TabNavigation(QObject):
    """Moves the focus through the controls of a dock, row by row, and shows where it is.

    Qt's own order is that in which controls were made, and some are made anew with every layer;
    napari's style does not show the focus.

    Parameters
    ----------
    dock, content : QWidget
        The whole, and the part of it that scrolls.
    """

    def __init__(self, dock: QWidget, content: QWidget) -> None:
        super().__init__(dock)
        self._dock = dock
        self.outline = Outline(SEVERITY_COLOURS["info"], content, dock)
        self._application = QApplication.instance()
        self._application.focusChanged.connect(self._show_focus)

    def release(self) -> None:
        """Let go of the application, which outlives the window."""
        self._application.focusChanged.disconnect(self._show_focus)

    def step(self, *, forward: bool) -> bool:
        """Focus the next or previous control; beyond the last, what comes after the dock."""
        here = QApplication.focusWidget()
        controls = list(self.controls())
        if here is None or here not in controls:
            return False
        at = controls.index(here) + (1 if forward else -1)
        inside = 0 <= at < len(controls)
        target = controls[at] if inside else self._beyond(here, forward=forward)
        if target is None:
            return False
        reason = Qt.FocusReason.TabFocusReason if forward else Qt.FocusReason.BacktabFocusReason
        target.setFocus(reason)
        return True

    def controls(self) -> Iterator[QWidget]:
        """The controls that can be reached, row by row."""
        return _controls(self._dock)

    def _show_focus(self, _before: QWidget | None, now: QWidget | None) -> None:
        # Whoever clicks knows where it is.
        by_mouse = QApplication.mouseButtons() != Qt.MouseButton.NoButton
        inside = now is not None and self._dock.isAncestorOf(now)
        self.outline.point_at(now if inside and not by_mouse else None)

    def _beyond(self, here: QWidget, *, forward: bool) -> QWidget | None:
        """The nearest control outside of the dock, in Qt's order."""
        control = here
        while True:
            control = control.nextInFocusChain() if forward else control.previousInFocusChain()
            if control is here:
                return None
            if _takes_tab(control) and not self._dock.isAncestorOf(control):
                return control


def _controls(holder: QWidget) -> Iterator[QWidget]:
    """Controls inside a widget, row by row; those of a list together, though it scrolls."""
    children = [
        child
        for child in holder.children()
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
            if _takes_tab(child):
                yield child
            yield from _controls(child)


def _takes_tab(control: QWidget) -> bool:
    return (
        bool(control.focusPolicy().value & Qt.FocusPolicy.TabFocus.value)
        and control.isVisible()
        and control.isEnabled()
        and control.focusProxy() is None
        and not isinstance(control, QScrollBar)
    )
