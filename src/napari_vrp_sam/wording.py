"""Numbers with their nouns, for messages of the window and the command line."""

from __future__ import annotations


def count(number: int, noun: str) -> str:
    """Return a number with its noun in the singular or plural.

    Examples
    --------
    >>> count(1, "frame"), count(3, "frame")
    ('1 frame', '3 frames')
    """
    return f"{number} {noun}{'' if number == 1 else 's'}"
