"""List of the classes: number, colour and name of each, and the current class."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from qtpy.QtCore import Qt, Signal
from qtpy.QtGui import QColor, QKeyEvent
from qtpy.QtWidgets import (
    QButtonGroup,
    QColorDialog,
    QFrame,
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QPushButton,
    QRadioButton,
    QScrollArea,
    QVBoxLayout,
    QWidget,
)

from napari_vrp_sam.errors import InputError
from napari_vrp_sam.plugin.classes.class_link import ClassLink, layer_with_class
from napari_vrp_sam.plugin.classes.class_menu import ClassMenu
from napari_vrp_sam.plugin.classes.classes import ClassEntry, Classes
from napari_vrp_sam.plugin.layers.appearance.palette import NOT_THIS_COLOUR
from napari_vrp_sam.plugin.layers.metadata import NOT_THIS
from napari_vrp_sam.plugin.widgets.controls import pack, set_help

if TYPE_CHECKING:
    import napari

    from napari_vrp_sam.plugin.classes.annotation_list import AnnotationList
    from napari_vrp_sam.plugin.widgets.undo import UndoHistory

ROW_HEIGHT = 28
VISIBLE_ROWS = 2
FRAME = 2
"""Pixels of the list's height that napari's style takes."""
SWATCH = """
QPushButton {{ background: {}; border: 1px solid gray; border-radius: 3px; }}
QPushButton:focus {{ border: 2px solid palette(highlight); }}
"""


class ClassList(QWidget):
    """Rows for the `classes`, and buttons to add a class and to remove the current one."""

    warned = Signal(str)
    """Emits a message if an input of the user was rejected."""
    followed = Signal(str)
    """Emits a message after the selection of a layer has changed the current class."""

    def __init__(
        self, viewer: napari.viewer.Viewer, annotation_list: AnnotationList, history: UndoHistory
    ) -> None:
        super().__init__()
        self.classes = Classes(history, partial(layer_with_class, viewer, annotation_list), self)
        self._link = ClassLink(viewer, annotation_list, self.classes, self)
        self._link.followed.connect(self.followed)
        self._rows: dict[int, ClassRow] = {}
        self._group = QButtonGroup(self)
        self._area = QScrollArea()
        self.add_button, self.remove_button = QPushButton("+"), QPushButton("-")
        self.not_this_button = QRadioButton("Not this")
        self.class_menu = ClassMenu(viewer, annotation_list, self.classes)
        self.class_menu.copied.connect(self.followed)
        self._lay_out()
        self._set_help()
        self._link.warned.connect(self.warned)
        self.classes.changed.connect(self._follow)
        self.classes.switched.connect(self._follow)
        self.classes.chosen.connect(self._mark)
        self.add_button.clicked.connect(self._add)
        self.remove_button.clicked.connect(self._remove)
        self.not_this_button.clicked.connect(partial(self.classes.choose, NOT_THIS))
        self._follow()

    def row(self, number: int) -> ClassRow:
        """Return the row of a class."""
        return self._rows[number]

    def enable_keys(self, *, enabled: bool) -> None:
        """Bind the number keys to classes, or restore napari's bindings."""
        self._link.enable_keys(enabled=enabled)

    def release(self) -> None:
        """Disconnect from the viewer, which is closing."""
        self._link.release()

    def _lay_out(self) -> None:
        self._area.setWidgetResizable(True)
        # Always the same, so that a new class does not move the buttons below.
        self._area.setFixedHeight(VISIBLE_ROWS * ROW_HEIGHT + FRAME)
        self._area.setFrameShape(QFrame.Shape.NoFrame)
        self._area.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self._area.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        swatch = QLabel()
        swatch.setFixedSize(22, 18)
        swatch.setStyleSheet(
            f"background: {NOT_THIS_COLOUR}; border: 1px solid gray; border-radius: 3px;"
        )
        not_this = QHBoxLayout()
        pack(not_this, self.not_this_button, swatch, spacing=4)
        not_this.addStretch(1)
        not_this.addWidget(self.class_menu)
        layout = QGridLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(3)
        layout.setColumnStretch(0, 1)
        layout.addWidget(self._area, 0, 0)
        for column, button in enumerate((self.add_button, self.remove_button), start=1):
            button.setFixedSize(ROW_HEIGHT - 2, ROW_HEIGHT - 2)
            layout.addWidget(button, 0, column, Qt.AlignmentFlag.AlignTop)
        layout.addLayout(not_this, 1, 0, 1, 3)
        self._group.addButton(self.not_this_button)

    def _set_help(self) -> None:
        set_help(self.add_button, "Add a class and draw it next.")
        set_help(
            self.remove_button,
            "Remove the current class from the list, unless it is drawn in an annotation layer.",
        )
        set_help(
            self.not_this_button,
            "Mark pixels that belong to none of the classes, such as objects segmented by mistake. "
            "Works with every drawing tool, on any frame. Key: Alt+0, while an annotation is "
            "selected.",
        )
        self.add_button.setAccessibleName("Add a class")
        self.remove_button.setAccessibleName("Remove the current class")

    def _add(self) -> None:
        count = len(self._rows)
        self._try(self.classes.add)
        if len(self._rows) > count:
            self._rows[self.classes.current].name_box.setFocus()

    def _remove(self) -> None:
        self._try(partial(self.classes.remove, self.classes.current))

    def _try(self, action: Callable[[], None]) -> None:
        try:
            action()
        except InputError as error:
            self.warned.emit(str(error))
        self._follow()  # restores rejected input

    def _follow(self) -> None:
        """Show the classes; keep the rows, one of which may have the focus, if possible."""
        numbers = [entry.number for entry in self.classes]
        if numbers != list(self._rows):
            self._make_rows(numbers)
        for entry in self.classes:
            self._rows[entry.number].show_entry(entry)
        self._mark()

    def _make_rows(self, numbers: list[int]) -> None:
        for row in self._rows.values():
            self._group.removeButton(row.number_button)
            row.blockSignals(True)  # noqa: FBT003
        content = QWidget()
        self._rows = {number: ClassRow(number) for number in numbers}
        column = QVBoxLayout(content)
        pack(column, *self._rows.values(), spacing=0)
        column.addStretch(1)
        for number, row in self._rows.items():
            self._group.addButton(row.number_button)
            row.chosen.connect(partial(self.classes.choose, number))
            row.renamed.connect(partial(self._rename, number))
            row.recoloured.connect(partial(self.classes.recolour, number))
        before = self._area.takeWidget()
        if before is not None:
            before.deleteLater()  # later, as one of its rows may be the sender of this call
        self._area.setWidget(content)

    def _rename(self, number: int, name: str) -> None:
        self._try(partial(self.classes.rename, number, name.strip()))
        if number in self._rows:
            self._rows[number].name_box.show_name(self.classes.name(number))

    def _mark(self, _number: int = 0) -> None:
        row = self._rows.get(self.classes.current)
        self.remove_button.setEnabled(row is not None)
        # The current class has no row if it was chosen in a layer and has not been drawn yet.
        not_this = self.classes.current == NOT_THIS
        self._group.setExclusive(row is not None or not_this)
        self.not_this_button.setChecked(not_this)
        for number, other in self._rows.items():
            other.number_button.setChecked(number == self.classes.current)
        if row is not None:
            self._area.ensureWidgetVisible(row, 0, 0)


