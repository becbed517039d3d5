"""The frame of a stack that the viewer shows."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from napari.components import Dims
from napari.layers import Layer

from napari_vrp_sam.errors import InputError
from napari_vrp_sam.inference.frames import Frames
from napari_vrp_sam.plugin.layers.transforms import (
    bring_into_view,
    displays_any_axis,
    slice_in_view,
)


def frame_in_view(layer: Layer, frames: Frames, dims: Dims) -> int | None:
    """Return the index of the frame in view of a layer with the axes of a stack.

    None if the viewer shows no frame of it, or several at once as in 3-D.
    """
    lead = [i for i, axis in enumerate(frames.axes) if axis in "TZ"]
    if displays_any_axis(layer, dims, lead):
        return None
    position = np.round(layer.world_to_data(slice_in_view(layer, dims))).astype(int)
    try:
        return frames.index([int(position[i]) for i in lead])
    except InputError:  # outside the stack
        return None


def view_problem(layer: Layer, frames: Frames, dims: Dims) -> str:
    """Return why the viewer shows no frame of a stack to draw on; empty if it shows one."""
    if frame_in_view(layer, frames, dims) is not None:
        return ""
    lead = [i for i, axis in enumerate(frames.axes) if axis in "TZ"]
    if not displays_any_axis(layer, dims, lead):
        return f"No frame of '{layer.name}' is in view: move the sliders to one of its frames."
    if dims.ndisplay == 3:
        return f"'{layer.name}' is shown in 3-D: switch to 2-D to draw on a frame."
    return (
        f"The view cuts across the frames of '{layer.name}': roll the dimensions until rows and "
        "columns are displayed."
    )


def frame_number(position: Sequence[int]) -> str:
    """Return the position of a frame as napari's sliders show it, such as "3" or "0, 3"."""
    return ", ".join(map(str, position)) or "0"


def show_frame(layer: Layer, frames: Frames, dims: Dims, index: int) -> None:
    """Move the viewer's sliders to a frame of a layer with the axes of a stack."""
    lead = [i for i, axis in enumerate(frames.axes) if axis in "TZ"]
    bring_into_view(layer, dims, dict(zip(lead, frames.position(index), strict=True)))
