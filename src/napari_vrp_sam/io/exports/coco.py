"""COCO JSON: instance masks for training and annotation tools."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from napari_vrp_sam.files import atomic
from napari_vrp_sam.io.exports.labelled_stack import LabelledStack, Region
from napari_vrp_sam.io.exports.options import ExportOptions
from napari_vrp_sam.io.optional import require


def write_coco(path: Path, stack: LabelledStack, _options: ExportOptions) -> None:
    """Write all regions as instances of COCO: run-length encoded masks, exact and with holes.

    There is an image for each frame, with its index along T and Z, and a category for each class.
    Ids of images start at 1. The id of an object through the stack is its `track_id`.

    Raises
    ------
    InputError
        If pycocotools is missing, or the file cannot be written.
    """
    require("pycocotools", "coco", "COCO files")
    height, width = stack.frame_shape
    suffix = "" if stack.frame_names and Path(stack.frame_names[0]).suffix else ".png"
    images = [
        {
            "id": index + 1,
            "file_name": stack.frame_name(index) + suffix,
            "height": height,
            "width": width,
            **{axis.lower(): at for axis, at in stack.position(index).items()},
        }
        for index in range(len(stack))
    ]
    annotations = [
        _annotation(number, region, stack.frame_shape)
        for number, region in enumerate(stack.regions(), 1)
    ]
    class_ids = sorted({*stack.class_names, *(one["category_id"] for one in annotations)})
    content = {
        "info": {"description": stack.name},
        "images": images,
        "annotations": annotations,
        "categories": [{"id": c, "name": stack.class_name(c)} for c in class_ids],
    }
    with atomic(path) as temporary:
        temporary.write_text(json.dumps(content), encoding="utf-8")


def _annotation(number: int, region: Region, shape: tuple[int, int]) -> dict[str, Any]:
    from pycocotools import mask as coco_mask

    height, width = region.mask.shape
    whole = np.zeros(shape, np.uint8, order="F")
    whole[region.top : region.top + height, region.left : region.left + width] = region.mask
    encoded = coco_mask.encode(whole)
    annotation = {
        "id": number,
        "image_id": region.frame + 1,
        "category_id": region.class_id,
        "segmentation": {"size": list(shape), "counts": encoded["counts"].decode("ascii")},
        "area": int(region.mask.sum()),
        "bbox": [region.left, region.top, width, height],
        "iscrowd": 0,
        "track_id": region.object_id,
    }
    return annotation if region.score is None else {**annotation, "score": float(region.score)}
