"""An image layer as a stack of frames, and Labels layers that lie on it."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from napari_vrp_sam.errors import InputError
from napari_vrp_sam.inference.frames import Frames

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari.layers import Image


def possible_axes(image: Image) -> list[str]:
    """Axes that an image layer may have, the likeliest first; the last two are always the frame.

    Raises
    ------
    InputError
        If the layer has more leading axes than time, depth and channel.
    """
    lead = image.ndim - 2
    if lead > 3:
        raise InputError(
            f"'{image.name}' has {image.ndim} axes, 5 is the most: split it, or show a part of it."
        )
    tail = "YXS" if image.rgb else "YX"
    letters = "TZ" if image.rgb else "TZC"  # colours are channels already
    named = "".join(label.strip().upper()[:1] for label in image.axis_labels[:lead])
    likely = named if len(set(named) & set(letters)) == lead else ("", "Z", "TZ", "TZC")[lead]
    calibrations = ["".join(choice) for choice in itertools.permutations(letters, lead)]
    return [axes + tail for axes in sorted(calibrations, key=lambda axes: axes != likely)]


def frames_of(
    image: Image, axes: str | None = None, channels: Sequence[int] | None = None
) -> Frames:
    """The frames of an image layer, lazy; the finest level where it is multiscale.

    Raises
    ------
    InputError
        If the layer cannot be read as frames of real numbers.
    """
    return Frames(stack_data(image), axes or possible_axes(image)[0], channels)


def stack_data(image: Image) -> Any:
    """The array of an image layer, lazy where it is; the finest level where it is multiscale."""
    return image.data[0] if image.multiscale else image.data


def blank(shape: Sequence[int], dtype: DTypeLike, what: str = "Labels") -> NDArray[Any]:
    """An array of zeros that goes with a stack, which may be lazy and larger than the memory.

    Parameters
    ----------
    shape : sequence of int
        The last two axes are the frame.
    dtype : dtype
    what : str
        What will be written into it, in the plural.

    Raises
    ------
    InputError
        If there is no memory for it.
    """
    try:
        return np.zeros(shape, dtype=dtype)
    except (MemoryError, ValueError) as error:  # the latter: beyond what can be addressed
        *lead, height, width = shape
        size = math.prod(shape) * np.dtype(dtype).itemsize / 1e9
        raise InputError(
            f"{what} of {math.prod(lead)} frames of {height} x {width} pixels take {size:.1f} GB, "
            "more than this computer has free: open fewer frames, or use vrp-sam segment with an "
            "output that ends in .zarr."
        ) from error


def placement(image: Image) -> dict[str, Any]:
    """Keyword arguments that place a new layer with the image's axes exactly on the image."""
    return {
        "scale": image.scale,
        "translate": image.translate,
        "rotate": image.rotate,
        "shear": image.shear,
        "affine": np.array(image.affine.affine_matrix),  # a copy: the image may be moved later
        "units": image.units,
        "axis_labels": image.axis_labels,
    }


def channel_count(shape: Sequence[int], axes: str) -> int:
    """Size of the C axis of an image of this shape and these axes; 1 without one."""
    return int(shape[axes.index("C")]) if "C" in axes else 1


def spread_over_channels(labels: NDArray[Any], axes: str, channels: int) -> NDArray[Any]:
    """A view of labels with the image's axes: seen and edited alike at each channel.

    Parameters
    ----------
    labels : ndarray, shape `Frames.label_shape`
    axes : str
        Axes of the image; without C, the labels are returned as they are.
    channels : int
        Size of the C axis.

    Returns
    -------
    ndarray
        Of the shape of the image layer, sharing the memory of `labels`.
    """
    if "C" not in axes:
        return labels
    axis = axes.index("C")
    shape, strides = list(labels.shape), list(labels.strides)
    shape.insert(axis, channels)
    strides.insert(axis, 0)
    # np.broadcast_to would be read-only, and the user could not correct the result.
    return np.lib.stride_tricks.as_strided(labels, shape, strides, writeable=True)
