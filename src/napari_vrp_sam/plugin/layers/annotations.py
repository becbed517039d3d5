"""What a user drew in layers -> references on the frames of an image layer."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Image, Labels, Points, Shapes
from numpy.typing import NDArray
from scipy import ndimage

from napari_vrp_sam.annotations.geometry import points_to_mask, shape_to_mask
from napari_vrp_sam.annotations.labels import (
    check_class_count,
    labels_in,
    references_from_labels,
)
from napari_vrp_sam.annotations.reference import AnnotationKind, Reference
from napari_vrp_sam.errors import InputError
from napari_vrp_sam.inference.frames import Frames
from napari_vrp_sam.plugin.layers.stacks import frames_of
from napari_vrp_sam.plugin.layers.transforms import (
    Coordinates,
    LayerMap,
    layer_map,
    shown_at_once,
    slice_in_view,
)

if TYPE_CHECKING:
    from napari.components import Dims

ANNOTATION_LAYERS = (Labels, Points, Shapes)
KINDS: tuple[AnnotationKind, ...] = ("box", "mask", "scribble", "point")
"""Dense before sparse, and the less exact first."""
CLASS_FEATURE = "class"
"""Column of a layer's features that holds the class of each point or shape."""


@dataclass(frozen=True, eq=False)
class Annotation:
    """An annotation layer, and whether its unmarked pixels are unknown rather than background.

    `sparse` tells scribbles from masks in a Labels layer; points and shapes speak for themselves.
    """

    layer: Labels | Points | Shapes
    sparse: bool = False


def references_from_layers(
    image: Image,
    annotations: Iterable[Annotation],
    dims: Dims,
    *,
    axes: str | None = None,
    channels: Sequence[int] | None = None,
    point_radius: float | None = None,
    required: bool = True,
) -> list[Reference]:
    """One reference for each annotated frame and class.

    All that is drawn of a class on a frame counts together, so that no drawing makes background of
    what another one marks; the kind is the least exact of the dense ones, if any is dense.

    Parameters
    ----------
    image : Image
    annotations : iterable of Annotation
        Their layers may have other transforms, units and numbers of axes than the image.
    dims : Dims
        The viewer's: what has fewer axes than the image lies on the slice in view.
    axes : str, optional
        Letters of the image's axes; the likeliest unless given.
    channels : sequence of int, optional
        Channels that the references show; all unless given.
    point_radius : float, optional
        Brush radius of points in pixels of the image; 1 % of the shorter side unless given.
    required : bool
        Whether it is a mistake to have drawn nothing.

    Returns
    -------
    list of Reference
        Ascending in frame and class.

    Raises
    ------
    InputError
        If nothing is drawn, something lies outside the image, a class is no whole number, or a
        Labels layer numbers objects.
    """
    frames = frames_of(image, axes, channels)
    read = functools.cache(frames.__getitem__)
    found: dict[tuple[int, int], Reference] = {}
    for annotation in annotations:
        target = _Target(image, frames, annotation.layer, dims)
        for reference in _references(annotation, target, read, point_radius):
            key = (int(reference.frame or 0), reference.class_id)
            found[key] = _united(found[key], reference) if key in found else reference
    if not found and required:
        raise InputError(
            f"There is no annotation yet: mark the class on a frame of '{image.name}' in a Labels, "
            "Points or Shapes layer, and tick that layer."
        )
    return [found[key] for key in sorted(found)]


class _Target:
    """The image as seen from one annotation layer."""

    def __init__(
        self, image: Image, frames: Frames, layer: Labels | Points | Shapes, dims: Dims
    ) -> None:
        self.frames = frames
        if shown_at_once(image, dims, range(image.ndim - layer.ndim)):
            raise InputError(
                f"'{layer.name}' has fewer axes than '{image.name}', so it lies on the frame in "
                "view, and the viewer shows many at once: go back to the 2-D display."
            )
        self.map: LayerMap = layer_map(layer, image, dims)
        self.names = f"'{layer.name}'", f"'{image.name}'"
        # A layer with more axes than the image counts where it is in view.
        self.hidden = max(layer.ndim - image.ndim, 0)
        self.view: Coordinates = np.asarray(layer.world_to_data(slice_in_view(layer, dims)))
        self._stacked = [axis in "TZ" for axis in frames.axes[: image.ndim - 2]]

    def in_view(self, vertices: Coordinates) -> bool:
        """Whether a drawing lies on the slice in view of the axes that the image lacks."""
        distance = abs(vertices[:, : self.hidden] - self.view[: self.hidden])
        return bool((distance <= 0.5).all())

    def frame(self, positions: Coordinates) -> int:
        """Index of the one frame that mapped positions of shape (N, ndim) lie on."""
        lead = positions[:, :-2][:, self._stacked]
        centre = lead.mean(axis=0)
        if (abs(lead - centre) > 0.5).any():
            raise InputError(f"A shape in {self.names[0]} spans several frames: draw it on one.")
        at = np.floor(centre + 0.5).astype(int)
        if (at < 0).any() or (at >= self.frames.lead_shape).any():
            raise self.outside()
        return self.frames.index(at.tolist())

    def outside(self) -> InputError:
        layer, image = self.names
        return InputError(
            f"An annotation in {layer} lies outside the image {image}: draw it on it."
        )


