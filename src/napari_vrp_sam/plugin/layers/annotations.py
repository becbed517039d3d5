"""Conversion of annotation layers to references on the frames of an image layer."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from napari.components import Dims
from napari.layers import Image, Labels, Points, Shapes
from numpy.typing import NDArray
from scipy import ndimage

from napari_vrp_sam.annotations.geometry import points_to_mask, shape_to_mask
from napari_vrp_sam.annotations.label_questions import (
    LabelQuestion,
    Topic,
    check_label_meaning,
    labels_in,
)
from napari_vrp_sam.annotations.labels import (
    check_class_count,
    merge_classes,
    references_from_labels,
)
from napari_vrp_sam.annotations.reference import MERGE_ORDER, AnnotationKind, Reference
from napari_vrp_sam.errors import InputError
from napari_vrp_sam.inference.frames import Frames
from napari_vrp_sam.plugin.layers.metadata import (
    KIND_STATED,
    background_label,
    feature_class_ids,
    get_metadata,
    label_meaning,
)
from napari_vrp_sam.plugin.layers.stacks import frames_of, stack_data
from napari_vrp_sam.plugin.layers.transforms import (
    Coordinates,
    displays_any_axis,
    layer_map,
    slice_in_view,
)

ANNOTATION_LAYERS = (Labels, Points, Shapes)
KIND_KEY = "annotation kind"
"""Metadata key of the kind of annotation of a layer from a session."""

QUESTION_FIXES: dict[Topic, str] = {
    "objects": "answer below whether they are one class",
    "strokes": "answer below whether they are strokes",
    "spill": "erase them, or answer below whether all objects are labelled",
    "void": "answer below what {value} means",
    "negative": "answer below what {value} means",
    "count": "give all objects of a class the same label, or answer below that they are one class",
}
"""Ends of the questions about a Labels layer; `plugin/inputs/label_question.py` has buttons."""


class LayerQuestion(LabelQuestion):
    """Question about the values of a Labels layer."""

    def __init__(self, question: LabelQuestion, layer: Labels) -> None:
        super().__init__(question.topic, question.finding, question.value)
        self.args = (question.text(f"The labels of '{layer.name}'", QUESTION_FIXES),)
        self.layer = layer


@dataclass(frozen=True, eq=False)
class Annotation:
    """An annotation layer.

    Attributes
    ----------
    layer : Labels, Points or Shapes
    kind : {"mask", "partial", "scribble"}
        Kind of the labels of a Labels layer, and of the polygons and ellipses of a Shapes layer,
        which are not scribbles.
    """

    layer: Labels | Points | Shapes
    kind: AnnotationKind = "mask"


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
    """Return one reference for each annotated frame and class.

    All annotations of a class on a frame are merged, so that the background of one does not
    override another. The kind of the merged reference is the first of `MERGE_ORDER`. Pixels that
    are marked as "Not this" are negative for all classes, also on frames without other marks.

    Parameters
    ----------
    image : Image
    annotations : iterable of Annotation
        Their layers may have other transforms, units and numbers of axes than the image.
    dims : Dims
        Dimensions of the viewer: layers with fewer axes than the image lie on the slice in view.
    axes : str, optional
        Axes of the image. Default: the most likely axes.
    channels : sequence of int, optional
        Channels of the references. Default: all.
    point_radius : float, optional
        Radius of points in pixels of the image. Default: 1 % of the shorter side of a frame.
    required : bool
        Raise an error if there are no annotations.

    Returns
    -------
    list of Reference
        Sorted by frame and class.

    Raises
    ------
    InputError
        If nothing is annotated, an annotation lies outside the image, a class is not a positive
        integer, or a Labels layer has too many classes.
    """
    frames = frames_of(image, axes, channels)
    read_frame = functools.cache(frames.__getitem__)
    found: dict[tuple[int, int], Reference] = {}
    negative: dict[int, NDArray[np.bool_]] = {}
    for annotation in annotations:
        target = _ImageTarget(image, frames, annotation.layer, dims)
        background = background_label(annotation.layer)
        for reference in _references(annotation, target, read_frame, point_radius):
            frame = int(reference.frame or 0)
            key = frame, reference.class_id
            if reference.class_id == background:
                negative[frame] = negative.get(frame, False) | (reference.mask > 0)
            else:
                found[key] = _merge(found[key], reference) if key in found else reference
    _add_negative(found, negative, read_frame)
    if not found and required:
        raise InputError(
            f"There is no annotation yet: mark the class on a frame of '{image.name}' in a Labels, "
            "Points or Shapes layer, and tick that layer."
        )
    return [found[key] for key in sorted(found)]


class _ImageTarget:
    """The image in relation to one annotation layer."""

    def __init__(
        self, image: Image, frames: Frames, layer: Labels | Points | Shapes, dims: Dims
    ) -> None:
        self.frames = frames
        if displays_any_axis(image, dims, range(image.ndim - layer.ndim)):
            raise InputError(
                f"'{layer.name}' has fewer axes than '{image.name}' and applies to the frame in "
                "view, but the viewer displays several frames: switch to the 2-D display."
            )
        self.map = layer_map(layer, image, dims)
        self.names = f"'{layer.name}'", f"'{image.name}'"
        # Along axes that the image lacks, only the slice in view of a layer is used.
        self.extra_axes = max(layer.ndim - image.ndim, 0)
        self.view: Coordinates = np.asarray(layer.world_to_data(slice_in_view(layer, dims)))
        self._stacked = [axis in "TZ" for axis in frames.axes[: image.ndim - 2]]

    def in_view(self, vertices: Coordinates) -> bool:
        """Return True if a drawing lies on the slice in view of the extra axes."""
        distance = abs(vertices[:, : self.extra_axes] - self.view[: self.extra_axes])
        return bool((distance <= 0.5).all())

    def frame(self, positions: Coordinates) -> int:
        """Return the index of the frame of mapped positions, shape (N, ndim)."""
        lead = positions[:, :-2][:, self._stacked]
        centre = lead.mean(axis=0)
        if (abs(lead - centre) > 0.5).any():
            raise InputError(
                f"A shape in {self.names[0]} spans several frames: draw it on one frame."
            )
        nearest = np.floor(centre + 0.5).astype(int)
        if (nearest < 0).any() or (nearest >= self.frames.lead_shape).any():
            raise self.outside_error()
        return self.frames.index(nearest.tolist())

    def outside_error(self) -> InputError:
        layer, image = self.names
        return InputError(
            f"An annotation in {layer} lies outside the image {image}: move it into the image, or "
            "delete it."
        )


def _references(
    annotation: Annotation,
    target: _ImageTarget,
    read_frame: Callable[[int], NDArray[Any]],
    point_radius: float | None,
) -> Iterator[Reference]:
    layer = annotation.layer
    if isinstance(layer, Labels):
        try:
            yield from _references_from_labels(layer, annotation.kind, target, read_frame)
        except LabelQuestion as question:
            raise LayerQuestion(question, layer) from None
        return
    shape = target.frames.frame_shape
    if isinstance(layer, Points):
        for (frame, class_id), points in _group_points(layer, target).items():
            mask = points_to_mask(points, shape, radius=point_radius)
            yield Reference(read_frame(frame), mask, class_id, "point", frame)
        return
    shapes = zip(
        layer.data, layer.shape_type, layer.edge_width, feature_class_ids(layer), strict=True
    )
    for vertices, shape_type, edge_width, class_id in shapes:
        if target.in_view(vertices):
            positions = target.map(vertices)
            frame = target.frame(positions)
            width = edge_width * target.map.magnification
            mask, kind = shape_to_mask(shape_type, positions[:, -2:], shape, width=width)
            kind = annotation.kind if kind == "mask" else kind
            yield Reference(read_frame(frame), mask, class_id, kind, frame)


def _references_from_labels(
    layer: Labels,
    kind: AnnotationKind,
    target: _ImageTarget,
    read_frame: Callable[[int], NDArray[Any]],
) -> Iterator[Reference]:
    meaning = label_meaning(layer)
    labelled = _label_frames(layer, target, sparse=kind == "scribble")
    stated = kind != "mask" or get_metadata(layer, KIND_STATED)
    check_label_meaning(labelled, read_frame, kind=kind if stated else None, **meaning._asdict())
    for frame, labels in labelled.items():
        # "Not this" is a class of its own here, because it applies to all layers of the frame.
        if labels_in(labels) - {meaning.ignore}:
            yield from references_from_labels(
                labels, read_frame(frame), kind=kind, frame=frame, ignore=meaning.ignore
            )


def is_lazy(layer: Labels | Points | Shapes) -> bool:
    """Return True if the labels of a layer are read or computed on each access."""
    return isinstance(layer, Labels) and not isinstance(stack_data(layer), np.ndarray)


def _group_points(layer: Points, target: _ImageTarget) -> dict[tuple[int, int], Coordinates]:
    """Return (row, column) of points, shape (N, 2), by frame and class."""
    groups: dict[tuple[int, int], list[Coordinates]] = {}
    for point, class_id in zip(layer.data, feature_class_ids(layer), strict=True):
        if target.in_view(point[None]):
            position = target.map(point[None])
            groups.setdefault((target.frame(position), class_id), []).append(position[0, -2:])
    return {key: np.stack(points) for key, points in groups.items()}


def _label_frames(layer: Labels, target: _ImageTarget, *, sparse: bool) -> dict[int, NDArray[Any]]:
    """Return the labels of each annotated frame, resampled to the image, by index."""
    data, meaning = stack_data(layer), label_meaning(layer)
    *lead_shape, height, width = data.shape
    if target.map.is_tilted((height, width)):
        layer_name, image_name = target.names
        raise InputError(
            f"{layer_name} is tilted against the frames of {image_name}: give both layers the same "
            "rotation, shear and affine."
        )
    in_view = np.round(target.view[: target.extra_axes]).astype(int).tolist()
    merged: dict[int, NDArray[Any]] = {}
    class_ids: set[int] = set()
    for rest in np.ndindex(*lead_shape[target.extra_axes :]):
        lead = (*in_view, *rest)
        plane = np.asarray(data[lead])
        if plane.any():
            # Checked before masks are made: masks of many objects could fill the memory.
            if meaning.one_class:
                plane = merge_classes(plane, (meaning.background, meaning.ignore))
            class_ids |= labels_in(plane) - {meaning.ignore}
            check_class_count(class_ids)
            labels = _resample(plane, lead, target, sparse=sparse)
            if not labels.any():
                raise target.outside_error()
            frame = target.frame(target.map([(*lead, height / 2, width / 2)]))
            # Several planes of the layer may lie on one frame.
            merged[frame] = np.where(labels, labels, merged.get(frame, 0))
    return merged


def _resample(
    plane: NDArray[Any], lead: Sequence[int], target: _ImageTarget, *, sparse: bool
) -> NDArray[Any]:
    """Resample a plane of labels to the pixels of the image by nearest neighbour."""
    matrix, offset = target.map.in_plane, target.map((*lead, 0, 0))[-2:]
    shape = target.frames.frame_shape
    if plane.shape == shape and np.allclose(matrix, np.eye(2)) and np.allclose(offset, 0):
        return plane
    inverse = np.linalg.inv(matrix)
    labels: NDArray[Any] = ndimage.affine_transform(
        plane, inverse, offset=-inverse @ offset, output_shape=shape, order=0, cval=0
    )
    if sparse:
        # Nearest neighbour breaks strokes that are thinner than a pixel of the image.
        marked = np.argwhere(plane)
        pixels = np.floor(marked @ matrix.T + offset + 0.5).astype(int)
        inside = ((pixels >= 0) & (pixels < shape)).all(axis=1)
        labels[tuple(pixels[inside].T)] = plane[tuple(marked[inside].T)]
    return labels


def _merge(first: Reference, second: Reference) -> Reference:
    mask = np.maximum(first.mask, second.mask)
    kind = min(first.kind, second.kind, key=MERGE_ORDER.index)
    unknown = [each.ignored for each in (first, second) if each.ignored is not None]
    ignored = np.any(unknown, axis=0) & (mask == 0) if unknown else None
    return Reference(first.image, mask, first.class_id, kind, first.frame, ignored)


def _add_negative(
    found: dict[tuple[int, int], Reference],
    negative: Mapping[int, NDArray[np.bool_]],
    read_frame: Callable[[int], NDArray[Any]],
) -> None:
    """Add the negative pixels of each frame to the references of all classes on it."""
    for class_id in {class_id for _, class_id in found}:
        for frame, pixels in negative.items():
            before = found.get((frame, class_id))
            if before is not None:
                found[frame, class_id] = replace(before, negative=pixels)
            else:
                unmarked = np.zeros(pixels.shape, np.float32)
                found[frame, class_id] = Reference(
                    read_frame(frame), unmarked, class_id, "partial", frame, negative=pixels
                )
