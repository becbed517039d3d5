"""Annotations as files store them, and the stack that they belong to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from napari_vrp_sam.annotations.reference import AnnotationKind
from napari_vrp_sam.errors import InputError
from napari_vrp_sam.io.metadata import ImageMetadata

ShapeType = Literal["polygon", "rectangle", "ellipse", "path", "point", "mask"]
Role = Literal["class", "background", "ignored"]


@dataclass(frozen=True)
class AnnotatedStack:
    """The stack that a file annotates, as far as readers have to know it.

    Parameters
    ----------
    frame_shape : tuple of int
        Height and width of a frame.
    lead_axes : str
        Letters of T and Z, along which frames are counted.
    lead_shape : tuple of int
        Their sizes.
    path : Path, optional
        Image file or folder.
    frame_names : tuple of str
        Names of the files of the frames without suffix; empty if the stack is one file.
    metadata : ImageMetadata
        With the CRS and the transform of a map.
    """

    frame_shape: tuple[int, int]
    lead_axes: str = ""
    lead_shape: tuple[int, ...] = ()
    path: Path | None = None
    frame_names: tuple[str, ...] = ()
    metadata: ImageMetadata = field(default_factory=ImageMetadata)

    @property
    def label_shape(self) -> tuple[int, ...]:
        """Shape of a label image of all frames."""
        return (*self.lead_shape, *self.frame_shape)

    def frame_at(self, **position: int) -> int | None:
        """Return the index of the frame at T and Z, counted from 0.

        Axes of length 1, or that the stack lacks, are not needed; None if another one is missing.

        Raises
        ------
        InputError
            If the stack has no such frame.
        """
        index: list[int] = []
        for axis, size in zip(self.lead_axes, self.lead_shape, strict=True):
            at = position.get(axis)
            if at is None and size > 1:
                return None
            if not 0 <= (at or 0) < size:
                raise InputError(
                    f"An annotation is at {axis} = {at}, but the stack has {size} positions along "
                    f"{axis}, counted from 0: give the stack that was annotated."
                )
            index.append(at or 0)
        return int(np.ravel_multi_index(index, self.lead_shape)) if index else 0


@dataclass(frozen=True, eq=False)
class Drawing:
    """A shape, a point or a mask on one frame.

    Parameters
    ----------
    shape : {"polygon", "rectangle", "ellipse", "path", "point", "mask"}
    rings : tuple of ndarray, shape (N, 2)
        (row, column) of the vertices; the centre of the first pixel is (0, 0). A polygon has a ring
        for its outline and one for each hole, and an even number of rings around a pixel is
        outside. Rectangles and ellipses have the four corners of their box, points one vertex.
    class_id : int
    frame : int, optional
        Index of the frame; None if the file does not say it.
    role : {"class", "background", "ignored"}
        Whether the pixels show the class, no class, or are excluded from learning.
    width : float
        Width of a path in pixels.
    mask : ndarray of bool, optional
        Pixels of a mask from its first row and column, instead of rings.
    """

    shape: ShapeType
    rings: tuple[NDArray[np.float64], ...] = ()
    class_id: int = 1
    frame: int | None = None
    role: Role = "class"
    width: float = 1.0
    mask: NDArray[np.bool_] | None = None

    def __post_init__(self) -> None:
        if any(ring.ndim != 2 or ring.shape[1] != 2 or not len(ring) for ring in self.rings):
            raise InputError("An annotation has coordinates that are not pairs of numbers.")


@dataclass(frozen=True, eq=False)
class StoredAnnotations:
    """Annotations of a file: labels, drawings, or both.

    Parameters
    ----------
    labels : array of integers, optional
        Label image of all frames or of one frame; may be lazy.
    drawings : tuple of Drawing
    class_names : mapping of int to str
        Names of the classes that the file has.
    one_class : bool, optional
        True if the format numbers objects, False if each value is a class for certain.
    kind : {"point", "scribble", "partial", "box", "mask"}, optional
        Kind of the labels and masks that the format states.
    ignore : int, optional
        Label value of pixels without data.
    notes : tuple of str
        Sentences about what was read, and what was not.
    """

    labels: Any = None
    drawings: tuple[Drawing, ...] = ()
    class_names: Mapping[int, str] = field(default_factory=dict)
    one_class: bool | None = None
    kind: AnnotationKind | None = None
    ignore: int | None = None
    notes: tuple[str, ...] = ()
