"""References from Labels layers, and questions about their values."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from napari.layers import Labels
from numpy.typing import NDArray
from scipy import ndimage

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
from napari_vrp_sam.annotations.reference import AnnotationKind, Reference
from napari_vrp_sam.errors import InputError
from napari_vrp_sam.plugin.layers.annotated.target import ImageTarget
from napari_vrp_sam.plugin.layers.metadata import KIND_STATED, get_metadata, label_meaning
from napari_vrp_sam.plugin.layers.stacks import stack_data

QUESTION_FIXES: dict[Topic, str] = {
    "objects": "say in the panel whether they are one class",
    "strokes": "say in the panel whether they are strokes",
    "spill": "erase them, or say in the panel whether all objects are labelled",
    "view": "paint on the frames, or say in the panel that they are strokes",
    "void": "say in the panel what {value} means",
    "negative": "say in the panel what {value} means",
    "full": "say in the panel what {value} means",
    "count": "give all objects of a class the same label, or say in the panel that they are one "
    "class",
}
"""Ends of the questions about a Labels layer; `plugin/inputs/label_question.py` has buttons."""


class LayerQuestion(LabelQuestion):
    """Question about the values of a Labels layer."""

    def __init__(self, question: LabelQuestion, layer: Labels) -> None:
        super().__init__(question.topic, question.finding, question.value)
        self.args = (question.text(f"The labels of '{layer.name}'", QUESTION_FIXES),)
        self.layer = layer


def label_references(
    layer: Labels,
    kind: AnnotationKind,
    target: ImageTarget,
    read_frame: Callable[[int], NDArray[Any]],
) -> Iterator[Reference]:
    """Yield the references of a Labels layer.

    Raises
    ------
    InputError
        If the layer is tilted against the image.
    LayerQuestion
        If the user has to say what its values mean.
    """
    try:
        yield from _label_references(layer, kind, target, read_frame)
    except LabelQuestion as question:
        raise LayerQuestion(question, layer) from None


def _label_references(
    layer: Labels,
    kind: AnnotationKind,
    target: ImageTarget,
    read_frame: Callable[[int], NDArray[Any]],
) -> Iterator[Reference]:
    meaning = label_meaning(layer)
    labelled = _label_frames(layer, target, sparse=kind == "scribble")
    stated = kind != "mask" or get_metadata(layer, KIND_STATED)
    check_label_meaning(
        labelled,
        read_frame,
        kind=kind if stated else None,
        spots=layer.n_edit_dimensions > 2,
        **meaning._asdict(),
    )
    for frame, labels in labelled.items():
        # "Not this" is a class of its own here, because it applies to all layers of the frame.
        if labels_in(labels) - {meaning.ignore}:
            yield from references_from_labels(
                labels, read_frame(frame), kind=kind, frame=frame, ignore=meaning.ignore
            )


def _label_frames(layer: Labels, target: ImageTarget, *, sparse: bool) -> dict[int, NDArray[Any]]:
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
            frame = target.frame(target.map([(*lead, height / 2, width / 2)]))
            if frame is None or not labels.any():
                target.unused["outside"] += 1
                continue
            target.used += 1
            # Several planes of the layer may lie on one frame.
            merged[frame] = np.where(labels, labels, merged.get(frame, 0))
    return merged


def _resample(
    plane: NDArray[Any], lead: Sequence[int], target: ImageTarget, *, sparse: bool
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
