"""Durations, finished frames and long messages in words; without Qt."""

from __future__ import annotations

from collections.abc import Sequence

from napari_vrp_sam.wording import count

LONGEST_MESSAGE = 160
"""Largest number of characters that a message shows before its details are folded away."""


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


def time_left(seconds: float) -> str:
    """Return an estimate of the time left, rounded to a sensible precision.

    Examples
    --------
    >>> time_left(3), time_left(44), time_left(130)
    ('a few seconds left', 'about 40 s left', 'about 2 min left')
    """
    if seconds < 10:
        return "a few seconds left"
    if seconds < 55:
        return f"about {round(seconds, -1):.0f} s left"
    if seconds < 90 * 60:
        return f"about {max(seconds / 60, 1):.0f} min left"
    return f"about {seconds / 3600:.1f} h left"


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


def hidden_used(names: Sequence[str]) -> str:
    """Say that layers are used as annotation although they are hidden; "" without any."""
    if not names:
        return ""
    quoted = " and ".join(f"'{name}'" for name in names)
    if len(names) == 1:
        return f"{quoted} is hidden but ticked, so it is used as annotation."
    return f"{quoted} are hidden but ticked, so they are used as annotation."


def accepted_over_drawn(numbers: Sequence[str]) -> str:
    """Say that frames are accepted, so that what is drawn on them is not used; "" without any.

    Examples
    --------
    >>> accepted_over_drawn(["3"])
    'Frame 3 is accepted: drawings on it are not used.'
    """
    if not numbers:
        return ""
    if len(numbers) == 1:
        return f"Frame {numbers[0]} is accepted: drawings on it are not used."
    listed = f"{', '.join(numbers[:-1])} and {numbers[-1]}"
    return f"Frames {listed} are accepted: drawings on them are not used."
