"""The reader that napari offers for image formats, and the command that opens any of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import napari
from napari.layers import Layer
from napari.utils.notifications import show_error, show_warning
from qtpy.QtWidgets import QApplication, QFileDialog

from napari_vrp_sam.errors import InputError
from napari_vrp_sam.io.images.opening import find_reader, image_names
from napari_vrp_sam.plugin.reading.chooser import choose_images
from napari_vrp_sam.plugin.reading.layers import LayerTuple, image_layer

NOTHING: Any = (None,)
"""Return value of a reader that adds no layer, as npe2 defines it."""


def image_reader(path: Any) -> Callable[[Any], list[LayerTuple]] | None:
    """Return a napari reader if the path is an image that can be opened."""
    paths = [Path(one) for one in (path if isinstance(path, list) else [path])]
    try:
        for one in paths:
            find_reader(one)
    except (InputError, OSError):
        return None
    return read_layers


def read_layers(path: Any) -> list[LayerTuple]:
    """Return the layers of image files; asks which images to open if a file holds several.

    Raises
    ------
    InputError
        If a file cannot be read.
    """
    layers = []
    for one in path if isinstance(path, list) else [path]:
        file = Path(one)
        chosen = choose_images(file, image_names(file))
        layers += [image_layer(file, image) for image in chosen]
    return layers or [NOTHING]


def read_folder(path: Any) -> list[LayerTuple]:
    """Return the layer of a folder of pictures, one for each frame, or show why it has none."""
    try:
        return read_layers(path)
    except InputError as error:
        show_warning(str(error))
        return [NOTHING]


def open_image_files(viewer: napari.viewer.Viewer) -> None:
    """Ask for image files, and open them with the readers of VRP-SAM."""
    files, _ = QFileDialog.getOpenFileNames(QApplication.activeWindow(), "Open images with VRP-SAM")
    for file in files:
        try:
            layers = read_layers(file)
        except InputError as error:
            show_error(str(error))
            continue
        for layer in layers:
            if layer is not NOTHING:
                viewer.add_layer(Layer.create(*layer))
