"""A segmented file, opened with its labels."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Image, Layer
from qtpy.QtCore import QObject, Signal

from napari_vrp_sam.errors import InputError
from napari_vrp_sam.inference.runs.files.file_result import FileResult
from napari_vrp_sam.io.images.stacks import read_labels
from napari_vrp_sam.io.labels.journal import read_journal
from napari_vrp_sam.plugin.layers.calibration import image_source
from napari_vrp_sam.plugin.layers.metadata import CLASSES
from napari_vrp_sam.plugin.layers.outputs.results import ResultLayer
from napari_vrp_sam.plugin.layers.stacks import frames_of, possible_axes
from napari_vrp_sam.plugin.reading.layers import LayerTuple, image_layer

if TYPE_CHECKING:
    import napari
    from numpy.typing import NDArray

Opened = tuple[LayerTuple, "NDArray[Any] | None", dict[int, float]]


class FileOpener(QObject):
    """Open segmented files: the image, and its labels as a result that can be corrected.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
    describe_classes : callable
        Returns names and colours of classes, as they are stored in a layer.
    parent : QObject

    Signals
    -------
    opened : (image,)
    warned : (message,)
    """

    opened = Signal(object)
    warned = Signal(str)
    _read = Signal(object, object)

    def __init__(
        self,
        viewer: napari.viewer.Viewer,
        describe_classes: Callable[[Iterable[int]], list[dict[str, Any]]],
        parent: QObject,
    ) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._describe_classes = describe_classes
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="vrp-sam-open")
        self._read.connect(self._add)

    def open(self, result: FileResult) -> None:
        """Open the image of a result, or show the one that is open, with its labels."""
        reading = self._thread.submit(_read_file, result)
        reading.add_done_callback(partial(self._read.emit, result))

    def release(self) -> None:
        """End the thread, because the viewer is closing."""
        self._read.disconnect(self._add)
        self._thread.shutdown(cancel_futures=True)

    def _add(self, result: FileResult, reading: Future[Opened]) -> None:
        try:
            layer, labels, confidence = reading.result()
            image = self._image(result.image) or self._viewer.add_layer(Layer.create(*layer))
            self._viewer.layers.selection.active = image
            if labels is not None:
                self._add_labels(image, labels, confidence)
        except InputError as error:
            self.warned.emit(str(error))
            return
        self.opened.emit(image)

    def _image(self, path: Path) -> Image | None:
        for layer in self._viewer.layers:
            if isinstance(layer, Image) and image_source(layer) == path:
                return layer
        return None

    def _add_labels(self, image: Image, labels: NDArray[Any], confidence: dict[int, float]) -> None:
        axes = next(
            (
                axes
                for axes in possible_axes(image)
                if frames_of(image, axes).label_shape == labels.shape
            ),
            None,
        )
        if axes is None:
            raise InputError(
                f"The labels have the shape {labels.shape}, but '{image.name}' has "
                f"{tuple(image.data.shape)}: open the labels on their own."
            )
        class_ids = [int(value) for value in np.unique(labels) if value] or [1]
        layer = ResultLayer(
            self._viewer,
            image,
            axes=axes,
            class_ids=class_ids,
            metadata={CLASSES: self._describe_classes(class_ids), "axes": axes},
        )
        frames = frames_of(image, axes)
        written = [(index, labels[frames.position(index)]) for index in range(len(frames))]
        layer.write(written, confidence)
        layer.finish()


def _read_file(result: FileResult) -> Opened:
    """Read the layer of an image, its labels if it has them, and the confidence of the frames."""
    layer = image_layer(result.image)
    if result.state == "failed":
        return layer, None, {}
    lead = "".join(str(name) for name in layer[1].get("axis_labels", ())).upper()
    axes = lead.replace("C", "") or None
    labels = np.asarray(read_labels(result.labels, result.image, axes=axes))
    known = read_journal(result.labels)[1] if result.labels.is_dir() else []
    confidence = {one.index: one.confidence for one in known if one.confidence is not None}
    return layer, labels, confidence
