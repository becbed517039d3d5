"""HDF5 files, including NetCDF 4, Imaris and ilastik: each dataset is an image; read with h5py."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_vrp_sam.io.axes import axis_letters
from napari_vrp_sam.io.images.lazy_stack import LazyArray, full_selection
from napari_vrp_sam.io.images.read_errors import explain_read_errors
from napari_vrp_sam.io.images.reader import ImageReader, report_others
from napari_vrp_sam.io.metadata import ImageMetadata, StoredImage

SUFFIXES = (".h5", ".hdf5", ".hdf", ".he5", ".ilp", ".nc", ".nc4", ".ims")


class LazyDataset(LazyArray):
    """Dataset of an HDF5 file, which is opened for each selection.

    Parameters
    ----------
    path : Path
    name : str
    shape : tuple of int
        Shape without axes of length 1.
    dtype : dtype
    """

    def __init__(self, path: Path, name: str, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
        self.shape = shape
        self.dtype = dtype
        self._path = path
        self._name = name

    def __getitem__(self, selection: Any) -> NDArray[Any]:
        return _read(self._path, self._name, full_selection(selection, self.ndim))


def _recognises(_path: Path, head: bytes) -> bool:
    return head.startswith(b"\x89HDF\r\n\x1a\n")


def _open(path: Path, number: int | None, *, raw: bool) -> StoredImage:  # noqa: ARG001
    import h5py

    names = _image_names(path)
    with h5py.File(path) as file:
        datasets = [file[name] for name in names]
        if number is None:
            number = max(range(len(names)), key=lambda at: math.prod(datasets[at].shape))
            report_others(path, names, number)
        dataset = datasets[number]
        axes = _axes(dataset)
        kept = _kept(dataset.shape)
        shape = tuple(size for size, keep in zip(dataset.shape, kept, strict=True) if keep)
        axes = axes and "".join(a for a, keep in zip(axes, kept, strict=True) if keep)
        fill = dataset.attrs.get("_FillValue")
        nodata = None if fill is None else float(np.ravel(fill)[0])
        data = LazyDataset(path, names[number], shape, np.dtype(dataset.dtype))
    return StoredImage(data, axes, ImageMetadata(nodata=nodata))


def _image_names(path: Path) -> list[str]:
    """Return the names of the datasets of numbers with at least two axes, but not coordinates."""
    import h5py

    names: list[str] = []

    def add(name: str, node: Any) -> None:
        if isinstance(node, h5py.Dataset) and node.dtype.kind in "biuf":
            is_frame = sum(size > 1 for size in node.shape) > 1
            names.extend([name] if is_frame and not node.is_scale else [])

    with h5py.File(path) as file:
        file.visititems(add)
    if not names:
        raise ValueError("it holds no dataset with two axes or more")
    return names


def _axes(dataset: Any) -> str | None:
    """Axes from the tags of ilastik, or from the names of the dimensions, as NetCDF has them."""
    if "axistags" in dataset.attrs:
        tags = json.loads(dataset.attrs["axistags"])
        return axis_letters([axis["key"] for axis in tags["axes"]])
    names = [
        dimension.label or (dimension.keys()[0] if len(dimension) else "")
        for dimension in dataset.dims
    ]
    return axis_letters([name.rpartition("/")[2] for name in names]) if all(names) else None


def _kept(shape: tuple[int, ...]) -> list[bool]:
    """Which axes are kept: those longer than 1, and at least two."""
    kept = [size > 1 for size in shape]
    return kept if sum(kept) > 1 else [True] * len(shape)


@explain_read_errors
def _read(path: Path, name: str, selection: tuple[Any, ...]) -> NDArray[Any]:
    import h5py

    with h5py.File(path) as file:
        dataset = file[name]
        given = iter(selection)
        return np.asarray(dataset[tuple(next(given) if k else 0 for k in _kept(dataset.shape))])


READER = ImageReader(
    "HDF5, NetCDF 4 and Imaris", "h5py", SUFFIXES, _recognises, _open, _image_names
)
