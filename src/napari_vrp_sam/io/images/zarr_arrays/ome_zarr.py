"""OME-Zarr images and Zarr arrays: their place in a store, and their axes."""

from __future__ import annotations

import math
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple

from napari_vrp_sam.errors import InputError
from napari_vrp_sam.io.axes import axis_letters

SUFFIX = ".zarr"
ZIP_SUFFIXES = (".ozx", ".zarr.zip")
ROOT_FILES = ("zarr.json", ".zarray", ".zgroup")
MAX_DEPTH = 3
"""Levels of groups in which images are searched."""
MAX_COMPARED = 50
"""Number of images up to which the largest is searched; in plates all have the same size."""

_LETTERS = {"time": "T", "channel": "C"}


class ZarrImage(NamedTuple):
    """Image in a store.

    Parameters
    ----------
    name : str
        Path in the store; "" at the root.
    node : zarr.Group or zarr.Array
        Group with OME-Zarr metadata, or array.
    """

    name: str
    node: Any

    @property
    def multiscale(self) -> Mapping[str, Any] | None:
        """OME-Zarr metadata of the image."""
        return first_multiscale(self.node)

    @property
    def array(self) -> Any:
        """Array with the full resolution."""
        multiscale = self.multiscale
        return self.node if multiscale is None else self.node[multiscale["datasets"][0]["path"]]

    @property
    def axes(self) -> str | None:
        """One letter of T, Z, C, Y, X for each axis; None if the metadata do not contain them."""
        multiscale = self.multiscale
        if multiscale is not None:
            return _ome_axes(multiscale.get("axes"))
        names = getattr(self.node.metadata, "dimension_names", None)
        # Before version 3 of Zarr, xarray stored the names as an attribute.
        names = names or self.node.attrs.get("_ARRAY_DIMENSIONS")
        return axis_letters(names) if names and all(names) else None


def is_zarr(path: Path) -> bool:
    """Return whether a folder is a Zarr array or group, of format 2 or 3."""
    return any((path / name).exists() for name in ROOT_FILES)


def zip_root(path: Path) -> str | None:
    """Return the folder of a zip file that is a Zarr array or group; None if there is none."""
    try:
        with zipfile.ZipFile(path) as file:
            names = set(file.namelist())
    except (OSError, zipfile.BadZipFile):
        return None
    top = {name.partition("/")[0] for name in names}
    roots = ["", *(f"{name}/" for name in top if len(top) == 1)]
    found = (root for root in roots if any(root + name in names for name in ROOT_FILES))
    return next((root.rstrip("/") for root in found), None)


def open_store(path: Path, mode: Literal["r", "r+"] = "r") -> Any:
    """Open the array or group at a path: a folder, or a zip file."""
    import zarr
    from zarr.storage import ZipStore

    if path.is_file():
        return zarr.open(ZipStore(path, mode="r"), mode="r", path=zip_root(path))
    return zarr.open(str(path), mode=mode)


def zarr_images(node: Any) -> list[ZarrImage]:
    """Return the images in an array or group, without the label images that belong to them.

    The group is an image, a plate or well, a collection of images as bioformats2raw, SpatialData
    and others write it, or a dataset of xarray, of which each variable is an image.
    """
    return [ZarrImage(name, found) for name, found in _walk(node, "", MAX_DEPTH)]


def main_image(images: list[ZarrImage]) -> ZarrImage:
    """Return the image with most pixels, of several the first."""
    return max(images[:MAX_COMPARED], key=lambda image: math.prod(image.array.shape))


def open_zarr(path: Path, mode: Literal["r", "r+"] = "r") -> tuple[Any, str | None]:
    """Open a Zarr array, or the full-resolution level of an OME-Zarr image, without reading it.

    Parameters
    ----------
    path : Path
        Folder or zip file of a Zarr array, of an OME-Zarr image, or of a group of such images, of
        which the main image is opened.
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
    image = main_image(images_at(path, mode))
    return image.array, image.axes


def images_at(path: Path, mode: Literal["r", "r+"] = "r") -> list[ZarrImage]:
    """Return the images at a path, see `zarr_images`.

    Raises
    ------
    InputError
        If there are none.
    """
    images = zarr_images(open_store(path, mode))
    if not images:
        raise InputError(
            f"{path} holds no image: choose the folder of an OME-Zarr image or of a Zarr array."
        )
    return images


def ome_attributes(node: Any) -> Mapping[str, Any]:
    """Return the OME-Zarr metadata of a group, which version 0.5 stores one level deeper."""
    attributes = dict(node.attrs)
    found: Mapping[str, Any] = attributes.get("ome", attributes)
    return found


def first_multiscale(node: Any) -> Mapping[str, Any] | None:
    """Return the metadata of the image of a group; None for arrays and other groups."""
    import zarr

    if not isinstance(node, zarr.Group):
        return None
    images = ome_attributes(node).get("multiscales")
    return images[0] if images else None


def _walk(node: Any, name: str, depth: int) -> Iterator[tuple[str, Any]]:
    """Yield the path and node of each image in a group."""
    import zarr

    if not isinstance(node, zarr.Group):
        if node.ndim > 1 and node.dtype.kind in "biuf":
            yield name, node
        return
    attributes = ome_attributes(node)
    if attributes.get("multiscales"):
        yield name, node
        return
    if not depth:
        return
    for child in _children(node, attributes):
        if child in node:
            yield from _walk(node[child], f"{name}/{child}".lstrip("/"), depth - 1)


def _children(group: Any, attributes: Mapping[str, Any]) -> list[str]:
    """Return the names of the groups and arrays in which images are searched."""
    if "plate" in attributes:
        return [well["path"] for well in attributes["plate"]["wells"]]
    if "well" in attributes:
        return [image["path"] for image in attributes["well"]["images"]]
    if "labels" in attributes:
        return list(attributes["labels"])
    names = sorted(name for name in group.keys() if name != "OME")  # noqa: SIM118 - no mapping
    return sorted(names, key=lambda name: (len(name), name)) if _numbered(names) else names


def _numbered(names: list[str]) -> bool:
    return all(name.isdecimal() for name in names)


def _ome_axes(axes: Any) -> str | None:
    """Axes as letters; version 0.3 lists names, later versions list names and often types."""
    if not axes:
        return None
    named = [{"name": axis} if isinstance(axis, str) else axis for axis in axes]
    letters = axis_letters([axis["name"] for axis in named])
    typed = [_LETTERS.get(str(axis.get("type")), "") for axis in named]
    if letters and all(kind in ("", letter) for kind, letter in zip(typed, letters, strict=True)):
        return letters
    return "".join(
        kind or str(axis["name"]).upper() for kind, axis in zip(typed, named, strict=True)
    )
