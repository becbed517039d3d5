"""OME-Zarr label images, written chunk by chunk."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

VERSION = "0.5"
"""Version of the OME-Zarr metadata that are written; older versions can be read."""
MAX_CHUNK = 1024
"""Maximum height and width of the chunks of label images, in pixels."""

_TYPES = {"T": "time", "Z": "space", "Y": "space", "X": "space"}


def create_labels(path: Path, shape: tuple[int, ...], dtype: np.dtype[Any], axes: str) -> Any:
    """Create an OME-Zarr label image filled with 0, replacing what exists.

    Parameters
    ----------
    path : Path
    shape : tuple of int
        Leading axes + (Y, X). A chunk is a frame, or a piece of a large frame.
    dtype : dtype
    axes : str
        One letter of T, Z, Y, X for each axis.

    Returns
    -------
    zarr.Array
    """
    import zarr

    group = zarr.open_group(str(path), mode="w", zarr_format=3)
    chunks = (1,) * (len(shape) - 2) + tuple(min(size, MAX_CHUNK) for size in shape[-2:])
    array = group.create_array(
        "0", shape=shape, chunks=chunks, dtype=dtype, fill_value=0, dimension_names=axes.lower()
    )
    scale = {"type": "scale", "scale": [1.0] * len(shape)}
    attributes: dict[str, Any] = {
        "version": VERSION,
        "multiscales": [
            {
                "name": path.stem,
                "axes": [{"name": axis.lower(), "type": _TYPES[axis]} for axis in axes],
                "datasets": [{"path": "0", "coordinateTransformations": [scale]}],
            }
        ],
        "image-label": {"version": VERSION},
    }
    group.attrs["ome"] = attributes
    return array
