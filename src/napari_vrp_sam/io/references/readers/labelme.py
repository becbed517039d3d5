"""Labelme: shapes on one image."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from napari_vrp_sam.io.references.annotations import Drawing, StoredAnnotations
from napari_vrp_sam.io.references.classes import ClassOf, number_classes
from napari_vrp_sam.io.references.geometries import corner_to_centre
from napari_vrp_sam.io.references.reading import Request

SHAPES: Mapping[str, Any] = {
    "polygon": "polygon",
    "line": "path",
    "linestrip": "path",
    "point": "point",
    "points": "point",
}


def is_labelme(content: Any) -> bool:
    """Return whether parsed JSON is a file of Labelme."""
    return isinstance(content, Mapping) and "shapes" in content


def read_labelme(content: Any, request: Request) -> StoredAnnotations:
    """Read the shapes of a file of Labelme; the frame is that of its image's name, if any."""
    stack = request.stack
    name = Path(str(content.get("imagePath", "")).replace("\\", "/")).stem
    frame = stack.frame_names.index(name) if name in stack.frame_names else stack.frame_at()
    shapes = content["shapes"]
    classes = number_classes(shape.get("label") for shape in shapes)
    drawings = [
        drawing
        for shape, of in zip(shapes, classes.found, strict=True)
        if of is not None
        for drawing in _drawings(shape, of, frame, stack.frame_shape)
    ]
    return StoredAnnotations(
        drawings=tuple(drawings), class_names=classes.names, notes=classes.notes
    )


def _drawings(
    shape: Mapping[str, Any], of: ClassOf, frame: int | None, size: tuple[int, int]
) -> list[Drawing]:
    points = corner_to_centre(np.asarray(shape["points"], np.float64))
    kind = shape.get("shape_type") or "polygon"
    if kind == "mask":  # a picture in the box of two pixels, which belong to it
        picture = np.asarray(Image.open(io.BytesIO(base64.b64decode(shape["mask"])))) > 0
        top, left = np.floor(points.min(axis=0) + 0.5).astype(int)
        mask = np.zeros(size, np.bool_)
        target = mask[top : top + picture.shape[0], left : left + picture.shape[1]]
        target[...] = picture[: target.shape[0], : target.shape[1]]
        return [Drawing("mask", (), of.class_id, frame, of.role, mask=mask)]
    if kind == "circle":
        radius = float(np.hypot(*(points[1] - points[0])))
        steps = radius * np.array([(-1, -1), (-1, 1), (1, 1), (1, -1)])
        return [Drawing("ellipse", (points[0] + steps,), of.class_id, frame, of.role)]
    if kind == "rectangle":
        (top, left), (bottom, right) = points[0], points[1]
        box = np.array([(top, left), (top, right), (bottom, right), (bottom, left)])
        return [Drawing("rectangle", (box,), of.class_id, frame, of.role)]
    if kind in ("point", "points"):
        return [Drawing("point", (point[None],), of.class_id, frame, of.role) for point in points]
    return [Drawing(SHAPES.get(kind, "polygon"), (points,), of.class_id, frame, of.role)]