def _references(
    annotation: Annotation,
    target: _Target,
    read: Callable[[int], NDArray[Any]],
    point_radius: float | None,
) -> Iterator[Reference]:
    layer = annotation.layer
    if isinstance(layer, Labels):
        kind: AnnotationKind = "scribble" if annotation.sparse else "mask"
        for frame, labels in _label_frames(layer, target, sparse=annotation.sparse):
            yield from references_from_labels(labels, read(frame), kind=kind, frame=frame)
        return
    shape = target.frames.frame_shape
    if isinstance(layer, Points):
        for (frame, class_id), points in _grouped_points(layer, target).items():
            mask = points_to_mask(points, shape, radius=point_radius)
            yield Reference(read(frame), mask, class_id, "point", frame)
        return
    drawn = zip(layer.data, layer.shape_type, layer.edge_width, class_ids(layer), strict=True)
    for vertices, shape_type, width, class_id in drawn:
        if target.in_view(vertices):
            positions = target.map(vertices)
            frame = target.frame(positions)
            width_on_image = width * target.map.magnification
            mask, kind = shape_to_mask(shape_type, positions[:, -2:], shape, width=width_on_image)
            yield Reference(read(frame), mask, class_id, kind, frame)


def is_lazy(layer: Labels | Points | Shapes) -> bool:
    """Whether labels have to be read, or computed, each time that they are looked at."""
    return isinstance(layer, Labels) and not isinstance(_finest(layer), np.ndarray)


def _finest(layer: Labels) -> Any:
    return layer.data[0] if layer.multiscale else layer.data


def _grouped_points(layer: Points, target: _Target) -> dict[tuple[int, int], Coordinates]:
    """Points by frame and class: (row, column) each, shape (N, 2)."""
    groups: dict[tuple[int, int], list[Coordinates]] = {}
    for point, class_id in zip(layer.data, class_ids(layer), strict=True):
        if target.in_view(point[None]):
            position = target.map(point[None])
            groups.setdefault((target.frame(position), class_id), []).append(position[0, -2:])
    return {key: np.stack(points) for key, points in groups.items()}


def _label_frames(
    layer: Labels, target: _Target, *, sparse: bool
) -> Iterator[tuple[int, NDArray[Any]]]:
    """Index of each annotated frame, and its labels at the frame's size."""
    data = _finest(layer)
    *lead_shape, height, width = data.shape
    if target.map.tilts((height, width)):
        layer_name, image_name = target.names
        raise InputError(
            f"{layer_name} is tilted against the frames of {image_name}: give both layers the same "
            "rotation, shear and affine."
        )
    in_view = np.round(target.view[: target.hidden]).astype(int).tolist()
    merged: dict[int, NDArray[Any]] = {}
    class_ids: set[int] = set()
    for rest in np.ndindex(*lead_shape[target.hidden :]):
        lead = (*in_view, *rest)
        plane = np.asarray(data[lead])
        if plane.any():
            # Before any mask is made: masks of many objects on many frames would fill the memory.
            class_ids |= labels_in(plane)
            check_class_count(class_ids)
            labels = _resampled(plane, lead, target, sparse=sparse)
            if not labels.any():
                raise target.outside()
            frame = target.frame(target.map([(*lead, height / 2, width / 2)]))
            # Planes finer than the image's frames fall together.
            merged[frame] = np.where(labels, labels, merged.get(frame, 0))
    yield from merged.items()


def _resampled(
    plane: NDArray[Any], lead: Sequence[int], target: _Target, *, sparse: bool
) -> NDArray[Any]:
    """A plane of labels on the pixels of the image, by nearest neighbour."""
    matrix, offset = target.map.in_plane, target.map((*lead, 0, 0))[-2:]
    shape = target.frames.frame_shape
    if plane.shape == shape and np.allclose(matrix, np.eye(2)) and np.allclose(offset, 0):
        return plane
    inverse = np.linalg.inv(matrix)
    labels: NDArray[Any] = ndimage.affine_transform(
        plane, inverse, offset=-inverse @ offset, output_shape=shape, order=0, cval=0
    )
    if sparse:
        # Looking up one label a pixel would tear strokes that are thinner than a pixel.
        marked = np.argwhere(plane)
        pixels = np.floor(marked @ matrix.T + offset + 0.5).astype(int)
        inside = ((pixels >= 0) & (pixels < shape)).all(axis=1)
        labels[tuple(pixels[inside].T)] = plane[tuple(marked[inside].T)]
    return labels


def class_ids(layer: Points | Shapes) -> list[int]:
    """Class of each point or shape: its feature "class" where it has one, else 1."""
    if CLASS_FEATURE not in layer.features:
        return [1] * len(layer.data)
    return [class_number(value, layer.name) for value in layer.features[CLASS_FEATURE]]


def class_number(value: Any, layer_name: str) -> int:
    """A value of the feature "class" as a class; 1 where it is missing.

    Raises
    ------
    InputError
        If it is no whole number from 1.
    """
    if value is None or value == "" or value != value:  # NaN: drawn before the column was made
        return 1
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = 0.0
    if number < 1 or not number.is_integer():
        raise InputError(
            f"'{layer_name}' has the class {value!r}: its feature '{CLASS_FEATURE}' takes whole "
            "numbers from 1."
        )
    return int(number)


def _united(first: Reference, second: Reference) -> Reference:
    mask = np.maximum(first.mask, second.mask)
    kind = min(first.kind, second.kind, key=KINDS.index)
    return Reference(first.image, mask, first.class_id, kind, first.frame)
