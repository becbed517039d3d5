"""Class numbers from the names and values that files give to classes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from napari_vrp_sam.errors import InputError
from napari_vrp_sam.io.references.annotations import Role

CLASS_COLUMNS = ("class", "class_id", "classification", "label", "category", "type")
"""Usual names of the column or attribute with the class, in the order of preference."""

MAX_SINGLE = 4
"""Up to this many shapes, each may have a class of its own."""


class ClassOf(NamedTuple):
    """Class and role of a shape."""

    class_id: int
    role: Role


class Classes(NamedTuple):
    """Classes of the shapes of a file."""

    found: list[ClassOf | None]
    """One for each shape; None for shapes without a class beside others with one."""
    names: Mapping[int, str]
    notes: tuple[str, ...]


def number_classes(values: Iterable[Any], *, chosen: bool = False) -> Classes:
    """Assign a number to each class of shapes.

    Positive integers are class numbers as they are, and 0 is background. Names are numbered in
    alphabetical order; "background" is no class, and names that start with "ignore" or end with an
    asterisk, as QuPath writes them, mark pixels to be excluded.

    Parameters
    ----------
    values : iterable
        Value for each shape; None, NaN or "" if it has none.
    chosen : bool
        Whether the user states that the values are classes. Otherwise, numbers that are all
        different number the shapes, which are one class.
    """
    texts = [_text(value) for value in values]
    if not any(texts):
        return Classes([ClassOf(1, "class")] * len(texts), {}, ())
    different = len(texts) > MAX_SINGLE and len(set(texts)) == len(texts)
    if not chosen and different and all(text.isdecimal() for text in texts):
        note = "Its values number the objects, which are taken as one class."
        return Classes([ClassOf(1, "class")] * len(texts), {}, (note,))
    unnamed = texts.count("")
    notes = []
    if unnamed:
        shapes = "1 shape without a class is" if unnamed == 1 else f"{unnamed} shapes without a "
        shapes += "" if unnamed == 1 else "class are"
        notes.append(f"{shapes} not used.")
    if all(text.isdecimal() for text in texts if text):
        found = [_numbered(text) if text else None for text in texts]
        return Classes(found, {}, tuple(notes))
    roles = {text: _role(text) for text in texts if text}
    ordered = sorted(text for text, role in roles.items() if role == "class")
    numbers = {text: number for number, text in enumerate(ordered, start=1)}
    names = {number: text for text, number in numbers.items()}
    if names:
        listed = ", ".join(f"{number} {name}" for number, name in names.items())
        notes.insert(0, f"The classes are {listed}.")
    found = [ClassOf(numbers.get(text, 1), roles[text]) if text else None for text in texts]
    return Classes(found, names, tuple(notes))


def class_column(columns: Sequence[str], wanted: str | None) -> str | None:
    """Return the column with the class: the wanted one, or the first with a usual name.

    Raises
    ------
    InputError
        If the wanted one does not exist.
    """
    if wanted is not None:
        if wanted not in columns:
            listed = ", ".join(columns) or "none"
            raise InputError(f"There is no column {wanted} of classes: the file has {listed}.")
        return wanted
    lower = {column.lower(): column for column in reversed(columns)}
    return next((lower[name] for name in CLASS_COLUMNS if name in lower), None)


def _text(value: Any) -> str:
    if value is None or value != value:  # NaN
        return ""
    if isinstance(value, float) and value.is_integer():  # integers beside missing values
        value = int(value)
    return str(value).strip()


def _numbered(text: str) -> ClassOf:
    return ClassOf(int(text), "class") if int(text) else ClassOf(1, "background")


def _role(name: str) -> Role:
    lower = name.lower()
    if lower in ("background", "bg"):
        return "background"
    return "ignored" if lower.startswith("ignore") or lower.endswith("*") else "class"
