"""NIfTI, Analyze and MGH volumes of neuroimaging, read with nibabel."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_vrp_sam.io.images.lazy_stack import LazyArray, full_selection
from napari_vrp_sam.io.images.read_errors import explain_read_errors
from napari_vrp_sam.io.images.reader import ImageReader
from napari_vrp_sam.io.images.units import unit_name
from napari_vrp_sam.io.metadata import ImageMetadata, StoredImage
from napari_vrp_sam.io.optional import require

SUFFIXES = (".nii", ".nii.gz", ".mgz", ".mgh", ".hdr")
UNITS = {"mm": "millimeter", "micron": "micrometer", "meter": "meter", "sec": "second",
         "msec": "millisecond", "usec": "microsecond"}  # fmt: skip


class LazyNifti(LazyArray):
    """Volume in the order of NumPy, with the last axis of the file first.

    Parameters
    ----------
    path : Path
    shape : tuple of int
        Without axes of length 1.
    dtype : dtype
    """

    def __init__(self, path: Path, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
        self.shape = shape
        self.dtype = dtype
        self._path = path

    def __getitem__(self, selection: Any) -> NDArray[Any]:
        return _read(self._path, full_selection(selection, self.ndim), self.dtype)


def _recognises(_path: Path, head: bytes) -> bool:
    return head[344:348] in (b"n+1\0", b"ni1\0") or head[4:8] in (b"n+2\0", b"ni2\0")


def _open(path: Path, _image: int | None, *, raw: bool) -> StoredImage:  # noqa: ARG001
    require("nibabel", "medical", "NIfTI files")
    import nibabel

    image: Any = nibabel.load(path)
    stored = np.dtype(image.get_data_dtype())
    sizes = tuple(image.shape)
    if stored.names or not sum(size > 1 for size in sizes) >= 2 or len(sizes) > 5:
        raise ValueError(f"volumes of the shape {sizes} and type {stored} are not supported")
    slope, intercept = (getattr(image.dataobj, name, d) for name, d in (("slope", 1), ("inter", 0)))
    dtype = stored if slope == 1 and intercept == 0 else np.dtype(np.float32)
    letters = "XYZTC"[: len(sizes)][::-1]
    kept = _kept(sizes)
    axes = "".join(axis for axis, keep in zip(letters, kept, strict=True) if keep)
    shape = tuple(size for size, keep in zip(sizes[::-1], kept, strict=True) if keep)
    data: Any = LazyNifti(path, shape, dtype.newbyteorder("="))
    if path.suffix.lower() in (".gz", ".mgz"):
        data = data[()]  # each slice would be decompressed from the start of the file
    return StoredImage(data, axes, _metadata(image.header, letters))


def _metadata(header: Any, letters: str) -> ImageMetadata:
    sizes = dict(zip(letters[::-1], map(float, header.get_zooms()), strict=False))
    space, time = header.get_xyzt_units() if hasattr(header, "get_xyzt_units") else ("mm", "sec")
    units = {axis: UNITS.get(time if axis == "T" else space) for axis in sizes}
    return ImageMetadata(
        pixel_size={axis: size for axis, size in sizes.items() if axis in "TZYX" and size},
        units={axis: unit_name(unit) for axis, unit in units.items() if unit and axis in "TZYX"},
    )


def _kept(sizes: tuple[int, ...]) -> list[bool]:
    """Which axes of a volume are kept, last axis first; X and Y always are."""
    return [size > 1 or at < 2 for at, size in enumerate(sizes)][::-1]


@explain_read_errors
def _read(path: Path, selection: tuple[Any, ...], dtype: np.dtype[Any]) -> NDArray[Any]:
    import nibabel

    image: Any = nibabel.load(path)
    given = iter(selection)
    whole = tuple(next(given) if keep else 0 for keep in _kept(image.shape))
    # nibabel checks slices more strictly than NumPy.
    return np.asarray(image.dataobj[whole[::-1]]).T.astype(dtype, copy=False)


READER = ImageReader("NIfTI", "nibabel", SUFFIXES, _recognises, _open)
