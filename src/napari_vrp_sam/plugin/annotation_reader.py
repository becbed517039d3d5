"""Reader of annotation files of other programs: layers on the chosen image."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import napari
import numpy as np
from napari.layers import Image
from napari.utils.notifications import show_info, show_warning
from numpy.typing import NDArray

from napari_vrp_sam.errors import InputError
from napari_vrp_sam.inference.frames import Frames
from napari_vrp_sam.inference.references.drawn import read_reference
from napari_vrp_sam.io.references.annotations import Drawing, StoredAnnotations
from napari_vrp_sam.io.references.reading import find_annotation_reader
from napari_vrp_sam.plugin.layers.annotations import KIND_KEY
from napari_vrp_sam.plugin.layers.belonging import ANNOTATION_OF, user_images
from napari_vrp_sam.plugin.layers.calibration import image_metadata, image_source
from napari_vrp_sam.plugin.layers.frame_view import frame_in_view
from napari_vrp_sam.plugin.layers.metadata import (
    BACKGROUND_LABEL,
    CLASS_FEATURE,
    METADATA_KEY,
    ONE_CLASS_KEY,
)
from napari_vrp_sam.plugin.layers.stacks import frames_of, placement, spread_over_channels

LayerTuple = tuple[Any, dict[str, Any], str]

NOTHING: list[Any] = [(None,)]
"""Tells napari that the path was read but has no layers."""


def annotation_reader(path: Any) -> Callable[[Any], list[Any]] | None:
    """Return a napari reader if the path is a file of an annotation program."""
    if isinstance(path, list) or not Path(path).is_file():
        return None
    viewer = napari.current_viewer()
    if Path(path).suffix.lower() in (".h5", ".hdf5") and not (viewer and user_images(viewer)):
        return None  # without an image to belong to, it is an image itself
    # Label images are read by napari itself.
    return _read if find_annotation_reader(Path(path)).priority < 100 else None


def annotation_layers(path: Path, image: Image, viewer: napari.viewer.Viewer) -> list[LayerTuple]:
    """Return the layers of an annotation file, placed on an image.

    Drawings that do not say their frame are placed on the frame in view.

    Raises
    ------
    InputError
        If the file cannot be read, or does not belong to the image.
    """
    frames = frames_of(image)
    stored = read_reference(
        path, frames, image=image_source(image), metadata=image_metadata(image, frames.axes)
    )
    if stored.notes:
        show_info(" ".join(stored.notes))
    metadata: dict[str, Any] = {ANNOTATION_OF: image.unique_id}
    if any(drawing.role == "background" for drawing in stored.drawings):
        metadata["background"] = BACKGROUND_LABEL
    if stored.kind is not None:
        metadata[KIND_KEY] = stored.kind
    if stored.one_class is not None:
        metadata[ONE_CLASS_KEY] = stored.one_class
    common = {"name": path.stem, "metadata": {METADATA_KEY: metadata}}
    in_view = frame_in_view(image, frames, viewer.dims) or 0
    return [
        (data, {**common, **options, **_place(image, getattr(data, "ndim", None), kind)}, kind)
        for data, options, kind in _layers(stored, image, frames, in_view)
    ]


def _read(path: Any) -> list[Any]:
    viewer = napari.current_viewer()
    images = [] if viewer is None else user_images(viewer)
    if viewer is None or not images:
        show_warning(f"{Path(path).name} annotates an image: open the image first.")
        return NOTHING
    active = viewer.layers.selection.active
    try:
        return annotation_layers(Path(path), active if active in images else images[-1], viewer)
    except InputError as error:
        show_warning(str(error))
        return NOTHING


def _layers(
    stored: StoredAnnotations, image: Image, frames: Frames, in_view: int
) -> Iterable[LayerTuple]:
    if stored.labels is not None:
        labels = np.asarray(stored.labels)
        if labels.shape == frames.label_shape:
            labels = spread_over_channels(labels, frames.axes, frames.shape)
        yield labels, {}, "labels"
    drawings: dict[str, list[Drawing]] = defaultdict(list)
    for drawing in stored.drawings:
        if drawing.role != "ignored":
            kind = {"mask": "labels", "point": "points"}.get(drawing.shape, "shapes")
            drawings[kind].append(drawing)
    if masks := drawings["labels"]:
        labels = np.zeros(frames.label_shape, np.uint8)
        for drawing in masks:
            assert drawing.mask is not None
            plane = labels[frames.position(in_view if drawing.frame is None else drawing.frame)]
            height, width = np.minimum(drawing.mask.shape, plane.shape)
            plane[:height, :width][drawing.mask[:height, :width]] = _value(drawing)
        yield spread_over_channels(labels, frames.axes, frames.shape), {}, "labels"
    for kind in ("shapes", "points"):
        found = drawings[kind]
        if not found:
            continue
        features = {CLASS_FEATURE: [_value(drawing) for drawing in found]}
        data: Any = [_on_image(_path(d), d.frame, image, frames, in_view) for d in found]
        if kind == "points":
            yield np.concatenate(data), {"features": features}, kind
        else:
            options = {
                "features": features,
                "shape_type": [drawing.shape for drawing in found],
                "edge_width": [drawing.width for drawing in found],
                "face_color": "transparent",
            }
            yield data, options, kind


def _value(drawing: Drawing) -> int:
    return BACKGROUND_LABEL if drawing.role == "background" else drawing.class_id


def _path(drawing: Drawing) -> NDArray[np.float64]:
    """Return the vertices of a drawing; a polygon with holes becomes one path through all rings."""
    outline, *holes = drawing.rings
    if not holes:
        return outline
    rings = [np.vstack([ring, ring[:1]]) for ring in drawing.rings]
    bridges = [rings[0]] + [np.vstack([ring, rings[0][:1]]) for ring in rings[1:]]
    return np.vstack(bridges)


def _on_image(
    points: NDArray[np.float64], frame: int | None, image: Image, frames: Frames, in_view: int
) -> NDArray[np.float64]:
    """Return (row, column) as coordinates of an image layer."""
    position = iter(frames.position(in_view if frame is None else frame))
    lead = [next(position) if axis in "TZ" else 0 for axis in frames.axes[: image.ndim - 2]]
    return np.hstack([np.tile(np.array(lead, np.float64), (len(points), 1)), points])


def _place(image: Image, ndim: int | None, kind: str) -> dict[str, Any]:
    """Return the transform of the image; of a label image of one frame, that of the last axes."""
    place = placement(image)
    if kind != "labels" or ndim == image.ndim:
        return place
    return {
        "scale": image.scale[-2:],
        "translate": image.translate[-2:],
        "units": image.units[-2:],
        "axis_labels": image.axis_labels[-2:],
    }
