"""Layers of a session: what the user drew, and the result, without the window."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import tifffile
from numpy.typing import NDArray

from napari_vrp_sam.io.sessions.values import read_plain, write_plain

RESULT, RESULT_NOTES = "result.ome.tif", "result.json"
LayerKind = Literal["labels", "points", "shapes"]


@dataclass(frozen=True, eq=False)
class DrawnPlanes:
    """Labels of which most planes are empty.

    Attributes
    ----------
    shape : tuple of int
        Leading axes + (Y, X).
    dtype : dtype
    planes : dict of tuple of int to ndarray
        Those with a label, each of shape (Y, X), by position along the leading axes.
    """

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    planes: Mapping[tuple[int, ...], NDArray[Any]]

    @classmethod
    def of(cls, labels: Any) -> DrawnPlanes:
        """A copy of the planes of an array with something on them; read plane by plane."""
        shape = tuple(int(size) for size in labels.shape)
        planes = {}
        for at in np.ndindex(*shape[:-2]):
            plane = np.array(labels[at])
            if plane.any():
                planes[at] = plane
        return cls(shape, np.dtype(labels.dtype), planes)

    def dense(self) -> NDArray[Any]:
        """The whole array."""
        labels = np.zeros(self.shape, self.dtype)
        for at, plane in self.planes.items():
            labels[at] = plane
        return labels


@dataclass(frozen=True, eq=False)
class StoredLayer:
    """A layer that the user drew, without the window.

    Attributes
    ----------
    kind : {"labels", "points", "shapes"}
    data : DrawnPlanes, ndarray of shape (N, D), or list of ndarrays of shape (V, D)
        By kind.
    attributes : dict
        How it lies and looks, and what is remembered of it; as `plain` takes it.
    """

    kind: LayerKind
    data: DrawnPlanes | NDArray[Any] | Sequence[NDArray[Any]]
    attributes: Mapping[str, Any]


@dataclass(frozen=True, eq=False)
class StoredResult:
    """Labels of a result, shape of the leading axes + (Y, X), and how their layer looks."""

    labels: NDArray[Any]
    axes: str
    attributes: Mapping[str, Any]


def write_layer(folder: Path, number: int, layer: StoredLayer) -> str:
    """Write a layer into a folder; return its name there."""
    slug = re.sub(r"\W+", "-", str(layer.attributes.get("name", ""))).strip("-")[:40]
    name = f"{number:02}-{slug or layer.kind}"
    content: dict[str, Any] = {"kind": layer.kind, "attributes": layer.attributes}
    if isinstance(layer.data, DrawnPlanes):
        drawn = layer.data
        content |= {"shape": drawn.shape, "dtype": drawn.dtype.str, "planes": list(drawn.planes)}
        if drawn.planes:
            planes = np.stack(list(drawn.planes.values()))
            write_pages(folder / f"{name}.tif", planes)
    else:
        content["data"] = list(layer.data)
    write_plain(folder / f"{name}.json", content)
    return name


def read_layer(folder: Path, name: str) -> StoredLayer:
    """Read what `write_layer` wrote."""
    name = Path(name).name
    content = read_plain(folder / f"{name}.json")
    kind, attributes = content["kind"], content["attributes"]
    if kind == "labels":
        shape, at = tuple(content["shape"]), [tuple(plane) for plane in content["planes"]]
        dtype = np.dtype(content["dtype"])
        planes: dict[tuple[int, ...], NDArray[Any]] = {}
        if at:
            pages = read_pages(folder / f"{name}.tif", (len(at), *shape[-2:]), dtype)
            planes = dict(zip(at, pages, strict=True))
        return StoredLayer(kind, DrawnPlanes(shape, dtype, planes), attributes)
    parts = [np.array(part, dtype=float) for part in content["data"]]
    if kind == "points":
        return StoredLayer(kind, np.array(parts).reshape(-1, attributes["ndim"]), attributes)
    return StoredLayer(kind, parts, attributes)


def write_pages(path: Path, pages: NDArray[Any], **options: Any) -> None:
    """Write labels as compressed TIFF."""
    pages = pages.view(np.uint8) if pages.dtype == bool else pages
    tifffile.imwrite(path, pages, photometric="minisblack", compression="zlib", **options)


def read_pages(path: Path, shape: tuple[int, ...], dtype: np.dtype[Any]) -> NDArray[Any]:
    """Read labels of a known shape, of which TIFF forgets axes of length 1."""
    return np.asarray(tifffile.imread(path)).reshape(shape).astype(dtype)


def write_result(folder: Path, result: StoredResult) -> None:
    """Write a result: labels that any program opens, and what is remembered of them."""
    labels = result.labels
    # Layers that napari converted hold labels in 64 bits, which OME has no name for.
    smallest = np.min_scalar_type(int(labels.max(initial=0)))
    options = {"ome": True, "metadata": {"axes": result.axes}}
    write_pages(folder / RESULT, labels.astype(smallest), **options)
    content = {
        "shape": labels.shape,
        "dtype": labels.dtype.str,
        "axes": result.axes,
        "attributes": result.attributes,
    }
    write_plain(folder / RESULT_NOTES, content)


def read_result(folder: Path) -> StoredResult:
    """Read what `write_result` wrote."""
    content = read_plain(folder / RESULT_NOTES)
    shape, dtype = tuple(content["shape"]), np.dtype(content["dtype"])
    labels = read_pages(folder / RESULT, shape, dtype)
    return StoredResult(labels, content["axes"], content["attributes"])
