"""Image layers as stacks of frames, and new layers in the same place as an image."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any

import napari
import numpy as np
from napari.layers import Image, Labels, Layer
from numpy.typing import DTypeLike, NDArray

from napari_vrp_sam.errors import InputError
from napari_vrp_sam.inference.frames import Frames
from napari_vrp_sam.io.axes import MAX_LIKELY_CHANNELS, axis_letter
from napari_vrp_sam.plugin.layers.metadata import get_metadata, set_metadata

STATED_AXES, FILE_AXES = "stated axes", "file axes"
"""Metadata keys of the axes of an image: those that the user chose, and those of its file."""
NODATA = "nodata"
"""Key of the value of missing pixels in the metadata of an image."""


def possible_axes(image: Image) -> list[str]:
    """Return the possible axes of an image layer, such as "ZYX", the most likely first.

    These are the axes that the user chose, else those that the layer or its file names.

    Raises
    ------
    InputError
        If the layer has more than three leading axes.
    """
    lead = image.ndim - 2
    if lead > 3:
        raise InputError(
            f"'{image.name}' has {image.ndim} axes, but at most 5 are supported: split the layer."
        )
    tail = "YXS" if image.rgb else "YX"
    letters = "TZ" if image.rgb else "TZC"
    likely = known_axes(image) or ("", "Z", "TZ", "TZC")[lead] + tail
    candidates = ["".join(axes) + tail for axes in itertools.permutations(letters, lead)]
    return sorted(candidates, key=lambda axes: axes != likely)


def state_axes(image: Image, axes: str) -> None:
    """Store the axes that the user chose for an image."""
    set_metadata(image, **{STATED_AXES: axes})


def axes_are_obvious(image: Image) -> bool:
    """Return True if there is one choice of axes, or if the image or its file names them.

    An unnamed stack counts as obvious too if its length cannot be a number of channels: planes and
    time points are segmented in the same way.
    """
    lead = image.ndim - 2
    if lead == 0 or _named_axes(image) is not None:
        return True
    return lead == 1 and int(stack_data(image).shape[0]) > MAX_LIKELY_CHANNELS


def frames_of(
    image: Image, axes: str | None = None, channels: Sequence[int] | None = None
) -> Frames:
    """Return the frames of an image layer, read lazily; default: likeliest axes, all channels.

    Raises
    ------
    InputError
        If the layer cannot be read as frames of real numbers.
    """
    axes = axes or possible_axes(image)[0]
    return Frames(stack_data(image), axes, channels, nodata_of(image))


def nodata_of(image: Image) -> float | None:
    """Return the value of missing pixels that the file of an image states."""
    nodata: float | None = get_metadata(image, NODATA)
    return nodata


def known_axes(image: Image) -> str | None:
    """Return the axes that the user chose, or that an image or its file names; None if unknown."""
    return get_metadata(image, STATED_AXES) or _named_axes(image)


def _named_axes(image: Image) -> str | None:
    """Return the axes that an image or its file names."""
    lead, tail = image.ndim - 2, "YXS" if image.rgb else "YX"
    labels = "".join(_letter(label) for label in image.axis_labels[:lead])
    for named in (labels + tail, get_metadata(image, FILE_AXES) or ""):
        letters = set(named.removesuffix(tail)) & set("TZ" if image.rgb else "TZC")
        if named.endswith(tail) and len(letters) == lead == len(named) - len(tail):
            return named
    return None


def _letter(label: str) -> str:
    return axis_letter(label) or label.strip().upper()[:1]


def stack_data(layer: Image | Labels) -> Any:
    """Return the array of a layer, which may be lazy; level 0 of a multiscale layer."""
    return layer.data[0] if layer.multiscale else layer.data


def allocate_zeros(shape: Sequence[int], dtype: DTypeLike, content: str = "Labels") -> NDArray[Any]:
    """Return an array of zeros for a whole stack, of shape (..., Y, X).

    Raises
    ------
    InputError
        If there is not enough memory.
    """
    try:
        return np.zeros(shape, dtype=dtype)
    except (MemoryError, ValueError) as error:  # ValueError: larger than the address space
        *lead, height, width = shape
        size = math.prod(shape) * np.dtype(dtype).itemsize / 1e9
        raise InputError(
            f"{content} of {math.prod(lead)} frames of {height} x {width} pixels need {size:.1f} "
            "GB, more than the free memory: open fewer frames, or segment the stack on the "
            "command line or in Python, with an output that ends in .zarr."
        ) from error


def placement(image: Image) -> dict[str, Any]:
    """Return keyword arguments that give a new layer the axes and the transform of an image."""
    return {
        "scale": image.scale,
        "translate": image.translate,
        "rotate": image.rotate,
        "shear": image.shear,
        "affine": np.array(image.affine.affine_matrix),  # a copy: the image may be moved later
        "units": image.units,
        "axis_labels": image.axis_labels,
    }


class ImageLayout:
    """Layout of an image layer, stored for new layers as the image may change or be deleted."""

    def __init__(self, image: Image, axes: str) -> None:
        self.name, self.image_id, self.axes = image.name, image.unique_id, axes
        self.placement = placement(image)
        self._shape = stack_data(image).shape

    def spread(self, labels: NDArray[Any]) -> NDArray[Any]:
        """See `spread_over_channels`."""
        return spread_over_channels(labels, self.axes, self._shape)


def add_inactive(viewer: napari.viewer.Viewer, *layers: Layer) -> None:
    """Add layers and keep the active layer, in which the user may be drawing."""
    selection = viewer.layers.selection
    active = selection.active
    for layer in layers:
        viewer.add_layer(layer)
    if active is not None and active in viewer.layers:
        selection.active = active


def spread_over_channels(labels: NDArray[Any], axes: str, shape: Sequence[int]) -> NDArray[Any]:
    """Return a writable view of labels with the axes and shape of an image.

    All channels share the memory of `labels`, which has the shape `Frames.label_shape`.
    """
    if "C" not in axes:
        return labels
    axis = axes.index("C")
    view_shape, strides = list(labels.shape), list(labels.strides)
    view_shape.insert(axis, int(shape[axis]))
    strides.insert(axis, 0)
    # np.broadcast_to returns a read-only view, but users correct the labels.
    return np.lib.stride_tricks.as_strided(labels, view_shape, strides, writeable=True)
