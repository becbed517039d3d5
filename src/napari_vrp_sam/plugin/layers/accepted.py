"""Frames of a result that the user looked at, corrected where needed, and accepted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Image, Labels
from numpy.typing import NDArray

from napari_vrp_sam.annotations.reference import Reference
from napari_vrp_sam.errors import InputError
from napari_vrp_sam.plugin.layers.metadata import note, noted
from napari_vrp_sam.plugin.layers.results import is_result
from napari_vrp_sam.plugin.layers.stacks import frames_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import napari

    from napari_vrp_sam.inference.frames import Frames

ACCEPTED = "accepted frames"


def current_result(viewer: napari.viewer.Viewer, image: Image) -> Labels | None:
    """The result of an image that counts: the active one if it is to be seen, else the topmost."""
    results = [
        layer
        for layer in viewer.layers
        if isinstance(layer, Labels)
        and is_result(layer, image.unique_id)
        and layer.data.shape == image.data.shape[: image.ndim]
    ]
    results = [layer for layer in results if layer.visible] or results
    active = viewer.layers.selection.active
    return active if active in results else results[-1] if results else None


def shown_result(viewer: napari.viewer.Viewer, image: Image | None) -> tuple[Labels, Frames] | None:
    """The current result of an image, and its frames as they were when it was made."""
    layer = current_result(viewer, image) if image is not None else None
    if image is None or layer is None:
        return None
    return layer, frames_of(image, noted(layer, "axes"))


def result_events(viewer: napari.viewer.Viewer) -> list[Any]:
    """Emitters of the events after which another result may be the current one."""
    events = viewer.layers.events
    return [events.inserted, events.removed, viewer.layers.selection.events.active]


def accepted_frames(layer: Labels) -> list[int]:
    """Indices of the accepted frames, ascending."""
    return sorted(noted(layer, ACCEPTED) or [])


def set_accepted(layer: Labels, frames: Iterable[int]) -> None:
    """Say which frames are accepted."""
    note(layer, **{ACCEPTED: sorted(frames)})


def frame_labels(layer: Labels, frames: Frames, index: int) -> NDArray[Any]:
    """Labels of one frame of a result, shape (Y, X); a copy."""
    position = iter(frames.position(index))
    # Channels share their labels: any of them will do.
    lead = {"T": next, "Z": next, "C": lambda _: 0}
    at = tuple(lead[axis](position) for axis in frames.axes if axis in lead)
    return np.array(layer.data[at])


def result_labels(layer: Labels, frames: Frames) -> NDArray[Any]:
    """Labels of a whole result, shape `Frames.label_shape`; a copy."""
    # Channels share their labels: any of them will do.
    at = tuple(0 if axis == "C" else slice(None) for axis in frames.axes if axis != "S")
    return np.array(layer.data[at])


def accepted_labels(layer: Labels, image: Image, axes: str) -> dict[int, NDArray[Any]]:
    """Labels of the accepted frames, each of shape (Y, X), by index."""
    frames = frames_of(image, axes)
    return {i: frame_labels(layer, frames, i) for i in accepted_frames(layer) if i < len(frames)}


def with_accepted(
    drawn: Iterable[Reference],
    accepted: dict[int, NDArray[Any]],
    image: Image,
    axes: str,
    channels: Sequence[int] | None = None,
) -> list[Reference]:
    """References of what is drawn and of accepted frames, on which nothing else counts.

    An accepted frame shows all of every class: each class on it is a mask, and whatever class is
    not on it is background there.

    Raises
    ------
    InputError
        If nothing is annotated at all.
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
            "The accepted frames show no class: mark it on another frame, or withdraw one of them."
        )
    return sorted(references, key=lambda r: (r.frame or 0, r.class_id))
