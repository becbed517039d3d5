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

from napari_vrp_sam.annotations.reference import MERGE_ORDER, AnnotationKind, Reference
from napari_vrp_sam.errors import InputError
from napari_vrp_sam.plugin.layers.annotated.drawings import point_references, shape_references
from napari_vrp_sam.plugin.layers.annotated.labels import label_references
from napari_vrp_sam.plugin.layers.annotated.target import ImageTarget
from napari_vrp_sam.plugin.layers.metadata import background_label
from napari_vrp_sam.plugin.layers.stacks import frames_of, stack_data

ANNOTATION_LAYERS = (Labels, Points, Shapes)
KIND_KEY = "annotation kind"
"""Metadata key of the kind of annotation of a layer from a session."""


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


class NothingDrawn(InputError):  # noqa: N818 # no mistake: the user is about to draw
    """Error: the ticked layers contain no annotation, or no layer is ticked."""


def references_from_layers(
    image: Image,
    annotations: Iterable[Annotation],
    dims: Dims,
    *,
    axes: str | None = None,
    channels: Sequence[int] | None = None,
    point_radius: float | None = None,
    required: bool = True,
    report: Callable[[str], None] | None = None,
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
    report : callable, optional
        Called once with sentences about annotations that are not used: hidden points, shapes
        outside the image, and clicks that left a shape without size; "" if all are used.

    Returns
    -------
    list of Reference
        Sorted by frame and class.

    Raises
    ------
    NothingDrawn
        If nothing is annotated.
    InputError
        If all annotations of a layer lie outside the image, a shape spans several frames, or a
        class is not a positive integer.
    LayerQuestion
        If the user has to say what the values of a Labels layer mean.
    """
    frames = frames_of(image, axes, channels)
    read_frame = functools.cache(frames.__getitem__)
    found: dict[tuple[int, int], Reference] = {}
    negative: dict[int, NDArray[np.bool_]] = {}
    notes: list[str] = []
    layers = []
    for annotation in annotations:
        layers.append(annotation.layer)
        target = ImageTarget(image, frames, annotation.layer, dims)
        background = background_label(annotation.layer)
        for reference in _references(annotation, target, read_frame, point_radius):
            frame = int(reference.frame or 0)
            key = frame, reference.class_id
            if reference.class_id == background:
                negative[frame] = negative.get(frame, False) | (reference.mask > 0)
            else:
                found[key] = _merge(found[key], reference) if key in found else reference
        noun = "shape" if isinstance(annotation.layer, Shapes) else "point"
        noun = "annotated frame" if isinstance(annotation.layer, Labels) else noun
        notes += target.notes(noun)
    _add_negative(found, negative, read_frame)
    if report is not None:
        report(" ".join(notes))
    if not found and required:
        start = f"{' '.join(notes)} Mark" if notes else "There is no annotation yet: mark"
        raise NothingDrawn(f"{start} the class on a frame of '{image.name}' in {_where(layers)}.")
    return [found[key] for key in sorted(found)]


def _where(layers: Sequence[Labels | Points | Shapes]) -> str:
    if not layers:
        return "a Labels, Points or Shapes layer, and tick that layer"
    return f"'{layers[0].name}'" if len(layers) == 1 else "one of the ticked layers"


def _references(
    annotation: Annotation,
    target: ImageTarget,
    read_frame: Callable[[int], NDArray[Any]],
    point_radius: float | None,
) -> Iterator[Reference]:
    layer = annotation.layer
    if isinstance(layer, Labels):
        return label_references(layer, annotation.kind, target, read_frame)
    if isinstance(layer, Points):
        return point_references(layer, target, read_frame, point_radius)
    return shape_references(layer, annotation.kind, target, read_frame)


def is_lazy(layer: Labels | Points | Shapes) -> bool:
    """Return True if the labels of a layer are read or computed on each access."""
    return isinstance(layer, Labels) and not isinstance(stack_data(layer), np.ndarray)


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
