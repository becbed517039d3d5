"""Label images and tables of objects as exports."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from napari_vrp_sam.errors import InputError
from napari_vrp_sam.io.exports.labelled_stack import LabelledStack
from napari_vrp_sam.io.exports.options import ExportOptions
from napari_vrp_sam.io.exports.tables import write_table
from napari_vrp_sam.io.labels.writers import write_label_frames


def write_label_image(path: Path, stack: LabelledStack, _options: ExportOptions) -> None:
    """Write the labels with the calibration and the place of their image."""
    dtype = np.dtype(stack.labels.dtype)
    if dtype.kind != "u":
        largest = max(int(stack.frame(index).max()) for index in range(len(stack)))
        dtype = np.min_scalar_type(largest)
    frames = (stack.frame(index).astype(dtype) for index in range(len(stack)))
    shape = (*stack.lead_shape, *stack.frame_shape)
    write_label_frames(path, frames, shape, dtype, stack.axes, metadata=stack.metadata)


def write_object_table(path: Path, stack: LabelledStack, _options: ExportOptions) -> None:
    """Write the table of the objects.

    Raises
    ------
    InputError
        If the objects are unknown.
    """
    if stack.table is None:
        raise InputError(
            f"{path.name} is a table of objects, but there are only labels of classes: find their "
            "objects first."
        )
    write_table(path, stack.table)
