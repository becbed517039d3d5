"""What there is to do: a stack, its references, and how to segment it."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import KW_ONLY, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from napari_vrp_sam.annotations.labels import check_class_count
from napari_vrp_sam.annotations.reference import Reference
from napari_vrp_sam.errors import InputError
from napari_vrp_sam.inference.frames import Frames
from napari_vrp_sam.inference.job import Job
from napari_vrp_sam.inference.normalisation import Normalisation, fit_normalisation
from napari_vrp_sam.inference.prediction.tiling import check_tile

if TYPE_CHECKING:
    from napari_vrp_sam.models.base import Model
    from napari_vrp_sam.models.precision import Precision
    from napari_vrp_sam.models.sam.prompting import Prompting
    from napari_vrp_sam.models.vrp.pseudo_mask import PseudoMaskKind


@dataclass(frozen=True, eq=False)
class SegmentationJob(Job):
    """One segmentation of a stack.

    Attributes
    ----------
    data : array
        As `Frames` takes it.
    references : sequence of Reference
    axes : str, optional
        One letter of T, Z, C, Y, X, S for each axis of the data.
    channels : sequence of int, optional
    model : str, Path or Model
        A name of the registry, a file, or a loaded model.
    device : str
    frames : tuple of int, optional
        First frame and the one after the last, counted along the flattened leading axes; None
        stands for either end.
    settled : collection of int
        Frames whose labels are known and are to stay: they are not segmented.
    first_frame : int, optional
        The frame to begin with, if it is to be segmented at all; the one in view.
    probabilities : bool
        Whether the probabilities of the classes are wanted beside the labels.
    contrast_limits : tuple of float, optional
        Intensities that become 0 and 1; percentiles of the stack unless given.
    cache : bool, optional
        Whether features of frames are kept on disk for later runs; unless given, those of models
        whose encoding takes longer than reading does.
    normalisation : Normalisation, optional
        The intensities as they were fitted before, for one part of the work out of many.
    references_on_stack : bool
        Whether the references show frames of this stack. Frames near them are then segmented
        first; otherwise frames are segmented in order.
    pseudo_mask : {"probe", "correlation"}, optional
        How the first guess of a target is made, see `load_model`; a loaded model keeps its own way.
    prompting : Prompting, optional
        What prompts SAM in a full-size model; a loaded model keeps its own way.
    tile_size : int, optional
        Longest side in pixels that is seen at once; larger frames are segmented in tiles.
    precision : {"auto", "float32", "bfloat16", "float16"}
    compile : bool
        See `Predictor` for these two.
    """

    handler: ClassVar[str] = "napari_vrp_sam.inference.runs.segmentation:segmentation_events"
    data: Any
    _: KW_ONLY
    references: Sequence[Reference]
    axes: str | None = None
    channels: Sequence[int] | None = None
    model: str | Path | Model = "lite"
    device: str = "auto"
    frames: tuple[int | None, int | None] | None = None
    accepted: Collection[int] = ()
    first_frame: int | None = None
    probabilities: bool = False
    contrast_limits: tuple[float, float] | None = None
    pseudo_mask: PseudoMaskKind | None = None
    prompting: Prompting | None = None
    tile_size: int | None = None
    cache: bool | None = None
    normalisation: Normalisation | None = None
    references_on_stack: bool = True
    precision: Precision = "auto"
    compile: bool = False


def plan(job: SegmentationJob) -> tuple[Frames, list[int]]:
    """Check a job without reading or loading anything.

    Returns
    -------
    frames : Frames
    indices : list of int
        The frames to segment, in the order to do it.

    Raises
    ------
    InputError
        If the job cannot be done as it stands.
    """
    frames = Frames(job.data, job.axes, job.channels)
    check_tile(job.tile_size)
    check_references(job.references, len(frames) if job.references_on_stack else None)
    annotated = sorted({r.frame for r in job.references if r.frame is not None})
    if not job.references_on_stack:
        annotated = []
    indices = [i for i in _range(job.frames, len(frames)) if i not in job.accepted]
    if not indices:
        raise InputError("Every frame is accepted: there is nothing left to segment.")
    if annotated and frames.lead_shape:
        positions = np.stack(np.unravel_index(indices, frames.lead_shape), axis=1)
        # Steps along all leading axes: the next time point is as near as the next plane.
        steps = [np.abs(positions - frames.position(index)).sum(axis=1) for index in annotated]
        nearest_first = np.argsort(np.min(steps, axis=0), kind="stable")
        indices = [indices[at] for at in nearest_first]
    if job.first_frame in indices:
        indices.remove(job.first_frame)
        indices.insert(0, job.first_frame)
    return frames, indices


def normalisation_of(job: SegmentationJob, frames: Frames) -> Normalisation:
    """How intensities are mapped to 0..1; unless the job says, a sample of the frames is read."""
    return job.normalisation or fit_normalisation(frames, job.contrast_limits)


def check_references(references: Sequence[Reference], frames: int | None) -> None:
    """Refuse a class that is shown nowhere, or that nothing can be told apart from.

    Parameters
    ----------
    references : sequence of Reference
    frames : int, optional
        Number of frames of the stack; None if the references show another stack.

    Raises
    ------
    InputError
        Also if there is no reference, one lies beyond the stack, or there are more classes than
        anybody means.
    """
    if not references:
        raise InputError("There is no annotation: mark a class on at least one frame.")
    check_class_count({r.class_id for r in references})
    for index in sorted({r.frame for r in references if r.frame is not None}):
        if frames is not None and not 0 <= index < frames:
            raise InputError(
                f"An annotation lies on frame {index}, the stack has the frames 0 to "
                f"{frames - 1}: annotate one of them."
            )
    shown = {r.class_id for r in references if not r.empty}
    for class_id in sorted({r.class_id for r in references} - shown):
        raise InputError(
            f"The annotation of class {class_id} is empty: mark at least one pixel on a frame."
        )
    bounded = {r.class_id for r in references if r.sparse or not r.mask.all()}
    for class_id in sorted({r.class_id for r in references} - bounded):
        raise InputError(
            f"Class {class_id} covers everything: leave some background unmarked, or annotate "
            "another frame too."
        )


def _range(limits: tuple[int | None, int | None] | None, length: int) -> list[int]:
    start, stop = limits or (None, None)
    start, stop = 0 if start is None else start, length if stop is None else stop
    if not 0 <= start < stop <= length:
        raise InputError(
            f"The frame range {start}:{stop} does not fit: the stack has {length} frames, "
            f"so choose within 0:{length}."
        )
    return list(range(start, stop))
