"""Numbers, durations and long messages in words; without Qt."""

from __future__ import annotations

LONGEST_MESSAGE = 160
"""Largest number of characters that a message shows before its details are folded away."""


def count(number: int, noun: str) -> str:
    """Return a number with its noun in the singular or plural.

    Examples
    --------
    >>> count(1, "frame"), count(3, "frame")
    ('1 frame', '3 frames')
    """
    return f"{number} {noun}{'' if number == 1 else 's'}"


def finished_frames(done: int, total: int) -> str:
    """Return the finished frames of a run in words.

    Examples
    --------
    >>> finished_frames(7, 7), finished_frames(1, 1), finished_frames(1, 7)
    ('all 7 frames', '1 frame', '1 of 7 frames')
    """
    if done < total:
        return f"{done} of {count(total, 'frame')}"
    return f"all {count(total, 'frame')}" if total > 1 else count(total, "frame")


def format_duration(seconds: float) -> str:
    """Format an estimated duration, rounded to a sensible precision."""
    if seconds < 10:
        return "a few seconds"
    if seconds < 90:
        return f"{round(seconds, -1):.0f} s"
    if seconds < 90 * 60:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"


def split_message(text: str) -> tuple[str, str]:
    r"""Split a long message into its first sentence and the details.

    Examples
    --------
    >>> split_message("The model is missing.\nIts address does not answer.")
    ('The model is missing.', 'Its address does not answer.')
    """
    first, _, details = text.partition("\n")
    if len(first) > LONGEST_MESSAGE and ". " in first:
        first, _, rest = first.partition(". ")
        first, details = f"{first}.", f"{rest}\n{details}"
    return first.strip(), details.strip()
