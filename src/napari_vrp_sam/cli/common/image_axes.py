"""Axes and frame indices of an image, as the user or the file states them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from napari_vrp_sam.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_vrp_sam.inference.frames import Frames
    from napari_vrp_sam.io.metadata import StoredImage

MAX_LISTED = 12
"""Largest number of channels that are listed one by one."""

USUAL_AXES = {2: "YX", 3: "ZYX", 4: "TZYX", 5: "TZCYX"}
"""The most common axes of images, by number of dimensions."""


def open_frames(
    image: Path,
    image_number: int | str | None,
    axes: str | None,
    channels: Sequence[int] | None,
    nodata: float | None,
) -> tuple[StoredImage, Frames]:
    """Open an image, and return it with its frames; options override what the file states.

    Raises
    ------
    InputError
        If the image cannot be read, or the options do not suit it.
    """
    from napari_vrp_sam.inference.frames import Frames
    from napari_vrp_sam.io.images.opening import open_image

    stored = open_image(image, image=image_number)
    missing = stored.metadata.nodata if nodata is None else nodata
    return stored, Frames(
        stored.data, resolve_axes(image, axes, stored.axes), channels or None, nodata=missing
    )


def resolve_axes(image: Path, given: str | None, stored: str | None) -> str | None:
    """Return the axes that the user gives, else those stored in the file; None without either.

    Raises
    ------
    InputError
        If the axes stored in the file are not supported.
    """
    from napari_vrp_sam.io.axes import AXES

    if given or stored is None or (set(stored) <= set(AXES) and len(set(stored)) == len(stored)):
        return given or stored
    if len(stored) > max(USUAL_AXES):
        raise InputError(
            f"The file {image} has the axes {stored}, which are too many: save a subset with at "
            f"most {max(USUAL_AXES)} axes as a separate file."
        )
    raise InputError(
        f"The file {image} has the axes {stored}: name them with --axes, each with one of the "
        f"letters {AXES}."
    )


def check_frame(
    frame: int | Sequence[int] | None, frames: Frames, *, axes_given: bool
) -> int | Sequence[int] | None:
    """Return the frame; positions along several axes are returned unchecked.

    Raises
    ------
    InputError
        If the stack has no frame of this index, possibly because the file states wrong axes.
    """
    if not isinstance(frame, int) or 0 <= frame < len(frames):
        return frame
    usual = USUAL_AXES[len(frames.shape)]
    example = "" if usual == frames.axes else f", for example {usual}"
    fix = f"if that is wrong, name the axes with --axes{example}"
    raise InputError(
        f"There is no frame {frame}: the stack has {len(frames)} frames, counted from 0, because "
        f"its shape {frames.shape} is read as {frames.axes}; "
        f"{'choose another frame' if axes_given else fix}."
    )


def describe_channels(frames: Frames, names: Sequence[str] = ()) -> str:
    """Return a sentence about the channels in use; empty for one channel and for colours.

    Parameters
    ----------
    frames : Frames
    names : sequence of str
        Names of all channels, if the file has them.
    """
    total = dict(zip(frames.axes, frames.shape, strict=True)).get("C", 1)
    used = frames.channels
    if total == 1:
        return ""
    listed = [names[at] if len(names) == total else str(at) for at in used]
    if len(used) == 1:
        return f"Channel {listed[0]} of {total} is used; choose others with --channel."
    if len(used) <= MAX_LISTED:
        which = f"Channels {', '.join(listed[:-1])} and {listed[-1]}"
    elif used == tuple(range(total)):
        which = f"Channels {listed[0]} to {listed[-1]}"
    else:
        which = f"{len(used)} channels"
    combined = ", combined to three by the annotation" if frames.projected else ""
    return f"{which} of {total} are used{combined}; choose others with --channel."
