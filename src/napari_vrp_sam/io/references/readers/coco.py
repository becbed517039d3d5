"""COCO: polygons, run-length encodings and boxes of the objects on several images."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from napari_vrp_sam.errors import InputError
from napari_vrp_sam.io.references.annotations import Drawing, StoredAnnotations
from napari_vrp_sam.io.references.reading import Request
from napari_vrp_sam.io.references.run_lengths import decode_runs


def is_coco(content: Any) -> bool:
    """Return whether parsed JSON is a COCO file of instances."""
    return isinstance(content, Mapping) and {"images", "annotations"} <= set(content)


def read_coco(content: Any, request: Request) -> StoredAnnotations:
    """Read the objects on the images that are frames of the stack, by their file names.

    A file with a single image belongs to any stack. The ids of categories are class numbers if all
    are positive; otherwise, categories are numbered in their order.

    Raises
    ------
    InputError
        If no image is a frame of the stack.
    """
    frames = _frames(content["images"], request)
    sizes = {image["id"]: (image.get("height"), image.get("width")) for image in content["images"]}
    categories = {item["id"]: str(item["name"]) for item in content.get("categories", [])}
    as_stored = all(isinstance(key, int) and key > 0 for key in categories)
    numbers = {key: key if as_stored else n for n, key in enumerate(categories, start=1)}
    drawings = []
    for entry in content["annotations"]:
        if entry["image_id"] in frames:
            class_id = numbers.get(entry.get("category_id"), 1)
            height, width = sizes[entry["image_id"]]
            size = (height, width) if height and width else request.stack.frame_shape
            crowd = bool(entry.get("iscrowd"))
            drawings += _drawings(entry, size, class_id, frames[entry["image_id"]], crowd=crowd)
    if not drawings:
        raise InputError(f"{request.path} has no objects on the images of the stack: give another.")
    names = {numbers[key]: name for key, name in categories.items()}
    used = sorted({d.class_id for d in drawings} & set(names))
    note = "The classes are " + ", ".join(f"{number} {names[number]}" for number in used) + "."
    return StoredAnnotations(
        drawings=tuple(drawings), class_names=names, notes=(note,) if used else ()
    )


def _drawings(
    entry: Mapping[str, Any],
    size: tuple[int, int],
    class_id: int,
    frame: int | None,
    *,
    crowd: bool,
) -> list[Drawing]:
    role: Any = "ignored" if crowd else "class"
    segmentation = entry.get("segmentation")
    if isinstance(segmentation, Mapping):
        mask = decode_runs(segmentation, size)
        return [Drawing("mask", (), class_id, frame, role, mask=mask)]
    if segmentation:
        # Corners of pixels are counted from 0: the centre of the first pixel is at 0.5.
        polygons = [np.reshape(ring, (-1, 2))[:, ::-1] - 0.5 for ring in segmentation]
        return [Drawing("polygon", (ring,), class_id, frame, role) for ring in polygons]
    if "bbox" in entry:
        left, top, width, height = map(float, entry["bbox"])
        corners = [(top, left), (top, left + width), (top + height, left + width)]
        box = np.array([*corners, (top + height, left)]) - 0.5
        return [Drawing("rectangle", (box,), class_id, frame, role)]
    return []


def _frames(images: list[Mapping[str, Any]], request: Request) -> dict[Any, int | None]:
    """Return the index of the frame that each image shows; None if the user has to say it."""
    stack = request.stack
    places = {name: index for index, name in enumerate(stack.frame_names)}
    found = {image["id"]: places.get(_stem(image)) for image in images}
    known: dict[Any, int | None] = {key: at for key, at in found.items() if at is not None}
    if known:
        return known
    if len(images) > 1 and stack.path is not None:
        same = [image for image in images if _stem(image) == stack.path.stem]
        images = same or images
    if len(images) == 1:
        return {images[0]["id"]: stack.frame_at()}
    listed = ", ".join(str(image.get("file_name")) for image in images[:5])
    raise InputError(
        f"{request.path} annotates {len(images)} images ({listed}{', ...' * (len(images) > 5)}), "
        "but none has the name of a frame of the stack: give the folder of these images."
    )


def _stem(image: Mapping[str, Any]) -> str:
    return Path(str(image.get("file_name", "")).replace("\\", "/")).stem
