"""The list of classes: number, colour and name of each, and which is drawn next."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Qt, Signal
from qtpy.QtGui import QColor, QKeyEvent
from qtpy.QtWidgets import (
    QButtonGroup,
    QColorDialog,
    QFrame,
    QHBoxLayout,
    QLineEdit,
    QPushButton,
    QRadioButton,
    QScrollArea,
    QVBoxLayout,
    QWidget,
)

from napari_vrp_sam.errors import InputError
from napari_vrp_sam.plugin.classes.class_link import ClassLink, layer_showing
from napari_vrp_sam.plugin.classes.classes import ClassEntry, Classes
from napari_vrp_sam.plugin.widgets.controls import set_help

if TYPE_CHECKING:
    import napari

    from napari_vrp_sam.plugin.classes.annotation_list import AnnotationList
    from napari_vrp_sam.plugin.widgets.undo import UndoHistory

ROW_HEIGHT = 28
VISIBLE_ROWS = 4
FRAME = 2
"""Pixels that napari's style takes from the height of the list."""
SWATCH = "QPushButton {{ background: {}; border: 1px solid gray; border-radius: 3px; }}"
SWATCH_FOCUS = "QPushButton:focus {{ border: 2px solid palette(highlight); }}"


class ClassList(QWidget):
    """Rows of classes, a button to add one and a button to remove the chosen one.

    Signals
    -------
    warned : (sentence,)
        What the user cannot do.
    """

    warned = Signal(str)

    def __init__(
        self,
        viewer: napari.viewer.Viewer,
        annotation_list: AnnotationList,
        history: UndoHistory,
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self._classes = Classes(history, partial(layer_showing, viewer, annotation_list), self)
        self._link = ClassLink(viewer, annotation_list, self._classes, self)
        self._rows: dict[int, ClassRow] = {}
        self._group = QButtonGroup(self)
        self._area = QScrollArea()
        self.add_button, self.remove_button = QPushButton("+"), QPushButton("-")
        self._lay_out()
        self._explain()
        self._link.warned.connect(self.warned)
        self._classes.changed.connect(self._follow)
        self._classes.chosen.connect(self._mark)
        self.add_button.clicked.connect(self._add)
        self.remove_button.clicked.connect(self._remove)
        self._follow()

    @property
    def classes(self) -> list[ClassEntry]:
        """All classes, ascending in number."""
        return self._classes.entries

    def set_classes(self, entries: Iterable[ClassEntry]) -> None:
        """Have these classes instead; layers take their colours.

        Raises
        ------
        InputError
            If there is none, or a number is taken twice or not within 1 to 255.
        """
        self._classes.replace_all(entries)

    @property
    def current(self) -> int:
        """Number of the class that is drawn next."""
        return self._classes.current

    def choose(self, number: int) -> None:
        """Draw this class from now on."""
        self._classes.choose(number)

    def name(self, number: int) -> str:
        """Name of a class, listed or not."""
        return self._classes.name(number)

    def include(self, numbers: Iterable[int]) -> None:
        """Add those classes that are not in the list."""
        self._classes.include(ClassEntry.of(number) for number in numbers)

    def facts(self, numbers: Iterable[int]) -> list[dict[str, Any]]:
        """Some of the classes as plain data: dicts of number, name, colour."""
        return self._classes.facts(numbers)

    def row(self, number: int) -> ClassRow:
        """The row of a class."""
        return self._rows[number]

    def enable_keys(self, *, held: bool) -> None:
        """Let the number keys choose classes, or give them back to napari."""
        self._link.enable_keys(held=held)

    def release(self) -> None:
        """Let go of the viewer, which is closing."""
        self._link.release()

    def _lay_out(self) -> None:
        self._area.setWidgetResizable(True)
        self._area.setFrameShape(QFrame.Shape.NoFrame)
        self._area.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self._area.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(3)
        layout.addWidget(self._area, 1)
        for button in (self.add_button, self.remove_button):
            button.setFixedSize(ROW_HEIGHT - 2, ROW_HEIGHT - 2)
            layout.addWidget(button, 0, Qt.AlignmentFlag.AlignTop)

    def _explain(self) -> None:
        set_help(self.add_button, "Add a class; what you draw next is of this class.")
        set_help(
            self.remove_button,
            "Remove the chosen class from the list, unless it is drawn in an annotation layer.",
        )
        self.add_button.setAccessibleName("Add a class")
        self.remove_button.setAccessibleName("Remove the chosen class")

    def _add(self) -> None:
        count = len(self._rows)
        self._try(self._classes.add)
        if len(self._rows) > count:
            self._rows[self.current].name_box.setFocus()

    def _remove(self) -> None:
        self._try(partial(self._classes.remove, self.current))

    def _try(self, action: Any) -> None:
        try:
            action()
        except InputError as mistake:
            self.warned.emit(str(mistake))
        self._follow()  # what was refused is shown as it is

    def _follow(self) -> None:
        """Show the classes; rows stay while their numbers do, as one may be in use."""
        entries = self.classes
        if [entry.number for entry in entries] != list(self._rows):
            self._make_rows([entry.number for entry in entries])
        for entry in entries:
            self._rows[entry.number].show_entry(entry)
        self._mark()

    def _make_rows(self, numbers: list[int]) -> None:
        for row in self._rows.values():
            self._group.removeButton(row.number_button)
            row.blockSignals(True)  # noqa: FBT003
        content = QWidget()
        layout = QVBoxLayout(content)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(0)
        self._rows = {number: ClassRow(number) for number in numbers}
        for number, row in self._rows.items():
            layout.addWidget(row)
            self._group.addButton(row.number_button)
            row.chosen.connect(partial(self.choose, number))
            row.renamed.connect(partial(self._rename, number))
            row.recoloured.connect(partial(self._classes.recolour, number))
        before = self._area.takeWidget()
        if before is not None:
            before.deleteLater()  # the signal of one of its rows may have led here
        self._area.setWidget(content)
        self._area.setFixedHeight(min(len(numbers), VISIBLE_ROWS) * ROW_HEIGHT + FRAME)

    def _rename(self, number: int, name: str) -> None:
        self._try(partial(self._classes.rename, number, name.strip()))
        if number in self._rows:
            self._rows[number].name_box.settle(self.name(number))

    def _mark(self, _number: int = 0) -> None:
        row = self._rows.get(self.current)
        self.remove_button.setEnabled(row is not None)
        # A class that is chosen in a layer, but not drawn yet, has no row.
        self._group.setExclusive(row is not None)
        for number, other in self._rows.items():
            other.number_button.setChecked(number == self.current)
        if row is not None:
            self._area.ensureWidgetVisible(row, 0, 0)


class NameBox(QLineEdit):
    """A name; Enter or leaving takes it over, Escape does not, and the keys go back to napari."""

    _settled = ""

    def settle(self, name: str) -> None:
        """Show a name that counts."""
        self._settled = name
        if self.text() != name:
            self.setText(name)

    def keyPressEvent(self, event: QKeyEvent) -> None:  # noqa: N802
        """Give the focus away when the name is done."""
        key = event.key()
        if key == Qt.Key.Key_Escape:
            self.settle(self._settled)
        else:
            super().keyPressEvent(event)
        if key in (Qt.Key.Key_Escape, Qt.Key.Key_Return, Qt.Key.Key_Enter):
            self.clearFocus()


class ClassRow(QWidget):
    """One class.

    Signals
    -------
    chosen : the user chose it by its number, or is about to name it
    renamed, recoloured : (text,)
        The new name; the new colour "#rrggbb".
    """

    chosen = Signal()
    renamed = Signal(str)
    recoloured = Signal(str)

    def __init__(self, number: int, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._number = number
        self._colour = ""
        self.number_button = QRadioButton(str(number))
        self.swatch = QPushButton()
        self.name_box = NameBox()
        self.setFixedHeight(ROW_HEIGHT)
        self.number_button.setFixedWidth(44)
        self.swatch.setFixedSize(22, 18)
        self.name_box.setMinimumWidth(40)
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(4)
        layout.addWidget(self.number_button)
        layout.addWidget(self.swatch)
        layout.addWidget(self.name_box, 1)
        self.number_button.clicked.connect(lambda _: self.chosen.emit())
        self.swatch.clicked.connect(self._choose_colour)
        self.name_box.editingFinished.connect(self._name)

    def show_entry(self, entry: ClassEntry) -> None:
        """Show a class; a name that is being typed is left alone."""
        self._colour = entry.colour
        self.swatch.setStyleSheet(SWATCH.format(entry.colour) + SWATCH_FOCUS.format())
        self.swatch.setAccessibleName(f"Colour of {entry.name}")
        self.name_box.setAccessibleName(f"Name of class {entry.number}")
        self.number_button.setAccessibleName(entry.name)
        if not self.name_box.hasFocus():
            self.name_box.settle(entry.name)
        key = (
            f" Key: {entry.number}, while an annotation or a result is selected; napari's tools "
            "have letters there instead of numbers."
            if entry.number <= 9
            else ""
        )
        set_help(
            self.number_button,
            f"Draw this class next, of label value {entry.number}, in the active layer too.{key} "
            "Draw each class on a frame that shows it; all are segmented in one run.",
        )
        set_help(self.swatch, "Choose the colour of this class, in annotations and results.")
        set_help(self.name_box, "The name of this class.")

    def _name(self) -> None:
        self.renamed.emit(self.name_box.text())

    def _choose_colour(self) -> None:
        self.chosen.emit()
        colour = QColorDialog.getColor(QColor(self._colour), self, self.name_box.text())
        if colour.isValid():
            self.recoloured.emit(colour.name())
