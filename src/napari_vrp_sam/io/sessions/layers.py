"""Annotation layers and the result of a session, independent of napari."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import tifffile
from numpy.typing import NDArray

from napari_vrp_sam.io.sessions.levels import PROBABILITIES, StoredLevels, write_levels
from napari_vrp_sam.io.sessions.values import read_values, write_values

RESULT, RESULT_INFO = "result.ome.tif", "result.json"
LayerKind = Literal["labels", "points", "shapes"]


@dataclass(frozen=True, eq=False)
class DrawnPlanes:
    """Label image that stores only its planes with labels.

    Attributes
    ----------
    shape : tuple of int
        Leading axes + (Y, X).
    dtype : dtype
    planes : dict of tuple of int to ndarray
        Planes with labels, each of shape (Y, X), by index along the leading axes.
    """

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    planes: Mapping[tuple[int, ...], NDArray[Any]]

    @classmethod
    def of(cls, labels: Any) -> DrawnPlanes:
        """Copy the planes with labels from an array, which is read plane by plane."""
        shape = tuple(int(size) for size in labels.shape)
        planes = ((index, np.asarray(labels[index])) for index in np.ndindex(*shape[:-2]))
        # Only planes with labels are copied: most planes of a large stack have none.
        drawn = {index: plane.copy() for index, plane in planes if plane.any()}
        return cls(shape, np.dtype(labels.dtype), drawn)

    def dense(self) -> NDArray[Any]:
        """Return the label image as an array."""
        labels = np.zeros(self.shape, self.dtype)
        for index, plane in self.planes.items():
            labels[index] = plane
        return labels


@dataclass(frozen=True, eq=False)
class StoredLayer:
    """Annotation layer.

    Attributes
    ----------
    kind : {"labels", "points", "shapes"}
    data : DrawnPlanes, ndarray of shape (N, D), or list of ndarrays of shape (V, D)
        Labels, points, or the vertices of each shape.
    attributes : dict
        Transformation, appearance and metadata; values as `to_json_value` accepts them.
    """

    kind: LayerKind
    data: DrawnPlanes | NDArray[Any] | Sequence[NDArray[Any]]
    attributes: Mapping[str, Any]


@dataclass(frozen=True, eq=False)
class StoredResult:
    """Result of a run.

    Attributes
    ----------
    labels : ndarray
        Labels, shape of the leading axes + (Y, X).
    axes : str
    attributes : mapping
        Attributes of their layer.
    levels : StoredLevels or Path, optional
        Probabilities, if they are kept; of a result that was read, their file.
    """

    labels: NDArray[Any]
    axes: str
    attributes: Mapping[str, Any]
    levels: StoredLevels | Path | None = None


def write_layer(folder: Path, number: int, layer: StoredLayer) -> str:
    """Write a layer into a folder, and return the name of its files."""
    slug = re.sub(r"\W+", "-", str(layer.attributes.get("name", ""))).strip("-")[:40]
    name = f"{number:02}-{slug or layer.kind}"
    content: dict[str, Any] = {"kind": layer.kind, "attributes": layer.attributes}
    if isinstance(layer.data, DrawnPlanes):
        drawn = layer.data
        content |= {"shape": drawn.shape, "dtype": drawn.dtype.str, "planes": list(drawn.planes)}
        if drawn.planes:
            _write_pages(folder / f"{name}.tif", np.stack(list(drawn.planes.values())))
    else:
        content["data"] = list(layer.data)
    write_values(folder / f"{name}.json", content)
    return name


def read_layer(folder: Path, name: str) -> StoredLayer:
    """Read the layer that `write_layer` wrote under a name."""
    name = Path(name).name
    content = read_values(folder / f"{name}.json")
    kind, attributes = content["kind"], content["attributes"]
    if kind == "labels":
        shape, dtype = tuple(content["shape"]), np.dtype(content["dtype"])
        indices = [tuple(index) for index in content["planes"]]
        pages: Any = ()
        if indices:
            pages = _read_pages(folder / f"{name}.tif", (len(indices), *shape[-2:]), dtype)
        planes = dict(zip(indices, pages, strict=True))
        return StoredLayer(kind, DrawnPlanes(shape, dtype, planes), attributes)
    items = [np.array(item, dtype=float) for item in content["data"]]
    if kind == "points":
        return StoredLayer(kind, np.array(items).reshape(-1, attributes["ndim"]), attributes)
    return StoredLayer(kind, items, attributes)


def write_result(folder: Path, result: StoredResult) -> None:
    """Write the labels of a result as OME-TIFF, and their properties as JSON."""
    labels = result.labels
    # napari may convert labels to 64 bits, which OME does not support.
    smallest = np.min_scalar_type(int(labels.max(initial=0)))
    options = {"ome": True, "metadata": {"axes": result.axes}}
    _write_pages(folder / RESULT, labels.astype(smallest), **options)
    array = {"shape": labels.shape, "dtype": labels.dtype.str, "axes": result.axes}
    write_values(folder / RESULT_INFO, {**array, "attributes": result.attributes})
    if isinstance(result.levels, StoredLevels):
        write_levels(folder, result.levels)


def read_result(folder: Path, *, probabilities: bool) -> StoredResult:
    """Read the result that `write_result` wrote, with or without probabilities."""
    content = read_values(folder / RESULT_INFO)
    shape, dtype = tuple(content["shape"]), np.dtype(content["dtype"])
    labels = _read_pages(folder / RESULT, shape, dtype)
    levels = folder / PROBABILITIES if probabilities else None
    return StoredResult(labels, content["axes"], content["attributes"], levels)


def _write_pages(path: Path, pages: NDArray[Any], **options: Any) -> None:
    pages = pages.view(np.uint8) if pages.dtype == bool else pages
    tifffile.imwrite(path, pages, photometric="minisblack", compression="zlib", **options)


def _read_pages(path: Path, shape: tuple[int, ...], dtype: np.dtype[Any]) -> NDArray[Any]:
    # TIFF drops axes of length 1.
    return np.asarray(tifffile.imread(path)).reshape(shape).astype(dtype)
