"""Containers of stacks: arrays of several libraries, and files of several formats."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray

from napari_vrp_sam.testing.stacks import StackExample

ContainerName = Literal[
    "numpy", "strided", "masked", "list", "torch", "dask", "zarr", "xarray", "lazy xarray",
    "tiff", "ome-tiff", "ome-zarr", "folder",
]  # fmt: skip
CONTAINERS: tuple[ContainerName, ...] = ContainerName.__args__  # type: ignore[attr-defined]
"""Names of all containers. The last four are files, in the orders of axes that they permit."""

FILES = ("tiff", "ome-tiff", "ome-zarr", "folder")


@dataclass(frozen=True, eq=False)
class StoredStack:
    """Stack in a container.

    Attributes
    ----------
    data : array or Path
        As `segment_stack` takes it.
    axes : str, optional
        Axes to pass on; None if the container names them.
    example : StackExample
        The stack as it is in the container: its axes may be in another order.
    """

    data: Any
    axes: str | None
    example: StackExample


def containers(*, files: bool = True) -> st.SearchStrategy[ContainerName]:
    """Generate names of containers, for `store`.

    Parameters
    ----------
    files : bool, default: True
        Generate files, too, not only arrays in memory.

    Returns
    -------
    strategy of str
    """
    return st.sampled_from([c for c in CONTAINERS if files or c not in FILES])


def can_hold(container: ContainerName, example: StackExample) -> bool:
    """Return whether a container supports dtype and axes of a stack."""
    dtype = example.data.dtype
    if container == "torch":
        return (dtype.isnative and dtype.kind in "bif") or dtype == np.uint8
    if container == "folder":  # a file for each position along one axis
        return (
            len(example.squeezed().lead_axes) == 1
            and "C" not in example.squeezed().axes
            and dtype.kind != "b"
        )
    if container == "ome-zarr":
        return "S" not in example.axes
    if container == "ome-tiff":
        return dtype.name not in ("float16", "int64", "uint64", "bool")
    return dtype.kind != "b" if container == "tiff" else True


def store(
    example: StackExample, container: ContainerName, folder: Path, *, chunk: int = 16
) -> StoredStack:
    """Put a stack into a container.

    Parameters
    ----------
    example : StackExample
    container : {"numpy", "strided", "masked", "list", "torch", "dask", "zarr", "xarray", \
"lazy xarray", "tiff", "ome-tiff", "ome-zarr", "folder"}
        See `CONTAINERS`. Files have no axes of size 1. TIFF files have the axes Y and X last, an
        OME-Zarr image the order T C Z Y X, and a folder a TIFF file for each frame.
    folder : Path
        Folder for files.
    chunk : int, default: 16
        Largest side of a chunk of dask and Zarr arrays, in elements.

    Returns
    -------
    StoredStack

    Raises
    ------
    ValueError
        If the container does not support dtype or axes of the stack.

    Examples
    --------
    >>> from hypothesis import given
    >>> from napari_vrp_sam.inference.frames import Frames
    >>> from napari_vrp_sam.testing import containers, stacks, store
    >>> @given(stacks(), containers(files=False))
    ... def test_frames_of_any_container(example, container):
    ...     stored = store(example, container, Path())
    ...     assert len(Frames(stored.data, stored.axes)) == example.frames
    """
    if not can_hold(container, example):
        raise ValueError(f"{container} cannot hold {example}.")
    if container in FILES:
        return _in_file(example, container, folder)
    array, axes = example.data, example.axes
    chunks = tuple(min(chunk, size) for size in array.shape)
    named = None if container in ("xarray", "lazy xarray") else axes
    return StoredStack(_in_memory(array, axes, container, chunks), named, example)


def _in_memory(
    array: NDArray[Any], axes: str, container: ContainerName, chunks: tuple[int, ...]
) -> Any:
    if container == "strided":  # every other element of a larger array, backwards
        larger = np.zeros([2 * size for size in array.shape], array.dtype)
        view = larger[(slice(None, None, -2),) * array.ndim]
        view[...] = array
        return view
    if container == "masked":
        return np.ma.MaskedArray(array)
    if container == "list":
        return list(array)
    if container == "torch":
        import torch

        return torch.from_numpy(np.ascontiguousarray(array))
    if container == "zarr":
        import zarr

        stored = zarr.create_array(
            zarr.storage.MemoryStore(), shape=array.shape, dtype=array.dtype, chunks=chunks
        )
        stored[...] = array
        return stored
    if container in ("dask", "lazy xarray"):
        import dask.array as da

        lazy: Any = da.from_array(array, chunks=chunks)
        return _xarray(lazy, axes) if container == "lazy xarray" else lazy
    return _xarray(array, axes) if container == "xarray" else array


def _xarray(array: Any, axes: str) -> Any:
    import xarray as xr

    return xr.DataArray(array, dims=list(axes))


def _in_file(example: StackExample, container: ContainerName, folder: Path) -> StoredStack:
    import tifffile

    example = example.squeezed()  # as our readers of files do
    lead = "".join(axis for axis in example.axes if axis not in "YXS")
    if container == "ome-zarr":
        lead = "".join(axis for axis in "TCZ" if axis in lead)
    # Pixels of colours are stored together, rows before columns.
    ordered = example.reordered(lead + "YX" + "S" * ("S" in example.axes))
    data = np.ascontiguousarray(ordered.data)
    if container == "ome-zarr":
        path = folder / "stack.ome.zarr"
        _write_ome_zarr(path, data, ordered.axes)
    elif container == "folder":
        path = folder / "stack"
        path.mkdir()
        for index, frame in enumerate(data):
            tifffile.imwrite(path / f"{index:03d}.tif", frame, photometric=_photometric(ordered))
    else:
        path = folder / ("stack.ome.tif" if container == "ome-tiff" else "stack.tif")
        tifffile.imwrite(
            path,
            data,
            ome=container == "ome-tiff",
            metadata={"axes": ordered.axes},
            photometric=_photometric(ordered),
        )
    return StoredStack(path, None, ordered)


def _photometric(example: StackExample) -> str:
    return "rgb" if "S" in example.axes else "minisblack"


def _write_ome_zarr(path: Path, data: NDArray[Any], axes: str) -> None:
    import zarr

    kinds = {"T": "time", "C": "channel"}
    described = [{"name": a.lower(), "type": kinds.get(a, "space")} for a in axes]
    scale = {"type": "scale", "scale": [1.0] * len(axes)}
    level = {"path": "0", "coordinateTransformations": [scale]}
    image = {"version": "0.5", "multiscales": [{"axes": described, "datasets": [level]}]}
    group = zarr.create_group(str(path), attributes={"ome": image})
    stored = group.create_array("0", shape=data.shape, dtype=data.dtype, chunks="auto")
    stored[...] = data