class NameBox(QLineEdit):
    """Editor of a name: Enter or leaving accepts it, Escape restores the previous one."""

    _name = ""

    def show_name(self, name: str) -> None:
        """Show an accepted name."""
        self._name = name
        if self.text() != name:
            self.setText(name)

    def keyPressEvent(self, event: QKeyEvent) -> None:  # noqa: N802
        """Release the focus after Enter or Escape, so that keys reach napari again."""
        key = event.key()
        if key == Qt.Key.Key_Escape:
            self.show_name(self._name)
        else:
            super().keyPressEvent(event)
        if key in (Qt.Key.Key_Escape, Qt.Key.Key_Return, Qt.Key.Key_Enter):
            self.clearFocus()


class ClassRow(QWidget):
    """Row of one class."""

    chosen = Signal()
    """Emitted when the number or the colour is clicked."""
    renamed = Signal(str)
    """Emits the new name."""
    recoloured = Signal(str)
    """Emits the new colour, "#rrggbb"."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self._colour = ""
        self.number_button = QRadioButton(str(number))
        self.swatch = QPushButton()
        self.name_box = NameBox()
        self.setFixedHeight(ROW_HEIGHT)
        self.number_button.setFixedWidth(44)
        self.swatch.setFixedSize(22, 18)
        self.name_box.setMinimumWidth(40)
        layout = QHBoxLayout(self)
        pack(layout, self.number_button, self.swatch, spacing=4)
        layout.addWidget(self.name_box, 1)
        self.number_button.clicked.connect(lambda _: self.chosen.emit())
        self.swatch.clicked.connect(self._choose_colour)
        self.name_box.editingFinished.connect(lambda: self.renamed.emit(self.name_box.text()))

    def show_entry(self, entry: ClassEntry) -> None:
        """Show a class, but do not overwrite a name that is being typed."""
        self._colour = entry.colour
        self.swatch.setStyleSheet(SWATCH.format(entry.colour))
        self.swatch.setAccessibleName(f"Colour of {entry.name}")
        self.name_box.setAccessibleName(f"Name of class {entry.number}")
        self.number_button.setAccessibleName(entry.name)
        if not self.name_box.hasFocus():
            self.name_box.show_name(entry.name)
        key = (
            f" Key: Alt+{entry.number}, while an annotation or a result is selected."
            if entry.number <= 9
            else ""
        )
        set_help(
            self.number_button,
            f"Draw this class (label value {entry.number}) in the active layer.{key} Draw each "
            "class on a frame that shows it; one run segments all classes.",
        )
        set_help(self.swatch, "Choose the colour of this class in annotations and results.")
        set_help(self.name_box, "The name of this class.")

    def _choose_colour(self) -> None:
        self.chosen.emit()
        colour = QColorDialog.getColor(QColor(self._colour), self, self.name_box.text())
        if colour.isValid():
            self.recoloured.emit(colour.name())
