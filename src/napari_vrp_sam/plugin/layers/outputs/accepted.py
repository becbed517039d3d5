"""Accepted frames: frames of a result that the user checked and confirmed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import napari
import numpy as np
from napari.layers import Image, Labels
from numpy.typing import NDArray

from napari_vrp_sam.annotations.reference import Reference
from napari_vrp_sam.errors import InputError
from napari_vrp_sam.inference.frames import Frames
from napari_vrp_sam.plugin.layers.metadata import get_metadata, set_metadata
from napari_vrp_sam.plugin.layers.outputs.results import is_result_layer
from napari_vrp_sam.plugin.layers.stacks import frames_of

ACCEPTED = "accepted frames"
"""Metadata key of the indices of accepted frames."""


def current_result(viewer: napari.viewer.Viewer, image: Image) -> Labels | None:
    """Return the result of an image: the active one, else the topmost; visible ones first."""
    results = [
        layer
        for layer in viewer.layers
        if isinstance(layer, Labels)
        and is_result_layer(layer, image.unique_id)
        and layer.data.shape == image.data.shape[: image.ndim]
    ]
    results = [layer for layer in results if layer.visible] or results
    active = viewer.layers.selection.active
    return active if active in results else results[-1] if results else None


def current_result_with_frames(
    viewer: napari.viewer.Viewer, image: Image | None
) -> tuple[Labels, Frames] | None:
    """Return the current result of an image, and the image's frames along the result's axes."""
    layer = current_result(viewer, image) if image is not None else None
    if image is None or layer is None:
        return None
    return layer, frames_of(image, get_metadata(layer, "axes"))


def result_events(viewer: napari.viewer.Viewer) -> list[Any]:
    """Return the emitters of events that may change the current result."""
    events = viewer.layers.events
    return [events.inserted, events.removed, viewer.layers.selection.events.active]


def accepted_frames(layer: Labels) -> list[int]:
    """Return the indices of the accepted frames of a result in ascending order."""
    return sorted(get_metadata(layer, ACCEPTED) or [])


def set_accepted_frames(layer: Labels, frames: Iterable[int]) -> None:
    """Store the indices of the accepted frames of a result."""
    set_metadata(layer, **{ACCEPTED: sorted(frames)})


def frame_labels(layer: Labels, frames: Frames, index: int) -> NDArray[Any]:
    """Return a copy of the labels of one frame of a result, shape (Y, X)."""
    position = iter(frames.position(index))
    # All channels have the same labels.
    selection = tuple(0 if axis == "C" else next(position) for axis in frames.axes if axis in "TZC")
    return np.array(layer.data[selection])


def set_frame_labels(layer: Labels, frames: Frames, index: int, labels: NDArray[Any]) -> None:
    """Set the labels of one frame of a result, shape (Y, X), without showing them."""
    position = iter(frames.position(index))
    axes = [axis for axis in frames.axes if axis in "TZC"]
    layer.data[tuple(slice(None) if axis == "C" else next(position) for axis in axes)] = labels


def result_labels(layer: Labels, frames: Frames, *, copy: bool = True) -> NDArray[Any]:
    """Return a copy or a view of the labels of a result, shape `Frames.label_shape`."""
    selection = tuple(0 if axis == "C" else slice(None) for axis in frames.axes if axis != "S")
    return np.array(layer.data[selection], copy=copy or None)


def accepted_labels(layer: Labels, image: Image, axes: str) -> dict[int, NDArray[Any]]:
    """Return the labels of the accepted frames by index, each of shape (Y, X)."""
    frames = frames_of(image, axes)
    return {i: frame_labels(layer, frames, i) for i in accepted_frames(layer) if i < len(frames)}


def references_with_accepted(
    drawn: Iterable[Reference],
    accepted: dict[int, NDArray[Any]],
    image: Image,
    axes: str,
    channels: Sequence[int] | None = None,
) -> list[Reference]:
    """Return references from drawings and from accepted frames, given as labels by index.

    An accepted frame gives a mask of every class, empty for classes that are not on it; drawings
    on it are ignored.

    Raises
    ------
    InputError
        If there is neither a drawing nor a class on an accepted frame.
    """
    frames = frames_of(image, axes, channels)
    references = [reference for reference in drawn if reference.frame not in accepted]
    class_ids = {reference.class_id for reference in references}
    class_ids |= {int(c) for labels in accepted.values() for c in np.unique(labels) if c}
    for index, labels in accepted.items():
        image_frame = frames[index]
        references += [Reference(image_frame, labels == c, c, frame=index) for c in class_ids]
    if not class_ids:
        raise InputError(
            "The accepted frames contain no class: annotate another frame, or unaccept one of them."
        )
    return sorted(references, key=lambda r: (r.frame or 0, r.class_id))
