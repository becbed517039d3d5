"""`export_labels`: labels in the formats of other programs."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_vrp_sam.errors import InputError
from napari_vrp_sam.inference.frames import Frames
from napari_vrp_sam.inference.normalisation import Normalisation, fit_normalisation
from napari_vrp_sam.io.exports.contact_sheet import to_rgb
from napari_vrp_sam.io.exports.export import export_format
from napari_vrp_sam.io.exports.labelled_stack import LabelledStack
from napari_vrp_sam.io.exports.options import ExportOptions
from napari_vrp_sam.io.exports.pictures import export_files
from napari_vrp_sam.io.metadata import ImageMetadata, StoredImage

if TYPE_CHECKING:
    import pandas as pd


def export_labels(
    labels: Any,
    path: str | os.PathLike[str],
    *,
    image: Any = None,
    axes: str | None = None,
    metadata: ImageMetadata | None = None,
    objects: bool = False,
    table: pd.DataFrame | None = None,
    class_names: Mapping[int, str] | None = None,
    confidence: Mapping[int, float] | None = None,
    tolerance: float = 0.0,
    frame_rate: float = 10.0,
    overwrite: bool = False,
) -> None:
    """Write labels in the format of another program, selected by the suffix of the path.

    TIFF (GeoTIFF for images with a place on a map), .ome.tif, .zarr, or a name in the folder
    `labels` of an OME-Zarr image; polygons as .gpkg or .geojson; COCO as .json; ROIs of ImageJ as
    .zip; frames with contours as .png, .mp4 or .gif; the table of objects as .csv or .parquet.

    Parameters
    ----------
    labels : array of integers, shape of the leading axes + (Y, X)
        Class of each pixel, as `segment_stack` returns it, or ids of objects, as
        `objects_from_labels` does; lazy arrays are read frame by frame.
    path : path
        File to write; pictures of several frames get numbers: NAME_0.png, ...
    image : array, path or StoredImage, optional
        The labelled image. Pictures need it; its file also tells calibration and place.
    axes : str, optional
        One letter of T, Z, C, Y, X, S for each axis of the image or, without an image, of the
        labels; default: those of the file, or for labels YX, ZYX or TZYX.
    metadata : ImageMetadata, optional
        Calibration and place of the image; default: those of `image`.
    objects : bool
        Whether labels number objects instead of classes.
    table : DataFrame, optional
        Table of the objects; labels are then their ids.
    class_names : mapping of int to str, optional
        Names of classes; default: "class 1", ...
    confidence : mapping of int to float, optional
        Confidence of frames, by index.
    tolerance : float
        Largest distance in pixels by which simplified polygons may differ from the exact outlines.
    frame_rate : float
        Frames of a video per second.
    overwrite : bool, default: False
        Replace existing files.

    Raises
    ------
    InputError
        If the format is unknown, something that it needs is missing, labels and image do not fit,
        or the file exists or cannot be written.

    Examples
    --------
    >>> labels = np.zeros((3, 32, 32), np.uint8)
    >>> labels[1, 4:9, 4:9] = 1
    >>> export_labels(labels, "/tmp/nuclei.zip", class_names={1: "nucleus"})  # doctest: +SKIP
    """
    path = Path(path)
    known = export_format(path)
    options = ExportOptions(tolerance, frame_rate)
    stack = labelled_stack(
        labels,
        image,
        axes=axes,
        metadata=metadata,
        objects=objects,
        table=table,
        class_names=class_names,
        confidence=confidence,
        pictures=known.needs == "image",
    )
    existing = [file for file in export_files(path, len(stack)) if file.exists()]
    if existing and not overwrite:
        raise InputError(
            f"{existing[0]} already exists: choose another path, or replace it (`overwrite=True`)."
        )
    known.write(path, stack, options)


def labelled_stack(
    labels: Any,
    image: Any = None,
    *,
    axes: str | None = None,
    metadata: ImageMetadata | None = None,
    objects: bool = False,
    table: pd.DataFrame | None = None,
    class_names: Mapping[int, str] | None = None,
    confidence: Mapping[int, float] | None = None,
    pictures: bool = False,
    contrast_limits: tuple[float, float] | None = None,
    name: str = "image",
) -> LabelledStack:
    """Return labels with their image as exports take them; see `export_labels`.

    Parameters
    ----------
    pictures : bool
        Whether pictures of the frames are needed.
    contrast_limits : tuple of float, optional
        Intensities of black and white; default: percentiles of the image.
    name : str
        Name of the image, if it is an array.

    Raises
    ------
    InputError
        If labels and image do not fit.
    """
    labels = labels if hasattr(labels, "dtype") else np.asarray(labels)
    names: Sequence[str] = ()
    if isinstance(image, str | os.PathLike):
        from napari_vrp_sam.io.images.opening import open_image
        from napari_vrp_sam.io.images.stacks import frame_files

        names = [file.name for file in frame_files(image)]
        name = Path(image).name.split(".")[0]
        image = open_image(image)
    if isinstance(image, StoredImage):
        axes, metadata = axes or image.axes, metadata or image.metadata
        image = image.data
    frames = None if image is None else Frames(image, axes)
    label_axes = frames.label_axes if frames else (axes or "TZYX"[-labels.ndim :])
    shape = tuple(int(size) for size in labels.shape)
    if frames is not None and shape != frames.label_shape:
        raise InputError(
            f"The labels have the shape {shape}, but the image needs {frames.label_shape}: give "
            "the labels of this image."
        )
    if len(label_axes) != len(shape) or not {*label_axes} <= {*"TZYX"}:
        raise InputError(
            f"The labels have the shape {shape}, but their axes are {label_axes}: name each axis "
            "with one of the letters TZYX."
        )
    classes, scores = _classes_and_scores(table, objects=objects)
    return LabelledStack(
        labels,
        label_axes,
        metadata or ImageMetadata(),
        classes=classes,
        class_names=dict(class_names or {}),
        scores=scores,
        confidence=dict(confidence or {}),
        frame_names=names if len(names) > 1 else (),
        name=name,
        pictures=RgbFrames.of(frames, contrast_limits) if frames and pictures else None,
        table=table,
    )


def _classes_and_scores(
    table: pd.DataFrame | None, *, objects: bool
) -> tuple[dict[int, int] | None, dict[int, float]]:
    if table is None:
        return ({} if objects else None), {}
    if not {"index", "class"} <= set(table):
        raise InputError(
            "The table of objects lacks the column index or class: give a table that was written "
            "by napari-vrp-sam."
        )
    ids = [int(number) for number in table["index"]]
    classes = dict(zip(ids, map(int, table["class"]), strict=True))
    if "confidence" not in table:
        return classes, {}
    scores = zip(ids, map(float, table["confidence"]), strict=True)
    return classes, {number: score for number, score in scores if score == score}


@dataclass(frozen=True, eq=False)
class RgbFrames:
    """Frames as RGB pictures: one channel in gray, of several the first three as colours."""

    frames: Frames
    normalisation: Normalisation

    @classmethod
    def of(cls, frames: Frames, limits: tuple[float, float] | None) -> RgbFrames:
        """Return the pictures of frames with given contrast limits, or with fitted ones."""
        return cls(frames, fit_normalisation(frames, limits))

    def __getitem__(self, index: int) -> NDArray[np.uint8]:
        frame = np.ma.filled(np.ma.asarray(self.frames[index]).astype(np.float64), 0.0)
        channels = frame[..., : len(self.normalisation.low)]
        low, high = np.asarray(self.normalisation.low), np.asarray(self.normalisation.high)
        scaled = np.nan_to_num((channels - low) / np.maximum(high - low, 1e-9)).clip(0, 1) * 255
        if scaled.shape[-1] == 2:
            scaled = np.concatenate([scaled, np.zeros_like(scaled[..., :1])], axis=-1)
        return to_rgb(scaled)
