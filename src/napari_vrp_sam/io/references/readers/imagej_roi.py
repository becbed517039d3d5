"""ImageJ and Fiji: ROI files, and sets of them as ZIP files of the ROI Manager."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from napari_vrp_sam.errors import InputError
from napari_vrp_sam.io.references.annotations import (
    AnnotatedStack,
    Drawing,
    ShapeType,
    StoredAnnotations,
)
from napari_vrp_sam.io.references.geometries import corner_to_centre
from napari_vrp_sam.io.references.reading import AnnotationReader, Request


def _read(request: Request) -> StoredAnnotations:
    """Read regions; the group of a region is its class, and its position the frame."""
    from roifile import roiread

    found = roiread(request.path)
    rois = found if isinstance(found, list) else [found]
    drawings = [drawing for roi in rois for drawing in _drawings(roi, request.stack)]
    if not drawings:
        raise InputError(f"{request.path} holds no region with pixels: save regions or points.")
    return StoredAnnotations(drawings=tuple(drawings))


def _drawings(roi: Any, stack: AnnotatedStack) -> Iterator[Drawing]:
    from roifile import ROI_TYPE

    shapes: dict[Any, ShapeType] = {
        ROI_TYPE.RECT: "rectangle",
        ROI_TYPE.OVAL: "ellipse",
        ROI_TYPE.LINE: "path",
        ROI_TYPE.FREELINE: "path",
        ROI_TYPE.POLYLINE: "path",
        ROI_TYPE.POINT: "point",
        ROI_TYPE.POLYGON: "polygon",
        ROI_TYPE.FREEHAND: "polygon",
        ROI_TYPE.TRACED: "polygon",
    }
    class_id, frame = max(1, int(roi.group)), _frame(roi, stack)
    composite = roi.multi_coordinates is not None
    shape = "polygon" if composite else shapes.get(roi.roitype)
    paths = [np.asarray(path, np.float64) for path in roi.coordinates(multi=True)]
    paths = [path for path in paths if len(path)]
    if shape is None or not paths:  # text, arrows without pixels
        return
    if composite:
        yield Drawing("polygon", tuple(map(corner_to_centre, paths)), class_id, frame)
    elif shape in ("rectangle", "ellipse"):
        left, top, right, bottom = (float(v) for v in (roi.left, roi.top, roi.right, roi.bottom))
        if roi.subpixelrect:
            left, top = float(roi.xd), float(roi.yd)
            right, bottom = left + float(roi.widthd), top + float(roi.heightd)
        box = np.array([(left, top), (right, top), (right, bottom), (left, bottom)])
        yield Drawing(shape, (corner_to_centre(box),), class_id, frame)
    elif shape == "point":
        # Whole numbers name a pixel; fractions are a position in it.
        for point in np.floor(paths[0])[:, 1::-1]:
            yield Drawing("point", (point[None],), class_id, frame)
    else:
        width = max(1.0, float(roi.stroke_width))
        yield Drawing(shape, (corner_to_centre(paths[0]),), class_id, frame, width=width)


def _frame(roi: Any, stack: AnnotatedStack) -> int | None:
    """Return the frame of a region; positions count from 1, and 0 means all."""
    position = {"T": int(roi.t_position), "Z": int(roi.z_position)}
    at = {axis: value - 1 for axis, value in position.items() if value > 0}
    if not at and roi.position > 0 and len(stack.lead_axes) == 1:
        at = {stack.lead_axes: int(roi.position) - 1}
    elif len(at) == 1 and len(stack.lead_axes) == 1:
        at = {stack.lead_axes: next(iter(at.values()))}
    return stack.frame_at(**at)


def _recognises(path: Path, head: bytes) -> bool:
    if head.startswith(b"Iout"):
        return True
    if not head.startswith(b"PK") or path.suffix.lower() != ".zip":
        return False
    with zipfile.ZipFile(path) as archive:
        return any(name.lower().endswith(".roi") for name in archive.namelist())


READER = AnnotationReader("regions of ImageJ", "roifile", _recognises, _read)
