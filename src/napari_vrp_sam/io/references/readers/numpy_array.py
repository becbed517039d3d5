"""NumPy arrays (.npy, .npz), and the masks that cellpose stores in `*_seg.npy`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib import format as npy

from napari_vrp_sam.errors import InputError
from napari_vrp_sam.io.references.annotations import StoredAnnotations
from napari_vrp_sam.io.references.pickled_arrays import read_pickled_arrays
from napari_vrp_sam.io.references.reading import AnnotationReader, Request

KEYS = ("masks", "labels", "label", "mask", "segmentation", "arr_0")
"""Usual names of the labels among the arrays of a file."""
NO_LABELS = ("outlines", "flows", "img")
"""Other arrays of cellpose."""


def read_arrays(path: Path) -> StoredAnnotations:
    """Read the labels in a file of arrays; those of cellpose number objects.

    Raises
    ------
    InputError
        If it contains other objects than arrays, or several arrays of unknown meaning.
    """
    with path.open("rb") as file:
        zipped = file.read(2) == b"PK"
    if zipped:
        with np.load(path, allow_pickle=False) as arrays:
            return StoredAnnotations(_choose(dict(arrays), path))
    content = _load(path)
    if isinstance(content, dict):  # of cellpose, which numbers objects
        return StoredAnnotations(
            _choose(content, path),
            one_class=True,
            notes=("Its numbered objects are one class.",),
        )
    return StoredAnnotations(np.asarray(content))


def _choose(arrays: dict[str, Any], path: Path) -> Any:
    found = {
        key: value
        for key, value in arrays.items()
        if isinstance(value, np.ndarray) and value.ndim >= 2 and key not in NO_LABELS
    }
    keys = [key for key in KEYS if key in found] or list(found)
    if not keys or (len(found) > 1 and keys[0] not in KEYS):
        raise InputError(
            f"{path} has {'the arrays ' + ', '.join(found) if found else 'no labels'}: name the "
            f"labels {KEYS[1]!r}."
        )
    return found[keys[0]]


def _load(path: Path) -> Any:
    """Return the array of a file, or the object that is pickled in it."""
    with path.open("rb") as file:
        version = npy.read_magic(file)
        read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
        shape, _, dtype = read(file)
        if not dtype.hasobject:
            return np.load(path, mmap_mode="r", allow_pickle=False)
        content = read_pickled_arrays(file.read())
    # An array of one object, such as the dictionary of cellpose.
    return content[0] if shape == () and isinstance(content, list) else content


def _read(request: Request) -> StoredAnnotations:
    return read_arrays(request.path)


def _recognises(path: Path, head: bytes) -> bool:
    return head.startswith(b"\x93NUMPY") or (
        head.startswith(b"PK") and path.suffix.lower() == ".npz"
    )


READER = AnnotationReader("a NumPy array", "NumPy", _recognises, _read)
