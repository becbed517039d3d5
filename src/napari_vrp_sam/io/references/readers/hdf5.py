"""HDF5: labels that ilastik or Labkit exported, and the strokes in projects of ilastik."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np

from napari_vrp_sam.errors import InputError
from napari_vrp_sam.io.references.annotations import AnnotatedStack, StoredAnnotations
from napari_vrp_sam.io.references.reading import AnnotationReader, Request

KEYS = ("exported_data", "labels", "label", "masks", "mask", "segmentation", "data")
"""Usual names of the dataset with labels."""
STROKES = "PixelClassification/LabelSets"


def _read(request: Request) -> StoredAnnotations:
    import h5py

    with h5py.File(request.path, "r") as file:
        if STROKES in file:
            return StoredAnnotations(_project_labels(file, request))
        dataset = _choose(file, request)
        labels = _without_extra_axes(dataset, request.stack)
    return StoredAnnotations(labels)


def _choose(file: Any, request: Request) -> Any:
    import h5py

    found: dict[str, Any] = {}

    def collect(name: str, node: Any) -> None:
        if isinstance(node, h5py.Dataset) and node.ndim >= 2 and node.dtype.kind in "biu":
            found[name] = node

    file.visititems(collect)
    names = [name for key in KEYS for name in found if name.split("/")[-1] == key]
    names += [name for name in found if name.endswith("s00/0/cells")]  # of BigDataViewer
    if not names and len(found) > 1:
        sizes = request.stack.label_shape, request.stack.frame_shape
        names = [name for name, node in found.items() if _squeezed(node.shape) in sizes]
    if not names and len(found) == 1:
        names = list(found)
    if not names:
        listed = f" among {', '.join(found)}" if found else " of integers"
        raise InputError(
            f"{request.path} has no dataset of labels{listed}: export labels, not probabilities, "
            f"as the dataset {KEYS[0]}."
        )
    return found[names[0]]


def _squeezed(shape: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(size for size in shape if size > 1)


def _without_extra_axes(dataset: Any, stack: AnnotatedStack) -> Any:
    """Return labels with the axes T, Z, Y, X, from the axes that ilastik states."""
    labels = np.asarray(dataset)
    tags = dataset.attrs.get("axistags")
    if tags is None:
        wanted = {len(stack.label_shape), 2}
        while labels.ndim not in wanted and 1 in labels.shape:
            labels = labels.squeeze(labels.shape.index(1))
        return labels
    axes = [axis["key"].upper() for axis in json.loads(tags)["axes"]]
    if "C" in axes:
        at = axes.index("C")
        labels = labels.take(0, at)
        axes.pop(at)
    order = [axes.index(axis) for axis in "TZYX" if axis in axes]
    labels = labels.transpose(order)
    axes = [axes[at] for at in order]
    singleton = [at for at, axis in enumerate(axes) if axis not in stack.lead_axes + "YX"]
    return labels.squeeze(tuple(at for at in singleton if labels.shape[at] == 1))


def _project_labels(file: Any, request: Request) -> Any:
    """Return the strokes of the first image of a project, which are stored in blocks."""
    stack = request.stack
    lanes = [lane for lane in file[STROKES].values() if len(lane)]
    if not lanes:
        raise InputError(f"{request.path} has no strokes: draw labels in ilastik.")
    info = file.get("Input Data/infos/lane0000/Raw Data")
    axes = "TZYXC"
    if info is not None and "axisorder" in info:
        axes = info["axisorder"][()].decode().upper()
    elif info is not None and "axistags" in info:
        tags = json.loads(info["axistags"][()])
        axes = "".join(axis["key"].upper() for axis in tags["axes"])
    labels = np.zeros(stack.label_shape, np.uint8)
    for block in lanes[0].values():
        starts = [int(start) for start in re.findall(r"(\d+):", block.attrs["blockSlice"])]
        values = np.asarray(block)
        present = (axes if len(axes) == values.ndim else axes.replace("C", "") + "C")[: values.ndim]
        if "C" in present:
            at = present.index("C")
            values, starts = values.take(0, at), starts[:at] + starts[at + 1 :]
            present = present.replace("C", "")
        order = [present.index(axis) for axis in "TZYX" if axis in present]
        values = values.transpose(order)
        kept = [at for at in order if present[at] in stack.lead_axes + "YX"]
        values = values.reshape([values.shape[order.index(at)] for at in kept])
        place = tuple(
            slice(starts[at], starts[at] + size)
            for at, size in zip(kept, values.shape, strict=True)
        )
        labels[place] = np.maximum(labels[place], values)
    return labels


def _recognises(_path: Path, head: bytes) -> bool:
    return head.startswith(b"\x89HDF\r\n\x1a\n")


READER = AnnotationReader("HDF5", "h5py", _recognises, _read)
