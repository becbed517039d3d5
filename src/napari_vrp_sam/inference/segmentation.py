"""`Segmentation`: the result of segmenting a stack."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable
from dataclasses import KW_ONLY, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_vrp_sam.annotations.labels import labels_dtype
from napari_vrp_sam.errors import InputError
from napari_vrp_sam.inference.frames import Frames
from napari_vrp_sam.inference.prediction.confidence import expected_ious, frame_confidence
from napari_vrp_sam.inference.relabelling.decision import DEFAULT_THRESHOLD
from napari_vrp_sam.inference.relabelling.levels import quantise
from napari_vrp_sam.inference.relabelling.relabel import (
    RelabelSettings,
    Threshold,
    relabel_frame,
)
from napari_vrp_sam.inference.runs.events import (
    Event,
    FrameResult,
    FrameResumed,
    FrameWritten,
    Learned,
    Progress,
)
from napari_vrp_sam.io.metadata import ImageMetadata
from napari_vrp_sam.models.calibration import LookAlikes

if TYPE_CHECKING:
    from napari_vrp_sam.inference.objects.find import Objects

ProgressCallback = Callable[[int, int, str], object]
"""Called with the frames done, the frames in total, and a message."""


@dataclass(frozen=True, eq=False)
class Segmentation:
    """Labels of a stack, and their confidence.

    Attributes
    ----------
    labels : array, shape of the leading axes + (Y, X)
        Class of each pixel, 0 for background, in the smallest unsigned dtype.
    class_ids : tuple of int
        The K classes, ascending.
    confidence : ndarray, shape of the leading axes + (K,), float32
        Expected IoU of each class on each frame; NaN where a class was not found or a frame was
        not segmented.
    expected_iou : dict of int to float or None
        Expected IoU of each class on frames that are not annotated: the mean of their confidence.
        If the class was not found on them, the estimate on held-out parts of the annotation; None
        if the annotation is too small for it.
    probabilities : ndarray, shape of the leading axes + (K, Y, X), float32, optional
        Probability of each class in each pixel, if requested; the classes do not exclude each
        other.
    axes : str
        One letter of T, Z, Y, X for each axis of the labels; empty if unknown.
    metadata : ImageMetadata
        Calibration and place of the segmented image, if it was given as a file.
    warnings : tuple of LookAlikes
        Masks that seem to be incomplete: unmarked objects look like the marked ones. Mark them,
        or fit with ``annotation_kind="partial"``.
    """

    labels: Any
    _: KW_ONLY
    class_ids: tuple[int, ...]
    confidence: NDArray[np.float32]
    expected_iou: dict[int, float | None]
    probabilities: NDArray[np.float32] | None = None
    warnings: tuple[LookAlikes, ...] = ()
    axes: str = ""
    metadata: ImageMetadata = field(default_factory=ImageMetadata)

    def relabel(
        self,
        threshold: Threshold = DEFAULT_THRESHOLD,
        *,
        min_size: int = 0,
        fill_holes: bool = False,
        smoothing: float = 0.0,
    ) -> Segmentation:
        """Return the segmentation with labels from the same probabilities by other settings.

        Nothing is segmented again. The confidence remains that of the run. Changes that were made
        to the labels are not kept.

        Parameters
        ----------
        threshold : float or mapping of int to float, default: 0.5
            Probability above which a pixel can belong to a class, for all classes or by class.
            Of several possible classes, a pixel gets the most probable one. Rounded to 1/256.
        min_size : int, default: 0
            Minimum size in pixels of a connected region of a class on a frame; smaller ones are
            removed.
        fill_holes : bool, default: False
            Fill holes of a class that contain no other class.
        smoothing : float, default: 0.0
            Standard deviation, in pixels, of the Gaussian filter that smooths the probabilities
            and thus the outlines.

        Returns
        -------
        Segmentation

        Raises
        ------
        InputError
            If there are no probabilities, no such class, or a value is out of range.

        Examples
        --------
        >>> from napari_vrp_sam import Segmenter
        >>> from napari_vrp_sam.io.samples import sample_stack
        >>> stack, truth = sample_stack(seed=0, size=96, frames=3)
        >>> segmenter = Segmenter("lite", device="cpu")
        >>> segmenter.fit(stack, truth[1], axes="ZYX", reference_frame=1)  # doctest: +ELLIPSIS
        <...Segmenter object at ...>
        >>> result = segmenter.predict(stack, probabilities=True)
        >>> larger = result.relabel(0.3, fill_holes=True)
        >>> bool((larger.labels > 0).sum() > (result.labels > 0).sum())
        True
        """
        if self.probabilities is None:
            raise InputError("There are no probabilities: predict with `probabilities=True`.")
        settings = RelabelSettings.of(
            threshold,
            self.class_ids,
            min_size=min_size,
            fill_holes=fill_holes,
            smoothing=smoothing,
        )
        lead = self.probabilities.shape[:-3]
        shape = *lead, *self.probabilities.shape[-2:]
        labels = np.zeros(shape, labels_dtype(self.class_ids))
        for at in np.ndindex(lead):
            levels = quantise(self.probabilities[at])
            labels[at] = relabel_frame(levels, self.class_ids, settings)
        return replace(self, labels=labels)

    def objects(self, image: Any = None, *, axes: str | None = None, **options: Any) -> Objects:
        """Split the classes into objects, link them through the stack, and measure them.

        Parameters
        ----------
        image : array, optional
            The segmented stack, to measure intensities on.
        axes : str, optional
            Axes of the image or, without an image, of the labels; see `objects_from_labels`.
        **options
            The other options of `objects_from_labels`, such as `linked` and `split_strength`.

        Returns
        -------
        Objects
            Their table includes the confidence of the frames.

        Raises
        ------
        InputError
            If the labels and the image do not fit, or an option is out of range.
        """
        from napari_vrp_sam.inference.objects.find import objects_from_labels

        known: dict[str, Any] = {
            "confidence": self._frame_confidence(), "metadata": self.metadata
        }  # fmt: skip
        options = known | options
        if image is None:
            axes = axes or self.axes or None
        return objects_from_labels(self.labels, image, axes=axes, **options)

    def export(self, path: str | os.PathLike[str], image: Any = None, **options: Any) -> None:
        """Write the labels in the format of another program, selected by the suffix of the path.

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

        known: dict[str, Any] = {"confidence": self._frame_confidence()}
        if image is None:
            known["axes"] = self.axes or None
        if image is None or hasattr(image, "shape"):
            known["metadata"] = self.metadata
        options = known | options
        export_labels(self.labels, path, image=image, **options)

    def _frame_confidence(self) -> dict[int, float]:
        """Return the confidence of the frames where it is known, by index."""
        of_frames = map(frame_confidence, self.confidence.reshape(-1, len(self.class_ids)))
        return {index: value for index, value in enumerate(of_frames) if value is not None}


