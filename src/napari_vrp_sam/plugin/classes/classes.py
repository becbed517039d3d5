"""Classes of the chosen image: number, name and colour of each, and the current one."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QObject, Signal

from napari_vrp_sam.errors import InputError
from napari_vrp_sam.plugin.layers.appearance.palette import default_colour
from napari_vrp_sam.plugin.layers.metadata import NOT_THIS

if TYPE_CHECKING:
    from napari_vrp_sam.plugin.widgets.undo import Change, UndoHistory

MAX_CLASS = 255
_kept: dict[Hashable, dict[int, ClassEntry]] = {}
"""Classes by the unique id of their image, for a dock that is closed and opened again."""
CLASSES_GONE = "Nothing has changed, because the image of these classes was deleted."


@dataclass(frozen=True)
class ClassEntry:
    """A class: its number (label value, 1 to 255), name and colour ("#rrggbb")."""

    number: int
    name: str
    colour: str

    @classmethod
    def default(cls, number: int) -> ClassEntry:
        """Return a class with the default name and colour of its number."""
        return cls(number, f"class {number}", default_colour(number))


class Classes(QObject):
    """At least one class, iterated in ascending order of numbers; the user's changes can be undone.

    Each image has its own classes. Those of the time without an image become those of the first.

    Parameters
    ----------
    history : UndoHistory
    layer_with_class : callable
        Returns the name of an annotation layer in which a class is drawn, or None.

    Attributes
    ----------
    current : int
        Class of new drawings, or `NOT_THIS`.
    """

    switched = Signal()
    """Emitted after the choice of another image, whose layers show its classes already."""
    changed = Signal()
    """Emitted after a class was added, removed, renamed or recoloured."""
    chosen = Signal(int)
    """Emits the number of the new current class."""

    def __init__(
        self,
        history: UndoHistory,
        layer_with_class: Callable[[int], str | None],
        parent: QObject | None = None,
    ) -> None:
        super().__init__(parent)
        self._history = history
        self._layer_with_class = layer_with_class
        self._image: Hashable = None
        self._entries = {1: ClassEntry.default(1)}
        self._others: dict[Hashable, tuple[dict[int, ClassEntry], int]] = {}
        self.current = 1
        self.changed.connect(self._keep)

    def __iter__(self) -> Iterator[ClassEntry]:
        return iter([self._entries[number] for number in sorted(self._entries)])

    def __contains__(self, number: object) -> bool:
        return number in self._entries

    def name(self, number: int) -> str:
        """Return the name of a class, which need not be in the list."""
        if number == NOT_THIS:
            return "Not this"
        return self._entries[number].name if number in self else f"class {number}"

    def colours(self) -> dict[int, str]:
        """Return the colour of each class by its number."""
        return {entry.number: entry.colour for entry in self}

    def as_dicts(self, numbers: Iterable[int]) -> list[dict[str, Any]]:
        """Return some of the classes as dicts with the keys number, name and colour."""
        return [asdict(self._entries[number]) for number in sorted(numbers) if number in self]

    def follow(self, image: Hashable) -> None:
        """Switch to the classes of an image, given by its unique id; None without an image."""
        before = self._image
        if image == before:
            return
        self._image = image
        if before is None and image not in self._others and image not in _kept:
            self._keep()
            return
        self._others[before] = self._entries, self.current
        entries = dict(_kept.get(image) or {1: ClassEntry.default(1)})
        self._entries, current = self._others.pop(image, (entries, min(entries)))
        self.switched.emit()
        self.choose(current)

    def choose(self, number: int) -> None:
        """Make a class the current one; it need not be in the list yet."""
        if number != self.current:
            self.current = number
            self.chosen.emit(number)

    def add(self) -> None:
        """Add a class with the lowest free number, and make it current.

        Raises
        ------
        InputError
            If all numbers are taken.
        """
        number = next((n for n in range(1, MAX_CLASS + 1) if n not in self), None)
        if number is None:
            raise InputError(f"There are {MAX_CLASS} classes already: remove one first.")
        entry = ClassEntry.default(number)
        self._put(entry)
        self._push(f"add '{entry.name}'", lambda: self._drop(number), lambda: self._put(entry))

    def remove(self, number: int) -> None:
        """Remove a class from the list; results keep their labels.

        Raises
        ------
        InputError
            If the class is drawn in an annotation layer or is the only one.
        """
        if number not in self:
            return
        entry = self._entries[number]
        message = self._drop(number)
        if message is not None:
            raise InputError(message)
        self._push(f"remove '{entry.name}'", lambda: self._put(entry), lambda: self._drop(number))

    def rename(self, number: int, name: str) -> None:
        """Change the name of a class.

        Raises
        ------
        InputError
            If the name is empty or belongs to another class.
        """
        if number not in self or name == self._entries[number].name:
            return
        if not name.strip():
            raise InputError("A class needs a name: type one and press Enter.")
        if name in (entry.name for entry in self):
            raise InputError(f"A class named '{name}' already exists: choose another name.")
        self._change(f"rename '{self.name(number)}'", number, name=name)

    def recolour(self, number: int, colour: str) -> None:
        """Change the colour ("#rrggbb") of a class."""
        if number in self and colour != self._entries[number].colour:
            self._change(f"change the colour of '{self.name(number)}'", number, colour=colour)

    def include(self, entries: Iterable[ClassEntry]) -> None:
        """Add the classes whose numbers are not in the list, without an entry in the history.

        Their names and colours replace those of classes that the user has not changed.
        """
        new = {
            entry.number: entry
            for entry in entries
            if 1 <= entry.number <= MAX_CLASS
            and self._entries.get(entry.number, ClassEntry.default(entry.number))
            == ClassEntry.default(entry.number)
            and self._entries.get(entry.number) != entry
        }
        if new:
            self._entries.update(new)
            self.changed.emit()

    def replace_all(self, entries: Iterable[ClassEntry]) -> None:
        """Replace the whole list.

        Raises
        ------
        InputError
            If there are no classes, or if a number is used twice or is not within 1 to 255.
        """
        entries = list(entries)
        numbers = [entry.number for entry in entries]
        valid = all(1 <= number <= MAX_CLASS for number in numbers)
        if not numbers or not valid or len(set(numbers)) < len(numbers):
            raise InputError(
                "These classes cannot be used: give each class a different number from 1 to "
                f"{MAX_CLASS}."
            )
        self._entries = {entry.number: entry for entry in entries}
        self.changed.emit()
        if self.current not in self:
            self.choose(min(numbers))

    def other_images(self) -> list[Hashable]:
        """Return the ids of the other images with classes, most recently viewed ones last."""
        return [image for image in self._others if image is not None]

    def copy_from(self, image: Hashable, name: str) -> None:
        """Replace the classes by those of another image; classes that are drawn here stay."""
        before, (copied, _) = self._entries, self._others[image]
        after = dict(copied)
        self._replace(after)
        self._push(
            f"copy the classes of '{name}'",
            lambda: self._replace(before),
            lambda: self._replace(after),
        )

    def _replace(self, entries: dict[int, ClassEntry]) -> None:
        drawn = {
            number: entry
            for number, entry in self._entries.items()
            if number not in entries and self._layer_with_class(number) is not None
        }
        self.replace_all((drawn | entries).values())

    def _keep(self) -> None:
        if self._image is not None:
            _kept[self._image] = dict(self._entries)

    def _change(self, text: str, number: int, **fields: str) -> None:
        before = {field: getattr(self._entries[number], field) for field in fields}
        self._set(number, fields)
        self._push(text, lambda: self._set(number, before), lambda: self._set(number, fields))

    def _push(self, text: str, undo: Change, redo: Change) -> None:
        """Add an action to the history that is about the classes of this image."""
        image = self._image

        def only_here(step: Change) -> Change:
            # The history also offers the actions on images that are gone.
            return lambda: step() if image in (None, self._image) else CLASSES_GONE

        self._history.push(text, only_here(undo), only_here(redo), image=image)

    def _set(self, number: int, fields: dict[str, Any]) -> str | None:
        if number not in self:
            return f"Class {number} no longer exists."
        self._entries[number] = replace(self._entries[number], **fields)
        self.changed.emit()
        return None

    def _put(self, entry: ClassEntry) -> None:
        self.include([entry])
        self.choose(entry.number)

    def _drop(self, number: int) -> str | None:
        """Remove a class, or return the reason why it cannot be removed."""
        if number not in self:
            return f"Class {number} no longer exists."
        if len(self._entries) == 1:
            return f"'{self.name(number)}' was not removed: at least one class is needed."
        layer_name = self._layer_with_class(number)
        if layer_name is not None:
            return (
                f"'{self.name(number)}' was not removed because it is drawn in '{layer_name}': "
                "erase or delete these drawings first."
            )
        del self._entries[number]
        self.changed.emit()
        if number == self.current:
            self.choose(max((n for n in self._entries if n < number), default=min(self._entries)))
        return None
