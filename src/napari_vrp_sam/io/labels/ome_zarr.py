"""OME-Zarr images of labels and probabilities, written chunk by chunk."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from napari_vrp_sam.io.images.zarr_arrays.ome_zarr import is_zarr
from napari_vrp_sam.io.metadata import ImageMetadata

VERSION = "0.5"
"""Version of the OME-Zarr metadata that are written, except within images of an older one."""
MAX_CHUNK = 1024
"""Maximum height and width of the chunks, in pixels."""
LABELS = "labels"
"""Group within an OME-Zarr image that holds its label images."""

_TYPES = {"T": "time", "C": "channel", "Z": "space", "Y": "space", "X": "space"}


def image_of_labels(path: Path) -> Path | None:
    """Return the OME-Zarr image that contains a label image: image.zarr of image.zarr/labels/a."""
    image = path.parent.parent
    return image if path.parent.name == LABELS and is_zarr(image) else None


def create_image(
    path: Path,
    shape: tuple[int, ...],
    dtype: np.dtype[Any],
    axes: str,
    metadata: ImageMetadata | None = None,
    *,
    labels: bool = True,
    notes: Mapping[str, str] | None = None,
) -> Any:
    """Create an OME-Zarr image filled with 0, replacing what exists.

    Parameters
    ----------
    path : Path
        Folder of the image. A folder NAME in the group `labels` of another OME-Zarr image is
        added to the label images that the group lists, in the version of that image.
    shape : tuple of int
        A chunk is a frame, or a piece of a large frame.
    dtype : dtype
    axes : str
        One letter of T, C, Z, Y, X for each axis.
    metadata : ImageMetadata, optional
        Calibration to store: pixel sizes, units and origin.
    labels : bool
        Whether this is a label image.
    notes : mapping of str to str, optional
        Other values to store by their names.

    Returns
    -------
    zarr.Array
        The full resolution; see `add_levels`.
    """
    import zarr

    image = image_of_labels(path)
    old_format = image is not None and not (image / "zarr.json").exists()
    group = zarr.open_group(str(path), mode="w", zarr_format=2 if old_format else 3)
    array = _create_array(group, "0", shape, dtype, axes)
    multiscale = {
        "name": path.name.removesuffix(".zarr").removesuffix(".ome"),
        "axes": [_axis(axis, metadata or ImageMetadata()) for axis in axes],
        "datasets": [_dataset("0", axes, metadata or ImageMetadata())],
    }
    version = "0.4" if old_format else VERSION
    attributes: dict[str, Any] = {"multiscales": [multiscale]}
    if old_format:
        multiscale["version"] = version
    else:
        attributes["version"] = version
    if labels:
        attributes["image-label"] = {"version": version}
        if image is not None:
            attributes["image-label"]["source"] = {"image": "../../"}
            _list_labels(image, path.name, old_format=old_format)
    group.attrs.update(attributes if old_format else {"ome": attributes})
    if notes:
        group.attrs["napari-vrp-sam"] = dict(notes)
    return array


def add_levels(path: Path) -> None:
    """Add lower resolutions to a complete image with large frames, by taking every second pixel.

    Viewers need them to show large images at once. Only a few rows of chunks are in memory.

    Parameters
    ----------
    path : Path
        Folder that `create_image` created.
    """
    import zarr

    group = zarr.open_group(str(path), mode="r+")
    attributes: dict[str, Any] = dict(group.attrs)
    image = attributes.get("ome", attributes)["multiscales"][0]
    axes = "".join(axis["name"].upper() for axis in image["axes"])
    full = image["datasets"][0]
    array: Any = group["0"]
    datasets = [full]
    for level in itertools.count(1):
        if max(array.shape[-2:]) <= MAX_CHUNK:
            break
        shape = (*array.shape[:-2], -(-array.shape[-2] // 2), -(-array.shape[-1] // 2))
        smaller = _create_array(group, str(level), shape, array.dtype, axes)
        for at in np.ndindex(shape[:-2]):
            for top in range(0, shape[-2], smaller.chunks[-2]):
                rows = slice(2 * top, 2 * (top + smaller.chunks[-2]))
                smaller[(*at, slice(top, top + smaller.chunks[-2]))] = array[(*at, rows)][::2, ::2]
        array = smaller
        datasets.append(_halved(full, str(level), 2**level))
    image["datasets"] = datasets
    group.attrs.update(attributes)


def _create_array(
    group: Any, name: str, shape: tuple[int, ...], dtype: np.dtype[Any], axes: str
) -> Any:
    chunks = (1,) * (len(shape) - 2) + tuple(min(size, MAX_CHUNK) for size in shape[-2:])
    version = group.metadata.zarr_format
    options: dict[str, Any] = {"dimension_names": axes.lower()} if version == 3 else {}
    if version == 2:
        options["chunk_key_encoding"] = {"name": "v2", "separator": "/"}
    return group.create_array(
        name, shape=shape, chunks=chunks, dtype=dtype, fill_value=0, overwrite=True, **options
    )


def _axis(axis: str, metadata: ImageMetadata) -> dict[str, str]:
    described = {"name": axis.lower(), "type": _TYPES[axis]}
    unit = metadata.units.get(axis)
    if unit and unit != "pixel":
        described["unit"] = {"metre": "meter"}.get(unit, unit)
    return described


def _dataset(path: str, axes: str, metadata: ImageMetadata) -> dict[str, Any]:
    """Describe the full resolution."""
    scale = [float(metadata.pixel_size.get(axis, 1.0)) for axis in axes]
    origin = [float(metadata.origin.get(axis, 0.0)) for axis in axes]
    transforms: list[dict[str, Any]] = [{"type": "scale", "scale": scale}]
    if any(origin):
        transforms.append({"type": "translation", "translation": origin})
    return {"path": path, "coordinateTransformations": transforms}


def _halved(full: Mapping[str, Any], path: str, factor: int) -> dict[str, Any]:
    """Describe a lower resolution; its first pixel has the same centre as that of the full one."""
    transforms = [dict(one) for one in full["coordinateTransformations"]]
    scale = transforms[0]["scale"]
    transforms[0]["scale"] = [*scale[:-2], *(factor * size for size in scale[-2:])]
    return {"path": path, "coordinateTransformations": transforms}


def _list_labels(image: Path, name: str, *, old_format: bool) -> None:
    """Add a label image to those that an OME-Zarr image lists."""
    import zarr

    group = zarr.open_group(str(image / LABELS), mode="a", zarr_format=2 if old_format else 3)
    attributes: dict[str, Any] = dict(group.attrs)
    listed = attributes if old_format else dict(attributes.get("ome", {"version": VERSION}))
    listed["labels"] = sorted({*listed.get("labels", []), name})
    group.attrs.update(listed if old_format else {"ome": listed})
