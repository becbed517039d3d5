"""Which frame of a stack the viewer shows, and how to show another."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_vrp_sam.errors import InputError
from napari_vrp_sam.plugin.layers.transforms import bring_into_view, shown_at_once, slice_in_view

if TYPE_CHECKING:
    from napari.components import Dims
    from napari.layers import Layer

    from napari_vrp_sam.inference.frames import Frames


def frame_in_view(layer: Layer, frames: Frames, dims: Dims) -> int | None:
    """Index of the frame that the viewer shows of a layer with a stack's axes.

    None if it shows none, or many at once as in 3-D.
    """
    lead = [i for i, axis in enumerate(frames.axes) if axis in "TZ"]
    if shown_at_once(layer, dims, lead):
        return None
    at = np.round(layer.world_to_data(slice_in_view(layer, dims))).astype(int)
    try:
        return frames.index([int(at[i]) for i in lead])
    except InputError:  # between frames, or beyond the stack
        return None


def show_frame(layer: Layer, frames: Frames, dims: Dims, index: int) -> None:
    """Move the viewer's sliders to a frame of a layer with a stack's axes."""
    lead = [i for i, axis in enumerate(frames.axes) if axis in "TZ"]
    bring_into_view(layer, dims, dict(zip(lead, frames.position(index), strict=True)))
