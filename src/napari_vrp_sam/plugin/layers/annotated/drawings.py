"""References from Points and Shapes layers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from napari.layers import Points, Shapes
from numpy.typing import NDArray

from napari_vrp_sam.annotations.geometry import OutsideFrameError, points_to_mask
from napari_vrp_sam.annotations.reference import AnnotationKind, Reference
from napari_vrp_sam.io.references.annotations import Drawing
from napari_vrp_sam.io.references.rasterise import draw
from napari_vrp_sam.plugin.layers.annotated.target import ImageTarget
from napari_vrp_sam.plugin.layers.metadata import feature_class_ids
from napari_vrp_sam.plugin.layers.transforms import Coordinates

ReadFrame = Callable[[int], NDArray[Any]]

SMALLEST_SIZE = 0.5
"""Size in pixels of the image below which a shape is the trace of a click."""


def point_references(
    layer: Points, target: ImageTarget, read_frame: ReadFrame, radius: float | None
) -> Iterator[Reference]:
    """Yield a reference for the shown points of each frame and class."""
    groups: dict[tuple[int, int], list[Coordinates]] = {}
    shown = np.broadcast_to(layer.shown, len(layer.data))
    for point, class_id, visible in zip(layer.data, feature_class_ids(layer), shown, strict=True):
        if not target.in_view(point[None]):
            continue
        position = target.map(point[None])
        if not visible:
            target.unused["hidden"] += 1
            continue
        frame = target.frame(position)
        pixel = np.round(position[0, -2:])
        if frame is None or not ((pixel >= 0) & (pixel < target.frames.frame_shape)).all():
            target.unused["outside"] += 1
            continue
        target.used += 1
        groups.setdefault((frame, class_id), []).append(position[0, -2:])
    for (frame, class_id), points in groups.items():
        mask = points_to_mask(np.stack(points), target.frames.frame_shape, radius=radius)
        yield Reference(read_frame(frame), mask, class_id, "point", frame)


def shape_references(
    layer: Shapes, kind: AnnotationKind, target: ImageTarget, read_frame: ReadFrame
) -> Iterator[Reference]:
    """Yield a reference for the shapes of each frame, class and kind.

    Raises
    ------
    InputError
        If a shape lies on several frames.
    """
    found: dict[tuple[int, int, AnnotationKind], NDArray[np.bool_]] = {}
    shapes = zip(
        layer.data, layer.shape_type, layer.edge_width, feature_class_ids(layer), strict=True
    )
    for vertices, shape_type, edge_width, class_id in shapes:
        if not target.in_view(vertices):
            continue
        positions = target.map(vertices)
        frame = target.frame(positions)
        if _is_click(shape_type, positions[:, -2:]):
            target.unused["without size"] += 1
            continue
        drawing = Drawing(
            "path" if shape_type == "line" else shape_type,
            (np.asarray(positions[:, -2:], np.float64),),
            width=edge_width * target.map.magnification,
        )
        try:
            if frame is None:
                raise OutsideFrameError
            place, mask, drawn_as = draw(drawing, target.frames.frame_shape)
        except OutsideFrameError:
            target.unused["outside"] += 1
            continue
        target.used += 1
        key = frame, class_id, kind if drawn_as == "mask" else drawn_as
        if key not in found:
            found[key] = np.zeros(target.frames.frame_shape, np.bool_)
        found[key][place] |= mask
    for (frame, class_id, drawn_as), mask in found.items():
        yield Reference(read_frame(frame), mask.astype(np.float32), class_id, drawn_as, frame)


def _is_click(shape_type: str, corners: Coordinates) -> bool:
    """Return True for a line without length, or another shape without height or width."""
    sides = np.ptp(corners, axis=0)
    size = sides.max() if shape_type in ("line", "path") else sides.min()
    return bool(size < SMALLEST_SIZE)
