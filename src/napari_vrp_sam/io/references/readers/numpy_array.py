"""NumPy arrays (.npy, .npz), and the masks that cellpose stores in `*_seg.npy`."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib import format as npy

from napari_vrp_sam.errors import InputError
from napari_vrp_sam.io.references.annotations import StoredAnnotations
from napari_vrp_sam.io.references.reading import AnnotationReader, Request

KEYS = ("masks", "labels", "label", "mask", "segmentation", "arr_0")
"""Usual names of the labels among the arrays of a file."""
RESTORED_BY: dict[tuple[str, str], Any] = {
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
    ("multiarray", "_reconstruct"): np.empty(0).__reduce__()[0],
    ("multiarray", "scalar"): np.float64(0).__reduce__()[0],
}
"""All that pickled arrays and numbers of NumPy need."""


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
    found = {k: v for k, v in arrays.items() if isinstance(v, np.ndarray) and v.ndim >= 2}
    keys = [key for key in KEYS if key in found] or list(found)
    if not keys or (len(found) > 1 and keys[0] not in KEYS):
        raise InputError(
            f"{path} has {'no array' if not found else 'the arrays ' + ', '.join(found)}: name the "
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
        content = _ArrayUnpickler(file).load()
        return content.item() if shape == () else content


class _ArrayUnpickler(pickle.Unpickler):
    """Unpickler of arrays, numbers, strings and containers, which calls nothing else."""

    def find_class(self, module: str, name: str) -> Any:
        place = "multiarray" if module.startswith("numpy") and "multiarray" in module else module
        if (place, name) in RESTORED_BY:
            return RESTORED_BY[place, name]
        raise InputError(
            f"The file contains {module}.{name}, not only arrays, and nothing in a file is "
            "executed: save the labels as an array."
        )


def _read(request: Request) -> StoredAnnotations:
    return read_arrays(request.path)


def _recognises(path: Path, head: bytes) -> bool:
    return head.startswith(b"\x93NUMPY") or (
        head.startswith(b"PK") and path.suffix.lower() == ".npz"
    )


READER = AnnotationReader("a NumPy array", "NumPy", _recognises, _read)