def gather_segmentation(
    events: Iterable[Event],
    view: Frames,
    class_ids: tuple[int, ...],
    *,
    annotated: Collection[int] = (),
    output: Path | None = None,
    probabilities: bool = False,
    metadata: ImageMetadata | None = None,
    progress: ProgressCallback | None = None,
) -> Segmentation:
    """Collect the events of a run in a `Segmentation`.

    Parameters
    ----------
    events : iterable of Event
    view : Frames
        The segmented stack.
    class_ids : tuple of int
    annotated : collection of int
        Frames whose confidence says nothing about the others.
    output : Path, optional
        File or folder that the run writes the labels to; default: they are collected in memory.
    probabilities : bool, default: False
        Whether the events carry probabilities.
    metadata : ImageMetadata, optional
        Calibration and place of the image.
    progress : callable, optional
    """
    labels: Any = None
    if output is None:
        labels = np.zeros(view.label_shape, labels_dtype(class_ids))
    confidence = np.full((*view.lead_shape, len(class_ids)), np.nan, np.float32)
    shape = (*view.lead_shape, len(class_ids), *view.frame_shape)
    found = np.zeros(shape, np.float32) if probabilities else None
    held_out: dict[int, float | None] = dict.fromkeys(class_ids)
    of_frames: dict[int, dict[int, float]] = {}
    warnings: tuple[LookAlikes, ...] = ()
    for event in events:
        match event:
            case Progress(done, total, message):
                if progress is not None:
                    progress(done, total, message)
            case Learned(calibrations):
                held_out |= {c: calibrations[c].expected_iou for c in calibrations}
                found_alike = [calibrations[c].look_alikes for c in sorted(calibrations)]
                warnings = tuple(one for one in found_alike if one is not None)
            case FrameResult() | FrameWritten() | FrameResumed():
                at = view.position(event.index)
                if labels is not None and isinstance(event, FrameResult):
                    labels[at] = event.labels
                of_frames[event.index] = event.confidence
                confidence[at] = [event.confidence.get(c, np.nan) for c in class_ids]
                if found is not None and not isinstance(event, FrameResumed):
                    found[at] = event.probabilities
    if output is not None:
        from napari_vrp_sam.io.images.stacks import read_labels

        labels = read_labels(output, axes=view.label_axes)
    return Segmentation(
        labels,
        class_ids=class_ids,
        confidence=confidence,
        expected_iou=expected_ious(held_out, of_frames, annotated),
        probabilities=found,
        warnings=warnings,
        axes=view.label_axes,
        metadata=metadata or ImageMetadata(),
    )
