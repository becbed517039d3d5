"""Axes and channel names of image layers that another reader opened, read from their files."""

from __future__ import annotations

import contextlib
import logging
import weakref
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING

from qtpy.QtCore import QObject, Signal

from napari_vrp_sam.io.images.opening import open_file
from napari_vrp_sam.plugin.layers.belonging import user_images
from napari_vrp_sam.plugin.layers.calibration import image_source
from napari_vrp_sam.plugin.layers.metadata import CHANNEL_NAMES, get_metadata, set_metadata, unwrap
from napari_vrp_sam.plugin.layers.stacks import FILE_AXES, axes_are_obvious, stack_data

if TYPE_CHECKING:
    from pathlib import Path

    import napari
    from napari.layers import Image

    from napari_vrp_sam.io.metadata import StoredImage

logger = logging.getLogger(__name__)


class AxesReader(QObject):
    """Read the axes of images without named axes in a thread, and store them in the layers.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
    parent : QObject

    Signals
    -------
    found : (image,)
        The axes of an image are known now.
    """

    found = Signal(object)
    _read = Signal(object, object)

    def __init__(self, viewer: napari.viewer.Viewer, parent: QObject) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._asked: weakref.WeakSet[Image] = weakref.WeakSet()
        # Files of thousands of pages take a second to open.
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="vrp-sam-axes")
        self._read.connect(self._store)

    def read(self) -> None:
        """Read the axes of the images that were opened since the last call."""
        for image in map(unwrap, user_images(self._viewer)):
            path = image_source(image)
            if image in self._asked or path is None or axes_are_obvious(image):
                continue
            self._asked.add(image)
            self._thread.submit(partial(self._open, weakref.ref(image), path))

    def release(self) -> None:
        """Stop reading, because the viewer is closing."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    def _open(self, image: weakref.ref[Image], path: Path) -> None:
        try:
            stored = open_file(path, 0)
        except Exception as error:  # another reader may understand what ours does not
            logger.info("No axes from %s: %s", path, error)
            return
        with contextlib.suppress(RuntimeError):  # the dock was closed
            self._read.emit(image, stored)

    def _store(self, reference: weakref.ref[Image], stored: StoredImage) -> None:
        image = reference()
        unknown = stored.axes is None or stored.axes_guessed
        if image is None or unknown or image not in self._viewer.layers:
            return
        assert stored.axes is not None
        axes = stored.axes if image.rgb else stored.axes.replace("S", "C")
        if tuple(stored.data.shape) != tuple(stack_data(image).shape) or len({*axes}) != len(axes):
            return  # the other reader has opened another image of the file, or a part of it
        set_metadata(image, **{FILE_AXES: axes})
        names = stored.metadata.channel_names
        if names and get_metadata(image, CHANNEL_NAMES) is None:
            set_metadata(image, **{CHANNEL_NAMES: list(names)})
        self.found.emit(image)
