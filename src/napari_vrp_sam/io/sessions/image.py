"""The image of a session: found again where it was, told from others, or kept as a copy."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import dask.array as da
import numpy as np
from numpy.typing import NDArray

from napari_vrp_sam.errors import InputError
from napari_vrp_sam.io.images.frame_files import guarded
from napari_vrp_sam.io.images.lazy_stack import Guarded, LazyArray
from napari_vrp_sam.io.images.ome_zarr import is_zarr, open_zarr
from napari_vrp_sam.io.images.stacks import read_stack

COPY = "image.zarr"
SPREAD = 8
"""Frames, evenly spread, of which fingerprints are taken besides the annotated ones: a stack larger
than memory cannot be read whole each time it is saved."""
LARGEST_CHUNK = 2048
"""Pixels a side; larger frames are kept in several pieces."""

Report = Callable[[int, int], None]
"""Told (frames copied, frames in all)."""


@dataclass(frozen=True, eq=False)
class SessionImage:
    """What is known of the annotated image.

    Attributes
    ----------
    name : str
    shape : tuple of int
    dtype : str
    axes : str
        One letter of T, Z, C, Y, X, S for each axis.
    source : Path, optional
        File or folder that holds it; None where the session keeps a copy.
    attributes : dict
        How it lies and looks in the window.
    fingerprints : dict of int to str
        SHA-256 of some frames, by index.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    axes: str
    source: Path | None = None
    attributes: Mapping[str, Any] = field(default_factory=dict)
    fingerprints: Mapping[int, str] = field(default_factory=dict)


class MissingImageError(InputError):
    """The image is not where it was; the user may know where it is."""


def fingerprints(data: Any, axes: str, also: Iterable[int] = ()) -> dict[int, str]:
    """SHA-256 of evenly spread frames, and of others; two images that agree are taken for one."""
    count = int(np.prod(_lead(data.shape, axes), dtype=int))
    spread = np.linspace(0, count - 1, min(SPREAD, count)).round().astype(int).tolist()
    return {index: _digest(data, axes, index) for index in sorted({*spread, *also})}


def is_same(data: Any, image: SessionImage) -> bool:
    """Whether an array is the image of a session."""
    if tuple(data.shape) != image.shape or _kind(data.dtype) != _kind(image.dtype):
        return False
    marks = image.fingerprints.items()
    return all(_digest(data, image.axes, index) == mark for index, mark in marks)


def open_source(path: Path, shape: tuple[int, ...]) -> Any:
    """Open an image file or folder; axes of length 1 that a window added or left out come back.

    Raises
    ------
    InputError
        If it cannot be read.
    """
    data: Any
    if is_zarr(path):
        opened, _ = guarded(open_zarr, path)
        data, chunks = Guarded(opened, path), opened.chunks
    else:
        data, _ = read_stack(path)
        chunks = (*(1,) * (data.ndim - 2), *data.shape[-2:])
    if isinstance(data, LazyArray):
        # A window looks at what is lazy through dask.
        data = da.from_array(data, chunks)  # type: ignore[no-untyped-call]
    squeezed = [[n for n in sizes if n > 1] for sizes in (data.shape, shape)]
    return data.reshape(shape) if squeezed[0] == squeezed[1] else data


def open_image(folder: Path, image: SessionImage, given: Path | None = None) -> Any:
    """Open the image of a session, lazily where its format allows.

    Parameters
    ----------
    folder : Path
        The session's.
    image : SessionImage
    given : Path, optional
        Where the image is now.

    Raises
    ------
    MissingImageError
        If it is not where it was.
    InputError
        If another image is there.
    """
    path = given or image.source or folder / COPY
    if not path.exists():
        raise MissingImageError(
            f"The image of {folder.name} is not at {path} any more: put it back, or say where it "
            "is (on the command line as IMAGE)."
        )
    data = open_source(path, image.shape)
    if not is_same(data, image):
        raise InputError(
            f"{path} is not the image that was annotated in {folder.name}: use that one, which has "
            f"the shape {image.shape} and the type {image.dtype}."
        )
    return data


def found_again(image: SessionImage) -> bool:
    """Whether the source of an image can be read, and holds that very image."""
    # Inside another session the image would vanish with it.
    return image.source is not None and image.source.name != COPY and _holds(image.source, image)


def keep_copy(folder: Path, data: Any, image: SessionImage, report: Report | None = None) -> None:
    """Copy an image into the folder of a session, frame by frame.

    An image that is a session's copy already takes no more room on the same disk.
    """
    target = folder / COPY
    earlier = image.source
    if earlier is not None and earlier.name == COPY and _holds(earlier, image):
        shutil.copytree(earlier, target, copy_function=link_or_copy)
        return
    import zarr

    chunks = [
        1 if axis in "TZC" else min(size, LARGEST_CHUNK)
        for axis, size in zip(image.axes, image.shape, strict=True)
    ]
    copy = zarr.open_array(
        str(target), mode="w", shape=image.shape, chunks=tuple(chunks), dtype=image.dtype
    )
    lead = _lead(image.shape, image.axes)
    count = int(np.prod(lead, dtype=int))
    for index in range(count):
        where = _where(image.shape, image.axes, index)
        copy[where] = np.asarray(data[where])
        if report:
            report(index + 1, count)


def address(path: Path, folder: Path) -> dict[str, str]:
    """A path as it is, and as seen from the session: both may have moved together."""
    path = path.absolute()
    try:
        relative = Path(os.path.relpath(path, folder)).as_posix()
    except ValueError:  # another drive of Windows
        relative = str(path)
    return {"path": str(path), "relative": relative}


def resolved(address: Mapping[str, str], folder: Path) -> Path:
    """Where an address leads now."""
    beside = Path(os.path.normpath(folder / address["relative"]))
    return beside if beside.exists() else Path(address["path"])


def link_or_copy(source: str | Path, target: str | Path) -> None:
    """Give a file a second name where the disk can, else copy it; for files that nobody changes."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


def _holds(path: Path, image: SessionImage) -> bool:
    try:
        return is_same(open_source(path, image.shape), image)
    except InputError:
        return False


def _digest(data: Any, axes: str, index: int) -> str:
    frame: NDArray[Any] = np.asarray(data[_where(data.shape, axes, index)])
    little = frame.astype(frame.dtype.newbyteorder("<"), order="C", copy=False)
    return hashlib.sha256(little.tobytes()).hexdigest()


def _where(shape: tuple[int, ...], axes: str, index: int) -> tuple[Any, ...]:
    """Selection of one frame, all channels; frames are counted along T and Z."""
    at = iter(np.unravel_index(index, _lead(shape, axes) or (1,)))
    return tuple(int(next(at)) if axis in "TZ" else slice(None) for axis in axes)


def _lead(shape: tuple[int, ...], axes: str) -> tuple[int, ...]:
    return tuple(size for size, axis in zip(shape, axes, strict=True) if axis in "TZ")


def _kind(dtype: Any) -> np.dtype[Any]:
    native: np.dtype[Any] = np.dtype(dtype).newbyteorder("=")
    return native
