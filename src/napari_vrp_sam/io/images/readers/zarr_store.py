"""OME-Zarr images and Zarr arrays, read with zarr."""

from __future__ import annotations

from pathlib import Path

from napari_vrp_sam.io.images.lazy_stack import LazyZarr
from napari_vrp_sam.io.images.ome_zarr import SUFFIX, is_zarr, open_zarr
from napari_vrp_sam.io.images.reader import ImageReader
from napari_vrp_sam.io.metadata import StoredImage


def _recognises(path: Path, head: bytes) -> bool:
    return not head and is_zarr(path)


def _open(path: Path, _image: int | None, *, raw: bool) -> StoredImage:  # noqa: ARG001
    opened, axes = open_zarr(path)
    # Many programs write all five axes.
    array = LazyZarr(opened, path, squeeze=axes is not None)
    remaining = axes and "".join(a for a, r in zip(axes, array.remaining, strict=True) if r)
    return StoredImage(array, remaining)


READER = ImageReader("OME-Zarr", "zarr", (SUFFIX,), _recognises, _open)
