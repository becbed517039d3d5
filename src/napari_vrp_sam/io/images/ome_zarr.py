"""OME-Zarr: images that are read chunk by chunk, label images that are written chunk by chunk."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np

from napari_vrp_sam.errors import InputError

SUFFIX = ".zarr"
VERSION = "0.5"
"""Version of the OME-Zarr metadata that are written; older versions can be read."""
MAX_CHUNK = 1024
"""Maximum height and width of the chunks of label images, in pixels."""

_LETTERS = {"time": "T", "channel": "C"}
_TYPES = {"T": "time", "Z": "space", "Y": "space", "X": "space"}


def is_zarr(path: Path) -> bool:
    """Return whether a folder is a Zarr array or group, of format 2 or 3."""
    return any((path / name).exists() for name in ("zarr.json", ".zarray", ".zgroup"))


def open_zarr(path: Path, mode: Literal["r", "r+"] = "r") -> tuple[Any, str | None]:
    """Open a Zarr array, or the full-resolution level of an OME-Zarr image, without reading it.

    Parameters
    ----------
    path : Path
        Folder of a Zarr array, of an OME-Zarr image, or of a group of such images, of which the
        first is opened.
    mode : {"r", "r+"}
        Read only, or read and write.

    Returns
    -------
    array : zarr.Array
    axes : str or None
        One letter of T, Z, C, Y, X for each axis; None if the metadata do not contain the axes.

    Raises
    ------
    InputError
        If the group holds no image.
    """
    import zarr

    node: Any = zarr.open(str(path), mode=mode)
    if not isinstance(node, zarr.Group):
        return node, None
    image = _first_multiscale(node)
    if image is None and isinstance(node.get("0"), zarr.Group):  # layout of bioformats2raw
        node = node["0"]
        image = _first_multiscale(node)
    if image is not None:
        return node[image["datasets"][0]["path"]], _axis_letters(image.get("axes"))
    if isinstance(node.get("0"), zarr.Array):
        return node["0"], None
    raise InputError(
        f"{path} holds no image: choose the folder of an OME-Zarr image or of a Zarr array."
    )


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


def _first_multiscale(group: Any) -> Mapping[str, Any] | None:
    attributes = dict(group.attrs)
    images = attributes.get("ome", attributes).get("multiscales")
    return images[0] if images else None


def _axis_letters(axes: Any) -> str | None:
    """Axes as letters; version 0.3 lists names, later versions list names and types."""
    if not axes:
        return None
    return "".join(
        axis.upper()
        if isinstance(axis, str)
        else _LETTERS.get(axis.get("type"), str(axis["name"]).upper())
        for axis in axes
    )
