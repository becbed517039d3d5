"""The axes of an image, as the user or its file names them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from napari_vrp_sam.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_vrp_sam.inference.frames import Frames

USUAL = {2: "YX", 3: "ZYX", 4: "TZYX", 5: "TZCYX"}


def axes_of(image: Path, given: str | None, known: str | None) -> str | None:
    """The axes that the user gives, else those that the file names; None where neither does.

    Raises
    ------
    InputError
        If the file names axes that are none of ours.
    """
    from napari_vrp_sam.inference.frames import AXES

    if given or known is None or (set(known) <= set(AXES) and len(set(known)) == len(known)):
        return given or known
    if len(known) > max(USUAL):
        raise InputError(
            f"The file {image} names its axes {known}, which are too many: save a part of it, of "
            f"{max(USUAL)} axes at most, as a file of its own."
        )
    raise InputError(
        f"The file {image} names its axes {known}: say with --axes what they are, each with one "
        f"of the letters {AXES}."
    )


def check_frame(
    frame: int | Sequence[int] | None, view: Frames, *, axes_given: bool
) -> int | Sequence[int] | None:
    """A frame by its number, if the stack has it.

    Raises
    ------
    InputError
        If it has not, maybe because its axes are others than its file says.
    """
    if not isinstance(frame, int) or 0 <= frame < len(view):
        return frame
    usual = USUAL[len(view.shape)]
    example = "" if usual == view.axes else f", for example {usual}"
    mend = f"if that is wrong, name the axes with --axes{example}"
    raise InputError(
        f"There is no frame {frame}: the stack has {len(view)}, counted from 0, as its shape "
        f"{view.shape} is read as {view.axes}; {'choose one of these' if axes_given else mend}."
    )
