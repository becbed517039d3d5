"""The Labels layer that a run fills frame by frame."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Image, Labels
from numpy.typing import NDArray

from napari_vrp_sam.plugin.layers.frame_view import frame_in_view
from napari_vrp_sam.plugin.layers.metadata import note, noted
from napari_vrp_sam.plugin.layers.stacks import (
    blank,
    channel_count,
    frames_of,
    placement,
    spread_over_channels,
    stack_data,
)

if TYPE_CHECKING:
    import napari

RESULT_OF = "result of"
"""Unique id of the image: its name may change."""
CONFIDENCE = "confidence"


class Result:
    """Labels of a stack in the making, shown in a layer that belongs to the user.

    The labels are kept here: a layer that the user deletes comes back with all that is done, and
    each run has a layer of its own, so that no earlier result is lost.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
    image : Image
        The result lies exactly on it.
    axes : str
        Letters of the image's axes.
    highest_class : int
        Decides on the dtype, the smallest that holds it.
    facts : dict
        How the result was made; kept in the layer's metadata.
    settled : dict of int to ndarray, optional
        Labels of frames that no run touches again, each of shape (Y, X).

    Raises
    ------
    InputError
        If there is no memory for labels of the whole stack.
    """

    def __init__(
        self,
        viewer: napari.viewer.Viewer,
        image: Image,
        *,
        axes: str,
        highest_class: int,
        facts: dict[str, Any],
        accepted: Mapping[int, NDArray[Any]] | None = None,
    ) -> None:
        self._frames = frames = frames_of(image, axes)
        self._viewer = viewer
        # The image may be edited or deleted during the run: take what is needed now.
        self._image_name = image.name
        self._image_id = image.unique_id
        self._placement = placement(image)
        self._facts = facts
        self._done: set[int] = set(accepted or ())
        self.position = frames.position
        self.labels = blank(frames.label_shape, np.min_scalar_type(highest_class))
        for index, labels in (accepted or {}).items():
            self.labels[self.position(index)] = labels
        channels = channel_count(stack_data(image).shape, frames.axes)
        self._data = spread_over_channels(self.labels, frames.axes, channels)
        self.layer: Labels | None = None
        self._tool: tuple[Any, float, int] | None = None

    @property
    def frames_done(self) -> int:
        """Number of frames that hold their result."""
        return len(self._done)

    @property
    def name(self) -> str:
        """Name of the layer, as the user sees it."""
        return self.layer.name if self.layer is not None else f"{self._image_name} segmented"

    def write(
        self,
        results: Iterable[tuple[int, NDArray[Any]]],
        confidence: Mapping[int, float] | None = None,
    ) -> None:
        """Write the labels, shape (Y, X), of some frames, and show them. On the GUI thread only.

        What is known of the confidence of frames goes into the layer's metadata.
        """
        written = set()
        for index, labels in results:
            self.labels[self.position(index)] = labels
            written.add(index)
        self._done |= written
        layer = self._shown()
        # A correction on a frame that is still to come would be lost.
        layer.editable = False
        note(layer, frames_done=sorted(self._done), **{CONFIDENCE: dict(confidence or {})})
        if layer.data is self._data:
            # Drawing takes longer than anything else here, and most frames are not in view.
            if self._in_view(layer, written):
                layer.refresh(thumbnail=False, extent=False, highlight=False)
        else:  # converted by the user
            layer.data = self._data

    def finish(self) -> None:
        """Hand the layer over to the user, who may correct it from now on."""
        if self.layer is not None:
            self.layer.editable = True
            self.layer.refresh()  # the thumbnail too
            if self._tool is not None:
                self.layer.mode, self.layer.brush_size, self.layer.selected_label = self._tool

    def _in_view(self, layer: Labels, written: set[int]) -> bool:
        dims = self._viewer.dims
        return dims.ndisplay == 3 or frame_in_view(layer, self._frames, dims) in written

    def _shown(self) -> Labels:
        if self.layer is not None and self.layer in self._viewer.layers:
            return self.layer
        # A new layer becomes the active one; the user may be drawing in another.
        active = self._viewer.layers.selection.active
        correcting = isinstance(active, Labels) and is_result(active, self._image_id)
        if correcting:
            # Corrections go on in the new result, with the same brush.
            self._tool = active.mode, active.brush_size, active.selected_label
        if self.layer is None:
            self._hide_earlier()
        self.layer = Labels(self._data, name=self.name, **self._placement)
        note(self.layer, **{RESULT_OF: self._image_id, **self._facts})
        self._viewer.add_layer(self.layer)
        if active is not None and not correcting:
            self._viewer.layers.selection.active = active
        return self.layer

    def _hide_earlier(self) -> None:
        """Two results above each other could not be told apart."""
        for layer in self._viewer.layers:
            if is_result(layer, self._image_id):
                layer.visible = False


def is_result(layer: Any, of: Any = None) -> bool:
    """Whether a run of the plugin made this layer; of that image, if an image's id is given."""
    image_id = noted(layer, RESULT_OF)
    return image_id is not None if of is None else image_id == of
