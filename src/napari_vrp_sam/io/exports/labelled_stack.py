"""A labelled stack with all that exports need, and its regions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from napari_vrp_sam.io.metadata import ImageMetadata

if TYPE_CHECKING:
    import pandas as pd


class Pictures(Protocol):
    """RGB pictures of the frames, uint8, shape (Y, X, 3)."""

    def __getitem__(self, index: int, /) -> NDArray[np.uint8]: ...


@dataclass(frozen=True, eq=False)
class Region:
    """An object on one frame, or a connected region of a class.

    Attributes
    ----------
    frame : int
        Index of the frame.
    position : dict of str to int
        Position of the frame along the axes T and Z, as far as there are such.
    object_id : int
        Id of the object; regions of class labels are numbered from 1 through the stack.
    class_id : int
    score : float, optional
        Confidence of the object, or of its frame.
    mask : ndarray of bool, shape (height, width)
        Pixels of the region within its bounding box.
    top, left : int
        First row and column of the bounding box.
    """

    frame: int
    position: Mapping[str, int]
    object_id: int
    class_id: int
    score: float | None
    mask: NDArray[np.bool_]
    top: int
    left: int


@dataclass(frozen=True, eq=False)
class LabelledStack:
    """Labels of a stack, and what is known of its image, classes and objects.

    Attributes
    ----------
    labels : array of integers, shape of the leading axes + (Y, X)
        Class of each pixel or, with `classes`, the id of its object; may be lazy.
    axes : str
        One letter of T, Z, Y, X for each axis.
    metadata : ImageMetadata
        Calibration and place of the image.
    classes : mapping of int to int, optional
        Class of each object by its id.
    class_names : mapping of int to str
    scores : mapping of int to float
        Confidence of each object by its id.
    confidence : mapping of int to float
        Confidence of each frame by its index.
    frame_names : sequence of str
        Names of the image files of the frames.
    name : str
        Name of the image, without suffix.
    pictures : sequence of ndarray, optional
        RGB pictures of the frames.
    table : DataFrame, optional
        Table of the objects.
    """

    labels: Any
    axes: str
    metadata: ImageMetadata = field(default_factory=ImageMetadata)
    classes: Mapping[int, int] | None = None
    class_names: Mapping[int, str] = field(default_factory=dict)
    scores: Mapping[int, float] = field(default_factory=dict)
    confidence: Mapping[int, float] = field(default_factory=dict)
    frame_names: Sequence[str] = ()
    name: str = "image"
    pictures: Pictures | None = None
    table: pd.DataFrame | None = None

    @property
    def lead_shape(self) -> tuple[int, ...]:
        """Sizes of the axes T and Z."""
        return tuple(int(size) for size in self.labels.shape[:-2])

    @property
    def frame_shape(self) -> tuple[int, int]:
        """Height and width of a frame."""
        height, width = self.labels.shape[-2:]
        return int(height), int(width)

    def __len__(self) -> int:
        return int(np.prod(self.lead_shape, dtype=int))

    def frame(self, index: int) -> NDArray[Any]:
        """Read the labels of a frame."""
        at = np.unravel_index(index, self.lead_shape) if self.lead_shape else ()
        return np.ma.filled(np.ma.asarray(self.labels[tuple(map(int, at))]), 0)

    def frame_name(self, index: int) -> str:
        """Return the name of the image file of a frame, made up for a frame of a larger file."""
        if self.frame_names:
            return self.frame_names[index]
        return self.name if len(self) == 1 else f"{self.name}_{index:0{len(str(len(self) - 1))}}"

    def position(self, index: int) -> dict[str, int]:
        """Return the position of a frame along T and Z."""
        at = np.unravel_index(index, self.lead_shape) if self.lead_shape else ()
        return dict(zip(self.axes[:-2], map(int, at), strict=True))

    def class_name(self, class_id: int) -> str:
        """Return the name of a class."""
        return self.class_names.get(class_id, f"class {class_id}")

    def regions(self) -> Iterator[Region]:
        """Find the regions of all frames; only one frame is in memory."""
        from skimage.measure import label, regionprops

        count = 0
        for index in range(len(self)):
            labels = self.frame(index)
            numbered = label(labels, connectivity=2) if self.classes is None else labels
            for found in regionprops(numbered):
                top, left, bottom, right = found.bbox
                mask = np.asarray(found.image, bool)
                if self.classes is None:
                    count += 1
                    number = count
                    class_id = int(labels[top:bottom, left:right][mask][0])
                else:
                    number = int(found.label)
                    class_id = int(self.classes.get(number, 1))
                score = self.scores.get(number) if self.classes is not None else None
                score = self.confidence.get(index) if score is None else score
                yield Region(index, self.position(index), number, class_id, score, mask, top, left)
