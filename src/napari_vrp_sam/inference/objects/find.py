"""Objects of a segmented stack: split, linked through the stack, and measured."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_vrp_sam.annotations.labels import check_labels_dtype
from napari_vrp_sam.errors import InputError
from napari_vrp_sam.inference.frames import Frames
from napari_vrp_sam.inference.objects.instances import split_instances
from napari_vrp_sam.inference.objects.linking import LinkedObjects, link_stack
from napari_vrp_sam.inference.objects.table import measure_objects, object_table

if TYPE_CHECKING:
    import pandas as pd

Report = Callable[[int, int, str], object]
"""Called with the steps done, the steps in total, and a message; may raise to stop the work."""


@dataclass(frozen=True)
class ObjectSettings:
    """Settings for finding objects.

    Attributes
    ----------
    linked : bool
        Whether objects keep their id through Z and T.
    divisions : bool
        Whether linked objects may divide through T into two with a known parent.
    split : bool
        Whether to split touching objects at their necks.
    min_size : int
        Minimum size in pixels on a frame; smaller objects are removed.
    """

    linked: bool = False
    divisions: bool = False
    split: bool = True
    min_size: int = 0


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
        mean `area` on them in pixels, its `volume` in voxels (mean over time points), both also in
        physical units if these are known; `mean_intensity` of each channel; its centre `z`, `y`,
        `x` in pixels; the mean `confidence` of its frames; and, if any object divided, its
        `parent` (0 for none).
    """

    labels: NDArray[np.unsignedinteger]
    table: pd.DataFrame


def find_objects(
    labels: Any,
    image: Any = None,
    *,
    axes: str | None = None,
    channels: Sequence[int] | None = None,
    settings: ObjectSettings = ObjectSettings(),  # frozen
    confidence: Mapping[int, float] | None = None,
    spacing: Mapping[str, float] | None = None,
    unit: str = "",
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
    steps = _Steps(report, dict(zip(axes, frames.label_shape, strict=True)), settings)

    # 32 bits until all objects are counted.
    ids = np.zeros(frames.label_shape, np.uint32)
    classes = []
    count = 0
    for index in range(len(frames)):
        steps(f"Objects on frame {index + 1} of {len(frames)}")
        found = split_instances(
            frames[index][..., 0], split=settings.split, min_size=settings.min_size
        )
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
    return Objects(ids, object_table(seen, known, spacing=spacing or {}, unit=unit))


def objects_from_labels(
    labels: Any,
    image: Any = None,
    *,
    axes: str | None = None,
    channels: Sequence[int] | None = None,
    linked: bool = False,
    divisions: bool = False,
    split: bool = True,
    min_size: int = 0,
    confidence: Mapping[int, float] | None = None,
    spacing: Mapping[str, float] | None = None,
    unit: str = "",
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
    split : bool
        Split touching objects at their necks; otherwise, each connected region is one object.
    min_size : int
        Minimum size in pixels on a frame; smaller objects are removed.
    confidence : mapping of int to float, optional
        Confidence of frames, by index.
    spacing : mapping of str to float, optional
        Size of a pixel along the axes Y, X and Z, in `unit`.
    unit : str
        Unit of `spacing`, for example "um".
    progress : callable, optional
        Called with the steps done, the steps in total, and a message.

    Returns
    -------
    Objects
        `labels` with an id for each object, and `table`.

    Raises
    ------
    InputError
        If labels and image do not fit, or there is nothing to link.

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
    return find_objects(
        labels if hasattr(labels, "dtype") else np.asarray(labels),
        image,
        axes=axes,
        channels=channels,
        settings=ObjectSettings(linked, divisions, split, min_size),
        confidence=confidence,
        spacing=spacing,
        unit=unit,
        report=progress or (lambda _done, _total, _message: None),
    )


class _Steps:
    """Count the frames that are read, linked and measured."""

    def __init__(self, report: Report, sizes: dict[str, int], settings: ObjectSettings) -> None:
        self._report = report
        self._done = 0
        times, planes = sizes.get("T", 1), sizes.get("Z", 1)
        self._total = 2 * times * planes
        if settings.linked:
            # First along Z, then along T.
            self._total += times * planes + (times if len(sizes) == 4 else 0)

    def __call__(self, message: str) -> None:
        self._report(self._done, self._total, message)
        self._done += 1


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


def check_settings(settings: ObjectSettings, axes: str) -> None:
    """Check that the settings fit labels with these axes.

    Raises
    ------
    InputError
        If there is nothing to link, or no time axis to divide along.
    """
    if settings.linked and axes == "YX":
        raise InputError("A single frame has nothing to link: turn linking off.")
    if settings.divisions and not (settings.linked and "T" in axes):
        raise InputError("Divisions need linked objects and the time axis T: link a time series.")
    if settings.min_size < 0:
        raise InputError(f"The minimum size is {settings.min_size} pixels: give 0 or more.")
