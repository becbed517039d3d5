"""Objects of a segmented stack: split, linked through the stack, and measured."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_vrp_sam.annotations.labels import check_labels_dtype
from napari_vrp_sam.errors import InputError
from napari_vrp_sam.inference.frames import Frames
from napari_vrp_sam.inference.objects.instances import (
    sampled_frames,
    split_instances,
    typical_sizes,
)
from napari_vrp_sam.inference.objects.linking import LinkedObjects, link_stack
from napari_vrp_sam.inference.objects.settings import (
    SMOOTHING,
    SPLIT_STRENGTH,
    MinSize,
    ObjectSettings,
    check_settings,
)
from napari_vrp_sam.inference.objects.steps import Report, Steps
from napari_vrp_sam.inference.objects.table import measure_objects, object_table
from napari_vrp_sam.io.metadata import ImageMetadata

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, eq=False)
class Objects:
    """Objects of a stack and their table.

    Attributes
    ----------
    labels : ndarray, shape of the leading axes + (Y, X)
        Id of each pixel's object, 1 to N through the whole stack, in the smallest unsigned dtype;
        0 is background.
    table : DataFrame
        One row per object: `index` (its id, under the name that napari expects), `class`;
        `first_t`, `last_t`, `first_z`, `last_z` for the existing axes; its number of `frames`, its
        mean `area` on them in pixels, its `volume` in voxels (mean over time points); its centre
        `z`, `y`, `x` in pixels; `mean_intensity` of each channel; the same in physical units if
        these are known, such as `area_um2` and `x_um`; for objects linked over time, the
        `path_length` and, if times are known, the speed; the mean `confidence` of its frames; and,
        if any object divided, its `parent` (0 for none).
    """

    labels: NDArray[np.unsignedinteger]
    table: pd.DataFrame

    def export(self, path: str | os.PathLike[str], image: Any = None, **options: Any) -> None:
        """Write the objects in the format of another program, selected by the suffix of the path.

        Parameters
        ----------
        path : path
        image : array, path or StoredImage, optional
            The segmented stack: pictures need it, and its file tells calibration and place.
        **options
            The other options of `export_labels`, such as `class_names` and `tolerance`.

        Raises
        ------
        InputError
            If the format is unknown, or the file cannot be written.
        """
        from napari_vrp_sam.inference.exporting import export_labels

        export_labels(self.labels, path, image=image, table=self.table, **options)


def find_objects(
    labels: Any,
    image: Any = None,
    *,
    axes: str | None = None,
    channels: Sequence[int] | None = None,
    settings: ObjectSettings = ObjectSettings(),
    confidence: Mapping[int, float] | None = None,
    metadata: ImageMetadata | None = None,
    report: Report = lambda _done, _total, _message: None,
) -> Objects:
    """Split, link and measure objects; only one frame of the image is in memory at a time.

    Parameters are those of `objects_from_labels`, and

    settings : ObjectSettings
    report : callable
        Called with the steps done, the steps in total, and a message; may raise to stop the work.

    Raises
    ------
    InputError
        If labels and image do not fit, or there is nothing to link.
    """
    view = None if image is None else Frames(image, axes, channels)
    frames, axes = _label_frames(labels, view, axes)
    check_settings(settings, axes)
    sample = sampled_frames(len(frames))
    sizes = dict(zip(axes, frames.label_shape, strict=True))
    steps = Steps(report, sizes, linked=settings.linked, sampled=len(sample))

    def sampled() -> Iterator[NDArray[np.integer]]:
        for index in sample:
            steps("Estimating the size of objects")
            yield frames[index][..., 0]

    typical = typical_sizes(sampled(), settings)

    # 32 bits until all objects are counted.
    ids = np.zeros(frames.label_shape, np.uint32)
    classes = []
    count = 0
    for index in range(len(frames)):
        steps(f"Objects on frame {index + 1} of {len(frames)}")
        found = split_instances(frames[index][..., 0], settings, typical)
        classes.append(found.classes)
        # Numbered through the whole stack here, or later by the linking.
        offset = 0 if settings.linked else count
        ids[frames.position(index)] = np.where(found.labels > 0, found.labels + offset, 0)
        count += len(found.classes) - 1
    if settings.linked:
        known = link_stack(
            ids,
            classes,
            axes,
            divisions=settings.divisions,
            step=lambda: steps("Linking objects"),
        )
    else:
        every = np.concatenate([np.zeros(1, np.int64), *(of_frame[1:] for of_frame in classes)])
        known = LinkedObjects(every, np.zeros_like(every))
    ids = ids.astype(np.min_scalar_type(len(known.classes) - 1))
    seen = measure_objects(
        ids,
        axes,
        image=view,
        confidence=confidence or {},
        step=lambda: steps("Measuring objects"),
    )
    table = object_table(
        seen, known, metadata=metadata, tracked=settings.linked, divisions=settings.divisions
    )
    return Objects(ids, table)


def objects_from_labels(
    labels: Any,
    image: Any = None,
    *,
    axes: str | None = None,
    channels: Sequence[int] | None = None,
    linked: bool = False,
    divisions: bool = False,
    split_strength: float = SPLIT_STRENGTH,
    min_size: MinSize = "auto",
    fill_holes: bool = True,
    smoothing: float = SMOOTHING,
    split: bool | None = None,
    confidence: Mapping[int, float] | None = None,
    spacing: Mapping[str, float] | None = None,
    unit: str = "",
    metadata: ImageMetadata | None = None,
    progress: Callable[[int, int, str], object] | None = None,
) -> Objects:
    """Split each class into objects, link them through the stack, and measure them.

    Parameters
    ----------
    labels : array of integers, shape of the leading axes + (Y, X)
        Class of each pixel, as `segment_stack` returns it; lazy arrays are read frame by frame.
    image : array, optional
        The segmented stack, to measure intensities on; read frame by frame.
    axes : str, optional
        One letter of T, Z, C, Y, X, S for each axis of the image or, without an image, of the
        labels; default for labels: YX, ZYX or TZYX.
    channels : sequence of int, optional
        Channels of the image to measure; default: all.
    linked : bool
        Give objects that overlap from frame to frame one id: bodies along Z, and tracks along T,
        which may skip one frame.
    divisions : bool
        Let linked objects divide through T: both daughters get new ids and a parent.
    split_strength : float
        How readily touching objects are split: 0 never (each connected region is one object), 1 at
        every neck.
    min_size : int or "auto"
        Minimum size in pixels on a frame; smaller objects are removed. "auto": a 20th of the
        typical object of the class, which is the median over a sample of the frames.
    fill_holes : bool
        Fill holes of up to a quarter of the object around them.
    smoothing : float
        Standard deviation, in pixels, of the Gaussian filter that smooths outlines; 0 for none.
    split : bool, optional
        Deprecated: use `split_strength`.
    confidence : mapping of int to float, optional
        Confidence of frames, by index.
    spacing : mapping of str to float, optional
        Size of a pixel along the axes Y, X and Z, in `unit`.
    unit : str
        Unit of `spacing`, for example "um".
    metadata : ImageMetadata, optional
        Calibration of the image, as `open_image` returns it, instead of `spacing` and `unit`: adds
        physical sizes and positions, and speeds of tracks.
    progress : callable, optional
        Called with the steps done, the steps in total, and a message.

    Returns
    -------
    Objects
        `labels` with an id for each object, and `table`.

    Raises
    ------
    InputError
        If labels and image do not fit, a setting is out of range, or there is nothing to link.

    Examples
    --------
    >>> labels = np.zeros((2, 32, 32), np.uint8)
    >>> labels[:, 4:9, 4:9] = 1
    >>> labels[1, 20:25, 20:25] = 2
    >>> objects = objects_from_labels(labels, axes="ZYX", linked=True)
    >>> objects.table[["index", "class", "frames", "volume"]].to_numpy().astype(int)
    array([[ 1,  1,  2, 50],
           [ 2,  2,  1, 25]])
    """
    if split is not None:
        warnings.warn(
            "The argument 'split' of objects_from_labels() will be removed in the next release; "
            "use 'split_strength', from 0 (never split) to 1.",
            DeprecationWarning,
            stacklevel=2,
        )
        split_strength = split_strength if split else 0.0
    return find_objects(
        labels if hasattr(labels, "dtype") else np.asarray(labels),
        image,
        axes=axes,
        channels=channels,
        settings=ObjectSettings(
            linked,
            divisions,
            split_strength=split_strength,
            min_size=min_size,
            fill_holes=fill_holes,
            smoothing=smoothing,
        ),
        confidence=confidence,
        metadata=metadata or _calibration(spacing or {}, unit),
        report=progress or (lambda _done, _total, _message: None),
    )


def _calibration(spacing: Mapping[str, float], unit: str) -> ImageMetadata:
    return ImageMetadata(spacing, dict.fromkeys(spacing, unit) if unit else {})


def _label_frames(labels: Any, image: Frames | None, axes: str | None) -> tuple[Frames, str]:
    """Return the labels as frames, and their axes."""
    check_labels_dtype(labels)
    shape = tuple(labels.shape)
    if image is None:
        axes = axes or "TZYX"[-len(shape) :]
    else:
        axes = image.label_axes
        if shape != image.label_shape:
            raise InputError(
                f"The labels have the shape {shape}, but the image needs {image.label_shape}: give "
                "the labels of this image."
            )
    frames = Frames(labels, axes)
    if "C" in frames.axes or "S" in frames.axes:
        raise InputError(
            f"Labels have no channels, but their axes are {frames.axes}: use letters of TZYX."
        )
    return frames, frames.label_axes
