"""Stacks and annotations that are given as arrays or as paths."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from napari_vrp_sam.annotations.reference import Reference
from napari_vrp_sam.inference.arguments import as_array, is_path
from napari_vrp_sam.inference.frames import Frames
from napari_vrp_sam.inference.references.drawn import read_reference
from napari_vrp_sam.io.metadata import ImageMetadata, StoredImage
from napari_vrp_sam.io.references.annotations import StoredAnnotations


@dataclass(frozen=True, eq=False)
class OpenedStack:
    """Stack that an argument names.

    Attributes
    ----------
    data : array
        As `Frames` takes it.
    axes : str or sequence of str, optional
        Axes that the caller gives, else those of the file; None if unknown.
    nodata : float, optional
        Value of missing pixels that the caller gives, else that of the file.
    path : Path, optional
        File or folder of the image.
    metadata : ImageMetadata
    """

    data: Any
    axes: Any = None
    nodata: float | None = None
    path: Path | None = None
    metadata: ImageMetadata = field(default_factory=ImageMetadata)

    def frame_files(self) -> list[Path]:
        """Return the files of the frames, if the stack is a folder with one for each."""
        from napari_vrp_sam.io.images.stacks import frame_files

        return [] if self.path is None else frame_files(self.path)

    def frames(self, annotation: Any, channels: Any = None) -> Frames:
        """Return the frames of the stack, whose axes its label image may tell.

        Raises
        ------
        InputError
            If the data cannot be read as frames, or their axes are not certain.
        """
        axes = self.axes
        shape = tuple(getattr(self.data, "shape", ()))
        same = not hasattr(self.data, "dims") and shape == np.shape(_labels_of(annotation))
        if axes is None and same:  # a label image has no channels
            axes = {3: "ZYX", 4: "TZYX"}.get(len(shape))
        return Frames(self.data, axes, channels, self.nodata)


def open_stack(stack: Any, axes: Any = None, nodata: float | None = None) -> OpenedStack:
    """Return the array of a stack that is an array, the path of an image, or an opened image.

    Parameters
    ----------
    stack : array, path or StoredImage
    axes : str or sequence of str, optional
    nodata : float, optional

    Raises
    ------
    InputError
        If the file cannot be read.
    """
    path = Path(stack) if is_path(stack) else None
    if path is not None:
        from napari_vrp_sam.io.images.opening import open_image

        stored = open_image(path)
    elif isinstance(stack, StoredImage):
        stored = stack
    else:
        return OpenedStack(stack, axes, nodata)
    known = stored.metadata.nodata
    return OpenedStack(
        stored.data,
        axes or stored.axes,
        known if nodata is None else nodata,
        path,
        stored.metadata,
    )


def as_annotation(
    annotation: Any, stack: OpenedStack, frames: Frames, *, class_column: str | None = None
) -> Any:
    """Return an annotation as `gather_references` takes it; a path is read.

    Parameters
    ----------
    annotation : array, path, Reference or sequence of Reference
    stack : OpenedStack
    frames : Frames
        Frames of the stack.
    class_column : str, optional
        Attribute or column with the class of each shape or point in a file.

    Raises
    ------
    InputError
        If the file cannot be read, or the argument is not an annotation.
    """
    if is_path(annotation):
        return read_reference(
            annotation,
            frames,
            image=stack.path,
            metadata=stack.metadata,
            class_column=class_column,
        )
    if isinstance(annotation, StoredAnnotations | Reference):
        return annotation
    if isinstance(annotation, Sequence) and all(isinstance(r, Reference) for r in annotation):
        return annotation
    return as_array(annotation, "annotation")


def _labels_of(annotation: str | os.PathLike[str] | Any) -> Any:
    """Return an annotation that may be a label image, without reading it; else an empty tuple."""
    return annotation if hasattr(annotation, "shape") else ()
