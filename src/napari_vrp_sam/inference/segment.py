"""A whole stack segmented by annotations: `segment_stack`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_vrp_sam.annotations.labels import class_ids_of, labels_dtype
from napari_vrp_sam.annotations.reference import AnnotationKind
from napari_vrp_sam.inference.frames import Frames
from napari_vrp_sam.inference.references import gather_references
from napari_vrp_sam.inference.runs.control import Control
from napari_vrp_sam.inference.runs.events import FrameResult, Progress
from napari_vrp_sam.inference.runs.segmentation_job import SegmentationJob

if TYPE_CHECKING:
    from napari_vrp_sam.models.base import Model
    from napari_vrp_sam.models.vrp.pseudo_mask import PseudoMaskKind


def segment_stack(
    stack: Any,
    annotations: Any,
    *,
    axes: str | None = None,
    channels: Sequence[int] | None = None,
    frame: int | Sequence[int] | None = None,
    kind: AnnotationKind = "mask",
    model: str | Path | Model = "lite",
    device: str = "auto",
    frames: tuple[int | None, int | None] | None = None,
    contrast_limits: tuple[float, float] | None = None,
    pseudo_mask: PseudoMaskKind | None = None,
    tile_size: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> NDArray[Any]:
    """Segment a class on every frame of a stack after annotating it on one.

    Parameters
    ----------
    stack : array
        NumPy, dask, zarr or xarray; frames are read one by one.
    annotations : integer array or sequence of Reference
        Label image of the stack (every frame with a non-zero label is a reference) or of one
        frame; the label value is the class. Or references that were made before.
    axes : str, optional
        One letter of T, Z, C, Y, X, S for each axis of `stack`, e.g. "TZYX"; guessed unless given.
    channels : sequence of int, optional
        Channels to use; all unless given, of which the first three count.
    frame : int or sequence of int, optional
        The annotated frame: its index, or its position along the leading axes, from 0.
    kind : {"mask", "scribble", "box", "point"}
        How a label image was drawn; "scribble" tells that unmarked pixels are unknown.
    model : str, Path or Model
        Name of a model, a file, or what `load_model` returned.
    device : str
        "cpu", "cuda", "mps", or "auto" for the fastest one that is there.
    frames : tuple of int, optional
        Segment only frames from the first number up to, not including, the second; others stay 0.
    contrast_limits : tuple of float, optional
        Intensities that become black and white; percentiles of the stack unless given.
    pseudo_mask : {"probe", "correlation"}, optional
        How the first guess of a target is made, see `load_model`; a loaded model keeps its own way.
    tile_size : int, optional
        Longest side in pixels that is seen at once, 2048 unless given; larger frames are segmented
        in overlapping tiles.
    progress : callable, optional
        Called with (frames done, frames to do).

    Returns
    -------
    ndarray, shape of the leading axes + (Y, X)
        Class of each pixel in the smallest unsigned dtype, 0 is background.

    Raises
    ------
    InputError
        If stack and annotations cannot be used together; the sentence says what to mend.

    Examples
    --------
    >>> labels = segment_stack(stack, annotation, frame=12)  # doctest: +SKIP
    """
    view = Frames(stack, axes, channels)
    job = SegmentationJob(
        stack,
        references=gather_references(view, annotations, frame=frame, kind=kind),
        axes=view.axes,
        channels=channels,
        model=model,
        device=device,
        frames=frames,
        contrast_limits=contrast_limits,
        pseudo_mask=pseudo_mask,
        tile_size=tile_size,
    )
    labels = np.zeros(view.label_shape, labels_dtype(class_ids_of(job.references)))
    for event in job.events(Control()):
        if isinstance(event, FrameResult):
            labels[view.position(event.index)] = event.labels
        elif isinstance(event, Progress) and event.done and progress:
            progress(event.done, event.total)
    return labels
