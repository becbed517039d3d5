"""ImageJ ROIs: a .zip for the ROI Manager of ImageJ and Fiji."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_vrp_sam.files import atomic
from napari_vrp_sam.io.exports.labelled_stack import LabelledStack, Region
from napari_vrp_sam.io.exports.options import ExportOptions

MOVE, LINE, CLOSE = 0.0, 1.0, 4.0
"""Segments of the path of a composite ROI, numbered as in Java."""


def write_rois(path: Path, stack: LabelledStack, options: ExportOptions) -> None:
    """Write a ROI for each region, at its position in Z and T, in the group of its class.

    A region without holes is a polygon, another one a composite ROI.

    Raises
    ------
    InputError
        If the file cannot be written.
    """
    with atomic(path) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as file:
        for number, region in enumerate(stack.regions(), 1):
            name = f"{number:05}_{stack.class_name(region.class_id)}_{region.object_id}"
            roi = _roi(region, name.replace("/", "-"), options.tolerance)
            file.writestr(f"{roi.name}.roi", roi.tobytes())


def _roi(region: Region, name: str, tolerance: float) -> Any:
    from roifile import ROI_TYPE, ImagejRoi

    rings = _rings(region, tolerance)
    points = np.concatenate(rings)
    roi = ImagejRoi.frompoints(
        points, name=name, t=region.position.get("T"), z=region.position.get("Z")
    )
    roi.roitype = ROI_TYPE.POLYGON
    # Without the position in a hyperstack, ImageJ needs that in a plain stack.
    if len(region.position) == 1:
        roi.position = next(iter(region.position.values())) + 1
    roi.group = region.class_id if region.class_id <= 255 else 0
    if len(rings) > 1:
        roi.roitype = ROI_TYPE.RECT
        roi.multi_coordinates = np.concatenate([_path(ring) for ring in rings])
        roi.shape_roi_size = len(roi.multi_coordinates)
        roi.n_coordinates = 0
        roi.integer_coordinates = roi.subpixel_coordinates = None
    return roi


def _rings(region: Region, tolerance: float) -> list[NDArray[np.float32]]:
    """Return the outlines of a region and its holes as x and y, from the corner of the frame."""
    from skimage.measure import approximate_polygon, find_contours

    contours = find_contours(np.pad(region.mask.astype(np.float32), 1), 0.5)
    rings = []
    for contour in contours:
        points = approximate_polygon(contour, tolerance) if tolerance else contour
        # Of the padded mask, pixel centres; ImageJ counts from the corners of pixels.
        shifted = points[:-1] - 1 + 0.5 + (region.top, region.left)
        rings.append(shifted[:, ::-1].astype(np.float32))
    return rings


def _path(ring: NDArray[np.float32]) -> NDArray[np.float32]:
    steps = np.full((len(ring), 1), LINE, np.float32)
    steps[0] = MOVE
    return np.append(np.hstack([steps, ring]).ravel(), np.float32(CLOSE))
