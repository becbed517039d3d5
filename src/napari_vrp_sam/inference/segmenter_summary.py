"""Content of a segmenter's file at a glance: classes, model, a thumbnail; without its model."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_vrp_sam.annotations.reference import AnnotationKind, Reference
from napari_vrp_sam.errors import InputError, reason
from napari_vrp_sam.inference.normalisation import Normalisation

KIND = "napari-vrp-sam segmenter"
VERSION = 1
THUMBNAIL = "thumbnail"
"""Name of the thumbnail among the arrays of a file."""
THUMBNAIL_SIDE = 128
MARK = np.array([230, 159, 0], np.float32)
"""Colour of annotated pixels in a thumbnail."""


@dataclass(frozen=True, eq=False)
class SegmenterSummary:
    """Description of a saved segmenter.

    Attributes
    ----------
    path : Path
    model : str
        Name of the model, or path of its file.
    classes : dict of int to str
        Names of the annotated classes: those of the file, or "class 1", ...
    kinds : tuple of str
        Kinds of annotation.
    references : int
        Number of annotated images.
    channels : int
        Number of channels that an image needs.
    contrast_limits : tuple of tuple of float
        Intensities of each channel that are mapped to 0 and 1.
    expected_iou : dict of int to float or None
        Expected IoU of each class, where it was estimated.
    settings : dict
        The other settings, as `Segmenter` takes them.
    saved : datetime
        When the file was written, in UTC.
    thumbnail : ndarray of uint8, shape (Y, X, 3), optional
        The first annotated image in gray or colours, with the annotation; None in files of earlier
        versions.
    """

    path: Path
    model: str
    classes: dict[int, str]
    kinds: tuple[AnnotationKind, ...]
    references: int
    channels: int
    contrast_limits: tuple[tuple[float, float], ...]
    expected_iou: dict[int, float | None]
    settings: dict[str, Any]
    saved: datetime
    thumbnail: NDArray[np.uint8] | None


def segmenter_summary(path: str | os.PathLike[str]) -> SegmenterSummary:
    """Return what a file of `Segmenter.save` contains; its images are not read.

    Parameters
    ----------
    path : path

    Raises
    ------
    InputError
        If the file does not exist, is damaged or was written by a newer version.

    Examples
    --------
    >>> segmenter_summary("nuclei.segmenter").classes  # doctest: +SKIP
    {1: 'nucleus'}
    """
    with open_segmenter(path) as (described, file):
        references: Sequence[Mapping[str, Any]] = described["references"]
        names = described.get("class_names") or {}
        class_ids = sorted({int(one["class_id"]) for one in references})
        limits = Normalisation.from_json(described["normalisation"])
        known = {"version", "model", "weights", "normalisation", "references", "expected_iou"}
        expected = described["expected_iou"]
        return SegmenterSummary(
            Path(path),
            str(described["model"]),
            {one: str(names.get(str(one)) or f"class {one}") for one in class_ids},
            tuple(dict.fromkeys(one["kind"] for one in references)),
            len({_image(number, one) for number, one in enumerate(references)}),
            len(limits.low),
            tuple(zip(limits.low, limits.high, strict=True)),
            {one: expected.get(str(one)) for one in class_ids},
            {
                name: value
                for name, value in described.items()
                if name not in known | {"class_names"} and value is not None
            },
            datetime.fromtimestamp(Path(path).stat().st_mtime, UTC),
            file.get_tensor(THUMBNAIL) if THUMBNAIL in file.keys() else None,  # noqa: SIM118
        )


@contextmanager
def open_segmenter(path: str | os.PathLike[str]) -> Iterator[tuple[dict[str, Any], Any]]:
    """Open a file of `Segmenter.save`, and yield its description and the open safetensors file.

    Raises
    ------
    InputError
        If the file does not exist, is damaged or was written by a newer version.
    """
    from safetensors import safe_open

    try:
        with safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
            if metadata.get("kind") != KIND:
                raise InputError(f"{path} is not a segmenter: choose a file of `Segmenter.save`.")
            described = json.loads(metadata["segmenter"])
            if described["version"] > VERSION:
                raise InputError(f"{path} was written by a newer version: update napari-vrp-sam.")
            yield described, file
    except FileNotFoundError:
        raise InputError(f"{path} does not exist: check the path.") from None
    except InputError:
        raise
    except Exception as error:  # damaged files raise exceptions of any type
        raise InputError(
            f"{path} is damaged ({reason(error)}): fit and save the segmenter again."
        ) from error


def make_thumbnail(reference: Reference, normalisation: Normalisation) -> NDArray[np.uint8]:
    """Return a small picture of an annotated image, shape (Y, X, 3), with its annotation."""
    height, width = reference.mask.shape
    step = max(1, -(-max(height, width) // THUMBNAIL_SIDE))
    planes = normalisation.apply(np.asarray(reference.image)[::step, ::step])
    picture = np.clip(np.nan_to_num(np.moveaxis(planes, 0, -1)), 0, 1) * 255
    # The largest value of each block, so that thin strokes and points stay visible.
    padded = np.zeros((-(-height // step) * step, -(-width // step) * step), np.float32)
    padded[:height, :width] = reference.mask
    blocks = padded.reshape(padded.shape[0] // step, step, padded.shape[1] // step, step)
    marked = blocks.max(axis=(1, 3))[..., None] > 0.5
    shown = np.where(marked, 0.4 * picture + 0.6 * MARK, picture)
    return np.ascontiguousarray(shown, np.uint8)  # as files and pictures need it


def _image(number: int, reference: Mapping[str, Any]) -> tuple[str, int]:
    """Return what identifies the image of a reference: its frame, or it is an image of its own."""
    frame = reference["frame"]
    return ("image", number) if frame is None else ("frame", int(frame))
