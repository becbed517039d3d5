"""OME-Zarr images, read chunk by chunk."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from napari_vrp_sam.errors import InputError
from napari_vrp_sam.io.axes import axis_letters

SUFFIX = ".zarr"

_LETTERS = {"time": "T", "channel": "C"}


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


def _first_multiscale(group: Any) -> Mapping[str, Any] | None:
    attributes = dict(group.attrs)
    images = attributes.get("ome", attributes).get("multiscales")
    return images[0] if images else None


def _axis_letters(axes: Any) -> str | None:
    """Axes as letters; version 0.3 lists names, later versions list names and types."""
    if not axes:
        return None
    names = [
        axis if isinstance(axis, str) else _LETTERS.get(axis.get("type"), str(axis["name"]))
        for axis in axes
    ]
    return axis_letters(names) or "".join(name.upper() for name in names)
