"""Calibration and place of image layers, for results that leave napari."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from napari.layers import Image, Labels

from napari_vrp_sam.io.metadata import ImageMetadata
from napari_vrp_sam.io.sessions.layer_metadata import layer_metadata
from napari_vrp_sam.plugin.layers.metadata import get_metadata
from napari_vrp_sam.plugin.layers.stacks import stack_data

SOURCE = "source"
"""Metadata key of the path of a session's image."""


def image_source(image: Image | Labels) -> Path | None:
    """Return the path of the file of an image; None if it is not in a file."""
    path = get_metadata(image, SOURCE) or image.source.path
    return Path(path).absolute() if path else None


def image_metadata(image: Image | Labels, axes: str) -> ImageMetadata:
    """Return the metadata of an image: of the layer, and of its file what layers do not keep.

    Parameters
    ----------
    image : Image or Labels
        A layer with a rotation or an affine transform has the pixel sizes that result from it.
    axes : str
        One letter for each axis.
    """
    origin = np.asarray(image.data_to_world(np.zeros(image.ndim)))
    moves = [np.asarray(image.data_to_world(step)) - origin for step in np.eye(image.ndim)]
    return layer_metadata(
        axes,
        stack_data(image).shape,
        scale=np.linalg.norm(moves, axis=1).tolist(),
        translate=origin.tolist(),
        units=[str(unit) for unit in image.units],
        source=image_source(image),
    )
