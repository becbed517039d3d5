"""The Labels layer that a run fills frame by frame."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import napari
from napari.layers import Image, Labels
from numpy.typing import NDArray

from napari_vrp_sam.annotations.labels import labels_dtype
from napari_vrp_sam.inference.objects.result_settings import AUTOMATIC, ResultSettings
from napari_vrp_sam.inference.relabelling.levels import CompressedLevels
from napari_vrp_sam.plugin.layers.appearance.styles import set_style
from napari_vrp_sam.plugin.layers.frame_view import frame_in_view
from napari_vrp_sam.plugin.layers.metadata import get_metadata, set_metadata
from napari_vrp_sam.plugin.layers.outputs.kept_probabilities import (
    KeptProbabilities,
    keep_probabilities,
)
from napari_vrp_sam.plugin.layers.outputs.result_settings import SETTINGS
from napari_vrp_sam.plugin.layers.stacks import (
    ImageLayout,
    add_inactive,
    allocate_zeros,
    frames_of,
)

RESULT_OF = "result of"
"""Metadata key of the image's unique id; its name may change."""
CONFIDENCE = "confidence"
FRAMES_DONE = "frames_done"
"""Metadata key of the indices of the frames that a run has segmented."""


class ResultLayer:
    """Result of a run as a Labels layer, added when the first frames are written.

    This object keeps the labels: a layer that the user deletes during the run is added again with
    all frames. Each run has its own layer, so no earlier result is overwritten.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
    image : Image
    axes : str
    class_ids : sequence of int
        Classes; the labels get the smallest dtype that holds them.
    metadata : dict
        Settings of the run, stored in the metadata of the layer.
    accepted : mapping of int to ndarray, optional
        Labels of the accepted frames by index, each of shape (Y, X).
    settings : ResultSettings
        Settings by which the run computes the labels.

    Raises
    ------
    InputError
        If there is not enough memory for the labels of the whole stack.
    """

    def __init__(
        self,
        viewer: napari.viewer.Viewer,
        image: Image,
        *,
        axes: str,
        class_ids: Sequence[int],
        metadata: dict[str, Any],
        accepted: Mapping[int, NDArray[Any]] | None = None,
        settings: ResultSettings = AUTOMATIC,
    ) -> None:
        self._frames = frames = frames_of(image, axes)
        self._viewer = viewer
        self._layout = ImageLayout(image, frames.axes)
        self._metadata = {**metadata, SETTINGS: settings.as_dict()}
        self._done: set[int] = set(accepted or ())
        self.position = frames.position
        self.labels = allocate_zeros(frames.label_shape, labels_dtype(class_ids))
        for index, labels in (accepted or {}).items():
            self.labels[self.position(index)] = labels
        self._data = self._layout.spread(self.labels)
        self.layer: Labels | None = None
        self._probabilities = KeptProbabilities(sorted(class_ids), settings.of_labels)
        self._drawing_settings: tuple[Any, float, int] | None = None

    @property
    def frames_done(self) -> int:
        """Number of frames with a result."""
        return len(self._done)

    @property
    def name(self) -> str:
        """Name of the layer."""
        return self.layer.name if self.layer is not None else f"{self._layout.name} segmented"

    def describe(self, **values: Any) -> None:
        """Add values to the metadata of the layer."""
        self._metadata |= values
        if self.layer is not None:
            set_metadata(self.layer, **values)

    def write(
        self,
        results: Iterable[tuple[int, NDArray[Any]]],
        confidence: Mapping[int, float] | None = None,
    ) -> None:
        """Write frames, given as index and labels of shape (Y, X), into the layer and show them.

        The confidence of all frames so far, by index, is stored in the metadata of the layer. Call
        on the GUI thread only.
        """
        written = set()
        for index, labels in results:
            self.labels[self.position(index)] = labels
            written.add(index)
        self._done |= written
        layer = self._ensure_layer()
        # Corrections of frames that are not segmented yet would be overwritten.
        layer.editable = False
        done = {FRAMES_DONE: sorted(self._done), CONFIDENCE: dict(confidence or {})}
        set_metadata(layer, **done)
        if layer.data is not self._data:  # the user converted its dtype
            layer.data = self._data
        elif self._in_view(layer, written):  # refreshing is slow
            layer.refresh(thumbnail=False, extent=False, highlight=False)

    def keep(self, index: int, levels: CompressedLevels) -> None:
        """Keep the probabilities of a frame, as long as the layer exists."""
        self._probabilities.frames[index] = levels

    def finish(self) -> None:
        """Make the layer editable."""
        if self.layer is not None:
            self.layer.editable = True
            self.layer.refresh()  # including the thumbnail
            if self._drawing_settings is not None:
                mode, brush_size, label = self._drawing_settings
                self.layer.mode, self.layer.brush_size = mode, brush_size
                self.layer.selected_label = label

    def _in_view(self, layer: Labels, written: set[int]) -> bool:
        dims = self._viewer.dims
        return dims.ndisplay == 3 or frame_in_view(layer, self._frames, dims) in written

    def _ensure_layer(self) -> Labels:
        layers = self._viewer.layers
        if self.layer is not None and self.layer in layers:
            return self.layer
        active = layers.selection.active
        correcting = isinstance(active, Labels) and is_result_layer(active, self._layout.image_id)
        if correcting:  # the user continues in this layer
            self._drawing_settings = active.mode, active.brush_size, active.selected_label
        if self.layer is None:
            for layer in layers:
                if is_result_layer(layer, self._layout.image_id):
                    layer.visible = False
        self.layer = Labels(self._data, name=self.name, opacity=1, **self._layout.placement)
        set_metadata(self.layer, **{RESULT_OF: self._layout.image_id, **self._metadata})
        set_style(self.layer, "contour")
        keep_probabilities(self.layer, self._probabilities)
        if correcting:
            self._viewer.add_layer(self.layer)
        else:
            add_inactive(self._viewer, self.layer)
        return self.layer


def is_result_layer(layer: Any, image_id: Any = None) -> bool:
    """Return True if a layer is the result of a run, on the image with this id if given."""
    result_of = get_metadata(layer, RESULT_OF)
    return result_of is not None and image_id in (None, result_of)
