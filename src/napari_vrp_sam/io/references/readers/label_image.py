"""Label images: files of any image format, folders of them, and masks beside the images."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_vrp_sam.errors import InputError
from napari_vrp_sam.io.images.frame_files import (
    FOREIGN_NAME_ENDS,
    JPEG_SUFFIXES,
    folder_images,
    foreign_files,
)
from napari_vrp_sam.io.images.lazy_stack import LazyStack, in_order
from napari_vrp_sam.io.images.opening import open_file
from napari_vrp_sam.io.images.stacks import is_picture_folder, label_files, read_frame, read_labels
from napari_vrp_sam.io.references.annotations import StoredAnnotations
from napari_vrp_sam.io.references.colours import labels_of_colours
from napari_vrp_sam.io.references.readers.numpy_array import read_arrays
from napari_vrp_sam.io.references.reading import AnnotationReader, Request

MASK_NAME_ENDS = ("_cp_masks", "_masks", "_mask", "_seg", "_Simple Segmentation")
"""Ends of the names of masks, among the files that other programs write beside an image."""
NUMBERED_ENDS = ("_cp_masks", "_seg")
"""Ends of the names of masks that cellpose writes, which number objects."""


def _read(request: Request) -> StoredAnnotations:
    path, stack = request.path, request.stack
    folder = is_picture_folder(path)
    image = stack.path
    if image is not None and _same(path, image):
        files = _masks_beside_images(path) if folder else []
        if not files:
            raise InputError(f"{path} is the image itself: give its labels.")
        return _by_name(files, request)
    if folder and stack.frame_names:
        return _by_name(label_files(path), request)
    return _folder_as_stack(path) if folder else _file(path, stack.lead_axes + "YX")


def _file(path: Path, stack_axes: str) -> StoredAnnotations:
    if path.suffix.lower() in JPEG_SUFFIXES:
        label_files(path)  # refuses it
    stored = open_file(path, raw=True)
    axes, nodata = stored.axes or "", stored.metadata.nodata
    ignore = None if nodata is None or nodata != nodata or not nodata else int(nodata)
    colours = next((axis for axis in "SC" if axis in axes), None)
    if colours is None:
        labels = stored.data if stored.axes_guessed else in_order(stored.data, axes, stack_axes)
        return StoredAnnotations(_integers(labels), ignore=ignore)
    at = axes.index(colours)
    count = stored.data.shape[at]
    if count not in (1, 3) or (colours == "C" and stored.data.dtype != np.uint8):
        raise InputError(
            f"{path} has {count} channels and is not a label image: save labels as one channel of "
            "integers, 0 for background."
        )
    pixels = np.moveaxis(stored.data[()], at, -1)
    if count == 1:
        return StoredAnnotations(_integers(pixels[..., 0]), ignore=ignore)
    frames = pixels.reshape(-1, *pixels.shape[-3:])
    labels, note = _labels_of_colours(list(frames), path)
    return StoredAnnotations(
        np.stack(labels).reshape(pixels.shape[:-1]), notes=(note,) if note else ()
    )


def _folder_as_stack(folder: Path) -> StoredAnnotations:
    files = folder_images(folder)
    frames = [read_frame(path, palette=True) for path in label_files(folder)]
    if all(frame.ndim == 2 for frame in frames):
        return StoredAnnotations(read_labels(folder))
    labels, note = _labels_of_colours(frames, files[0].parent)
    return StoredAnnotations(np.stack(labels), notes=(note,) if note else ())


def _by_name(files: Sequence[Path], request: Request) -> StoredAnnotations:
    """Assign label files to the frames of the same name; frames without one have no labels."""
    names = request.stack.frame_names
    by_frame = {_frame_name(path, names): path for path in files}
    unknown = sorted(path for path in files if _frame_name(path, names) not in names)
    if unknown:
        raise InputError(
            f"{unknown[0]} does not belong to an image of {request.stack.path}: give labels the "
            "name of their image."
        )
    frames = {name: _frame(path) for name, path in by_frame.items()}
    labels, note = _labels_of_colours(list(frames.values()), files[0].parent)
    for name, frame in zip(frames, labels, strict=True):
        if frame.shape != request.stack.frame_shape:
            raise InputError(
                f"{by_frame[name]} is not a label image of {request.stack.frame_shape} pixels: "
                "save labels as one channel of integers, with the size of their image."
            )
    found = dict(zip(frames, labels, strict=True))
    dtype = np.result_type(*(frame.dtype for frame in labels))
    empty = np.zeros(request.stack.frame_shape, dtype)
    readers = [partial(np.asarray, found.get(name, empty)) for name in names]
    numbered = all(path.stem.endswith(NUMBERED_ENDS) for path in files)
    return StoredAnnotations(
        LazyStack(readers, request.stack.lead_shape, request.stack.frame_shape, dtype),
        one_class=True if numbered else None,
        notes=(note,) if note else (),
    )


def _masks_beside_images(folder: Path) -> list[Path]:
    """Return one mask file for each image that has any, the first kind of `MASK_NAME_ENDS`."""
    chosen: dict[str, Path] = {}
    for end in MASK_NAME_ENDS:
        for path in foreign_files(folder):
            if path.stem.endswith(end) and path.suffix.lower() not in JPEG_SUFFIXES:
                chosen.setdefault(path.stem.removesuffix(end), path)
    ends = {_name_end(path) for path in chosen.values()}
    if len(ends) > 1:  # masks of one kind only, for as many images as possible
        best = max(ends, key=lambda end: sum(_name_end(p) == end for p in chosen.values()))
        return [path for path in chosen.values() if _name_end(path) == best]
    return list(chosen.values())


def _name_end(path: Path) -> str:
    return next((end for end in MASK_NAME_ENDS if path.stem.endswith(end)), "")


def _frame_name(path: Path, names: Sequence[str]) -> str:
    if path.stem in names:
        return path.stem
    ends = (end for end in FOREIGN_NAME_ENDS if path.stem.endswith(end))
    return next((path.stem.removesuffix(end) for end in ends), path.stem)


def _frame(path: Path) -> NDArray[Any]:
    if path.suffix.lower() == ".npy":
        return np.asarray(read_arrays(path).labels)
    labels: NDArray[Any] = _integers(read_frame(path, palette=True))
    return labels


def _labels_of_colours(frames: list[NDArray[Any]], source: Path) -> tuple[list[NDArray[Any]], str]:
    try:
        return labels_of_colours(frames)
    except InputError as error:
        raise InputError(f"{source}: {error}") from None


def _integers(labels: Any) -> Any:
    """Return labels whose values are whole numbers, but stored as floats, as integers."""
    if np.dtype(labels.dtype).kind != "f":
        return labels
    values = np.nan_to_num(np.asarray(labels))
    whole = (values == np.round(values)).all() and abs(values).max() < 2**31
    return values.astype(np.int32) if whole else labels


def _same(first: Path, second: Path) -> bool:
    try:
        return first.samefile(second)
    except OSError:
        return False


def _recognises(_path: Path, _head: bytes) -> bool:
    return True


READER = AnnotationReader(
    "a label image", "the readers of images", _recognises, _read, priority=100
)
