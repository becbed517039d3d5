"""Labkit: strokes of named labels, as lists of pixels."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from napari_vrp_sam.errors import InputError
from napari_vrp_sam.io.references.annotations import Drawing, StoredAnnotations
from napari_vrp_sam.io.references.classes import number_classes
from napari_vrp_sam.io.references.reading import Request


def is_labkit(content: Any) -> bool:
    """Return whether parsed JSON is a labeling of Labkit."""
    return isinstance(content, Mapping) and isinstance(content.get("labels"), Mapping)


def read_labkit(content: Any, request: Request) -> StoredAnnotations:
    """Read the pixels of each label: (x, y) or (x, y, z or t). "background" is not a class."""
    stack = request.stack
    labels = content["labels"]
    classes = number_classes(labels)
    drawings = []
    for points, of in zip(labels.values(), classes.found, strict=True):
        if of is None or not points:
            continue
        pixels = np.asarray(points, int)
        lead = len(stack.lead_shape)
        if pixels.shape[1] not in (2, 2 + lead):
            raise InputError(
                f"{request.path} has {pixels.shape[1]} axes, but the stack has {2 + lead}: give "
                "the stack that was annotated."
            )
        # ImageJ's order is x, y, z, t; frames are counted along T, then Z.
        places = pixels[:, :1:-1]
        for place in np.unique(places, axis=0):
            chosen = pixels[(places == place).all(axis=1)]
            at = dict(zip(stack.lead_axes, map(int, place), strict=False))
            mask = np.zeros(stack.frame_shape, np.bool_)
            inside = ((chosen[:, 1::-1] >= 0) & (chosen[:, 1::-1] < mask.shape)).all(axis=1)
            mask[chosen[inside, 1], chosen[inside, 0]] = True
            frame = stack.frame_at(**at) if at else stack.frame_at()
            drawings.append(Drawing("mask", (), of.class_id, frame, of.role, mask=mask))
    return StoredAnnotations(
        drawings=tuple(drawings),
        class_names=classes.names,
        notes=classes.notes,
        kind="scribble",
    )
