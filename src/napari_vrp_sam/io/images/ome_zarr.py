"""OME-Zarr: images of any size read part by part, labels written part by part."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np

from napari_vrp_sam.errors import InputError

SUFFIX = ".zarr"

VERSION = "0.5"
"""Of the OME-Zarr metadata that are written; older ones are read too."""

LARGEST_CHUNK = 1024
"""Pixels a side of the pieces that labels are stored in."""

_KINDS = {"time": "T", "channel": "C"}
_TYPES = {"T": "time", "Z": "space", "Y": "space", "X": "space"}


def is_zarr(path: Path) -> bool:
    """Whether a folder is a Zarr array or group of either format."""
    return any((path / name).exists() for name in ("zarr.json", ".zarray", ".zgroup"))


def open_zarr(path: Path, mode: Literal["r", "r+"] = "r") -> tuple[Any, str | None]:
    """Open an array, of a multiscale image its finest level; nothing is read.

    Parameters
    ----------
    path : Path
        A Zarr array; an OME-Zarr image (its metadata tell the axes); or a group of such images,
        of which the first is taken.
    mode : {"r", "r+"}
        Whether it can be written to.

    Returns
    -------
    array : zarr.Array
    axes : str or None
        One letter of T, Z, C, Y, X for each axis, if the file tells.

    Raises
    ------
    InputError
        If there is no image in it.
    """
    import zarr

    node: Any = zarr.open(str(path), mode=mode)
    if not isinstance(node, zarr.Group):
        return node, None
    image = _multiscale(node)
    if image is None and isinstance(node.get("0"), zarr.Group):  # as bioformats2raw nests images
        node = node["0"]
        image = _multiscale(node)
    if image is not None:
        return node[image["datasets"][0]["path"]], _letters(image.get("axes"))
    if isinstance(node.get("0"), zarr.Array):
        return node["0"], None
    raise InputError(f"{path} holds no image: give the folder of an OME-Zarr image or of an array.")


def create_labels(path: Path, shape: tuple[int, ...], dtype: np.dtype[Any], axes: str) -> Any:
    """Make an OME-Zarr label image with nothing in it; what stood there before is removed.

    Parameters
    ----------
    path : Path
    shape : tuple of int
        Leading axes + (Y, X); one frame, or a piece of a large one, is a chunk.
    dtype : dtype
    axes : str
        One letter of T, Z, Y, X for each axis.

    Returns
    -------
    zarr.Array
    """
    import zarr

    group = zarr.open_group(str(path), mode="w", zarr_format=3)
    chunks = (1,) * (len(shape) - 2) + tuple(min(size, LARGEST_CHUNK) for size in shape[-2:])
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


def _multiscale(group: Any) -> Mapping[str, Any] | None:
    """The first multiscale image that a group's metadata tell of."""
    attributes = dict(group.attrs)
    images = attributes.get("ome", attributes).get("multiscales")
    return images[0] if images else None


def _letters(axes: Any) -> str | None:
    """Axes as letters; version 0.3 names them, later ones describe them."""
    if not axes:
        return None
    return "".join(
        axis.upper()
        if isinstance(axis, str)
        else _KINDS.get(axis.get("type"), str(axis["name"]).upper())
        for axis in axes
    )
