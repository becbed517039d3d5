"""The classes of a panel: number, name and colour of each, and the one that is drawn next."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QObject, Signal

from napari_vrp_sam.errors import InputError
from napari_vrp_sam.plugin.layers.colours import default_colour

if TYPE_CHECKING:
    from napari_vrp_sam.plugin.widgets.undo import UndoHistory

MAX_CLASS = 255


@dataclass(frozen=True)
class ClassEntry:
    """A class: its number, which is the label value and the key, its name, its colour "#rrggbb"."""

    number: int
    name: str
    colour: str

    @classmethod
    def of(cls, number: int) -> ClassEntry:
        """A class that nobody has named yet."""
        return cls(number, f"class {number}", default_colour(number))


class Classes(QObject):
    """Ascending in number, at least one; what the user changes can be undone.

    Parameters
    ----------
    history : UndoHistory
    drawn_in : callable
        Name of an annotation layer in which a class is drawn, else None.

    Signals
    -------
    changed : a class was added, removed, renamed or has another colour
    chosen : (number,)
        The class that is drawn next.
    """

    changed = Signal()
    chosen = Signal(int)

    def __init__(
        self,
        history: UndoHistory,
        layer_showing: Callable[[int], str | None],
        parent: QObject | None = None,
    ) -> None:
        super().__init__(parent)
        self._history = history
        self._drawn_in = layer_showing
        self._entries = {1: ClassEntry.of(1)}
        self.current = 1

    @property
    def entries(self) -> list[ClassEntry]:
        """All classes, ascending in number."""
        return [self._entries[number] for number in sorted(self._entries)]

    def __contains__(self, number: object) -> bool:
        return number in self._entries

    def name(self, number: int) -> str:
        """Name of a class, listed or not."""
        return self._entries[number].name if number in self else f"class {number}"

    def colours(self) -> dict[int, str]:
        """Colour of each class by its number."""
        return {entry.number: entry.colour for entry in self.entries}

    def facts(self, numbers: Iterable[int]) -> list[dict[str, Any]]:
        """Some of the classes as plain data: dicts of number, name, colour."""
        return [asdict(self._entries[number]) for number in sorted(numbers) if number in self]

    def choose(self, number: int) -> None:
        """Draw this class from now on; it need not be in the list yet."""
        if number != self.current:
            self.current = number
            self.chosen.emit(number)

    def add(self) -> None:
        """Add a class with the lowest number that is free, and choose it.

        Raises
        ------
        InputError
            If all are taken.
        """
        free = (number for number in range(1, MAX_CLASS + 1) if number not in self)
        number = next(free, None)
        if number is None:
            raise InputError(f"There are {MAX_CLASS} classes already: remove one first.")
        entry = ClassEntry.of(number)
        self._put(entry)
        self._history.push(
            f"add '{entry.name}'", lambda: self._drop(number), lambda: self._put(entry)
        )

    def remove(self, number: int) -> None:
        """Take a class out of the list; results keep their labels.

        Raises
        ------
        InputError
            If it is drawn in an annotation, or the last one.
        """
        if number not in self:
            return
        entry = self._entries[number]
        remark = self._drop(number)
        if remark is not None:
            raise InputError(remark)
        self._history.push(
            f"remove '{entry.name}'", lambda: self._put(entry), lambda: self._drop(number)
        )

    def rename(self, number: int, name: str) -> None:
        """Give a class another name.

        Raises
        ------
        InputError
            If there is no name, or another class has it.
        """
        if number not in self or name == self._entries[number].name:
            return
        if not name.strip():
            raise InputError("A class needs a name: type one, and press Enter.")
        if name in (entry.name for entry in self.entries):
            raise InputError(f"There is a class '{name}' already: choose another name.")
        self._change(f"rename '{self.name(number)}'", number, name=name)

    def recolour(self, number: int, colour: str) -> None:
        """Give a class another colour, "#rrggbb"."""
        if number in self and colour != self._entries[number].colour:
            self._change(f"colour of '{self.name(number)}'", number, colour=colour)

    def include(self, entries: Iterable[ClassEntry]) -> None:
        """Add those classes whose number is not in the list; a part of no action of its own."""
        new = {e.number: e for e in entries if e.number not in self and 1 <= e.number <= MAX_CLASS}
        if new:
            self._entries.update(new)
            self.changed.emit()

    def replace_all(self, entries: Iterable[ClassEntry]) -> None:
        """Have these classes instead.

        Raises
        ------
        InputError
            If there is none, or a number is taken twice or not within 1 to 255.
        """
        entries = list(entries)
        numbers = [entry.number for entry in entries]
        valid = all(1 <= number <= MAX_CLASS for number in numbers)
        if not numbers or not valid or len(set(numbers)) < len(numbers):
            raise InputError(
                f"These classes cannot be used: each needs a number of its own, 1 to {MAX_CLASS}."
            )
        self._entries = {entry.number: entry for entry in entries}
        self.changed.emit()
        if self.current not in self:
            self.choose(min(numbers))

    def _change(self, text: str, number: int, **fields: str) -> None:
        before = {field: getattr(self._entries[number], field) for field in fields}
        self._set(number, fields)
        self._history.push(
            text, lambda: self._set(number, before), lambda: self._set(number, fields)
        )

    def _set(self, number: int, fields: dict[str, Any]) -> str | None:
        if number not in self:
            return f"There is no class {number} any more."
        self._entries[number] = replace(self._entries[number], **fields)
        self.changed.emit()
        return None

    def _put(self, entry: ClassEntry) -> None:
        self.include([entry])
        self.choose(entry.number)

    def _drop(self, number: int) -> str | None:
        """Take a class out of the list, or say why not."""
        if number not in self:
            return f"There is no class {number} any more."
        if len(self._entries) == 1:
            return f"'{self.name(number)}' stays: there has to be a class."
        layer_name = self._drawn_in(number)
        if layer_name is not None:
            return (
                f"'{self.name(number)}' stays, as it is drawn in '{layer_name}': "
                "erase or delete those drawings first."
            )
        del self._entries[number]
        self.changed.emit()
        if number == self.current:
            self.choose(max((n for n in self._entries if n < number), default=min(self._entries)))
        return None
