"""The image of a session: found in its file, verified by fingerprints, or copied."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Iterable, Mapping
from dataclasses import field
from pathlib import Path
from typing import Annotated, Any

import dask.array as da
import numpy as np
from numpy.typing import NDArray
from pydantic.dataclasses import dataclass

from napari_vrp_sam.errors import InputError, reason
from napari_vrp_sam.files import exists, link_or_copy
from napari_vrp_sam.io.images.lazy_stack import LazyArray, LazyZarr
from napari_vrp_sam.io.images.read_errors import explain_read_errors
from napari_vrp_sam.io.images.stacks import read_stack
from napari_vrp_sam.io.images.zarr_arrays.ome_zarr import is_zarr, open_zarr
from napari_vrp_sam.io.sessions.values import JsonEncoded, PortablePath

IMAGE_COPY = "image.zarr"
"""Name of the copy of the image in a session folder."""
FINGERPRINT_COUNT = 8
"""Number of evenly spaced frames with a fingerprint, besides the annotated frames: reading a whole
stack that exceeds the memory each time it is saved would take too long."""
MAX_CHUNK = 2048
"""Maximum height and width of the chunks of a copy, in pixels."""

CopyProgress = Callable[[int, int], None]
"""Called with the number of copied frames and the total number of frames."""


@dataclass(frozen=True, eq=False)
class SessionImage:
    """Description of the annotated image.

    Attributes
    ----------
    name : str
    shape : tuple of int
    dtype : str
    axes : str
        One letter of T, Z, C, Y, X, S for each axis.
    source : Path, optional
        File or folder of the image; None if the session holds a copy.
    attributes : dict
        Transformation and appearance of the layer.
    fingerprints : dict of int to str
        SHA-256 of some frames, by index.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    axes: str
    source: PortablePath | None = None
    attributes: Annotated[Mapping[str, Any], *JsonEncoded] = field(default_factory=dict)
    fingerprints: Annotated[Mapping[int, str], *JsonEncoded] = field(default_factory=dict)


class MissingImageError(InputError):
    """The image was moved or deleted; the user may know its new path."""


def frame_fingerprints(data: Any, axes: str, also: Iterable[int] = ()) -> dict[int, str]:
    """Return the SHA-256 of evenly spaced frames and of the frames `also`, by index."""
    count = int(np.prod(_frame_axes_shape(data.shape, axes), dtype=int))
    spaced = np.linspace(0, count - 1, min(FINGERPRINT_COUNT, count)).round().astype(int).tolist()
    return fingerprints_of(data, axes, [*spaced, *also])


def fingerprints_of(data: Any, axes: str, indices: Iterable[int]) -> dict[int, str]:
    """Return the SHA-256 of the frames at these indices."""
    return {index: _digest(data, axes, index) for index in sorted(set(indices))}


def is_session_image(data: Any, image: SessionImage) -> bool:
    """Return whether an array has the shape, dtype and fingerprints of the image of a session."""
    if tuple(data.shape) != image.shape or _native(data.dtype) != _native(image.dtype):
        return False
    known = image.fingerprints.items()
    return all(_digest(data, image.axes, index) == fingerprint for index, fingerprint in known)


def open_image(folder: Path, image: SessionImage, path: Path | None = None) -> Any:
    """Open the image of a session, lazily if the file format permits it.

    Parameters
    ----------
    folder : Path
        Folder of the session.
    image : SessionImage
    path : Path, optional
        New path of the image, if it was moved.

    Raises
    ------
    MissingImageError
        If the file does not exist.
    InputError
        If the file holds a different image.
    """
    path = path or image.source or folder / IMAGE_COPY
    if not exists(path):
        raise MissingImageError(
            f"The image of {folder.name} is no longer at {path}: move it back, or give its new "
            "path."
        )
    try:
        data = _open_file(path, image.shape)
        found = is_session_image(data, image)
    except InputError:
        raise
    except Exception as error:  # damaged files raise exceptions of any type
        raise InputError(
            f"The image of {folder.name} cannot be read from {path} ({reason(error)}): the session "
            "or the image is damaged."
        ) from error
    if not found:
        raise InputError(
            f"{path} is not the image that was annotated in {folder.name}: use that image, which "
            f"has the shape {image.shape} and the type {image.dtype}."
        )
    return data


def source_holds(image: SessionImage) -> bool:
    """Return whether the source file can be read and still holds the image."""
    # A copy in another session would be lost with that session.
    return (
        image.source is not None
        and image.source.name != IMAGE_COPY
        and _file_holds(image.source, image)
    )


def copy_image(
    folder: Path, data: Any, image: SessionImage, progress: CopyProgress | None = None
) -> None:
    """Copy an image into the folder of a session, frame by frame.

    If the image is already a copy in a session, its files are linked if possible.
    """
    target = folder / IMAGE_COPY
    previous = image.source
    if previous is not None and previous.name == IMAGE_COPY and _file_holds(previous, image):
        shutil.copytree(previous, target, copy_function=link_or_copy)
        return
    import zarr

    chunks = tuple(
        1 if axis in "TZC" else min(size, MAX_CHUNK)
        for axis, size in zip(image.axes, image.shape, strict=True)
    )
    copy = zarr.open_array(
        str(target), mode="w", shape=image.shape, chunks=chunks, dtype=image.dtype
    )
    count = int(np.prod(_frame_axes_shape(image.shape, image.axes), dtype=int))
    for index in range(count):
        frame = _frame_selection(image.shape, image.axes, index)
        copy[frame] = np.asarray(data[frame])
        if progress:
            progress(index + 1, count)


def _open_file(path: Path, shape: tuple[int, ...]) -> Any:
    """Open an image, and restore axes of length 1 that napari added or dropped."""
    data: Any
    if is_zarr(path):
        opened, _ = explain_read_errors(open_zarr)(path)
        data, chunks = LazyZarr(opened, path), opened.chunks
    else:
        data, _ = read_stack(path)
        chunks = (*(1,) * (data.ndim - 2), *data.shape[-2:])
    own, expected = ([size for size in sizes if size > 1] for sizes in (data.shape, shape))
    if own != expected:  # before dask lists the chunks of a shape that is damaged
        return data
    if isinstance(data, LazyArray):
        # napari expects lazy data as dask arrays.
        data = da.from_array(data, chunks)
    return data.reshape(shape)


def _file_holds(path: Path, image: SessionImage) -> bool:
    try:
        return is_session_image(_open_file(path, image.shape), image)
    except InputError:
        return False


def _digest(data: Any, axes: str, index: int) -> str:
    frame: NDArray[Any] = np.asarray(data[_frame_selection(data.shape, axes, index)])
    little_endian = frame.astype(frame.dtype.newbyteorder("<"), order="C", copy=False)
    return hashlib.sha256(little_endian.tobytes()).hexdigest()


def _frame_selection(shape: tuple[int, ...], axes: str, index: int) -> tuple[Any, ...]:
    """Index of one frame with all its channels; frames are counted along T and Z."""
    position = iter(np.unravel_index(index, _frame_axes_shape(shape, axes) or (1,)))
    return tuple(int(next(position)) if axis in "TZ" else slice(None) for axis in axes)


def _frame_axes_shape(shape: tuple[int, ...], axes: str) -> tuple[int, ...]:
    return tuple(size for size, axis in zip(shape, axes, strict=True) if axis in "TZ")


def _native(dtype: Any) -> np.dtype[Any]:
    native: np.dtype[Any] = np.dtype(dtype).newbyteorder("=")
    return native
