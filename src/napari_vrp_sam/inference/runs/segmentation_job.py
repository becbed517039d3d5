"""Jobs that segment a stack by references, and the plan of their frames."""

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
from napari_vrp_sam.inference.prediction.tiles.tiling import LARGE_FRAME_TILE, check_tile

if TYPE_CHECKING:
    from napari_vrp_sam.inference.relabelling.relabel import RelabelSettings
    from napari_vrp_sam.models.base import Model
    from napari_vrp_sam.models.precision import Precision
    from napari_vrp_sam.models.sam.prompting import Prompting
    from napari_vrp_sam.models.vrp.pseudo_mask import PseudoMaskKind


@dataclass(frozen=True, eq=False)
class SegmentationJob(Job):
    """Segment a stack.

    Attributes
    ----------
    data : array
        The stack, as `Frames` takes it.
    references : sequence of Reference
    axes : str, optional
        One letter of T, Z, C, Y, X, S for each axis of the data.
    channels : sequence of int, optional
    nodata : float, optional
        Value of missing pixels, which get the label 0.
    model : str, Path or Model
        Name of a model, weights file, or loaded model.
    device : str
    frames : tuple of int, optional
        First frame and the one after the last, counted along the flattened leading axes; None
        for either end.
    accepted : collection of int
        Frames whose labels are known; they are not segmented.
    first_frame : int, optional
        Frame to segment first, such as the one in view.
    probabilities : bool
        Whether to return the probabilities of the classes too.
    levels : bool
        Whether to return the probabilities as compressed levels too, which are a small fraction
        as large.
    contrast_limits : tuple of float, optional
        Intensities that are mapped to 0 and 1; default: percentiles of the stack.
    cache : bool, optional
        Whether features of frames are kept on disk for later runs; default: if the model encodes
        slower than a disk reads.
    normalisation : Normalisation, optional
        Normalisation to use instead of one that is fitted to the stack.
    references_on_stack : bool
        Whether the references show frames of this stack. Frames near them are then segmented
        first; otherwise frames are segmented in order.
    pseudo_mask : {"probe", "correlation"}, optional
        Method that computes pseudo-masks, see `load_model`; ignored for a loaded model.
    prompting : Prompting, optional
        Source of SAM's prompts, see `load_model`; ignored for a loaded model.
    tile_size : int, optional
        Larger frames are segmented in tiles of this many pixels; default: 2048.
    precision, compile
        See `Predictor`.
    relabelling : RelabelSettings, optional
        Settings by which the labels are computed from the probabilities; default: each pixel gets
        its most probable class, if its probability is above 0.5.
    effort : float
        Effort of learning, above 0, up to 1: less is faster but less accurate. `lite` with 0.25
        learns from fewer pixels in fewer steps and does not estimate the expected IoU.
    neighbours : bool
        Whether uncertain frames are averaged with their neighbours, where the masks of annotated
        frames agree with those of their neighbours; see `StackSmoother`.
    """

    handler: ClassVar[str] = "napari_vrp_sam.inference.runs.segmentation:segmentation_events"
    data: Any
    _: KW_ONLY
    references: Sequence[Reference]
    axes: str | None = None
    channels: Sequence[int] | None = None
    nodata: float | None = None
    model: str | Path | Model = "lite"
    device: str = "auto"
    frames: tuple[int | None, int | None] | None = None
    accepted: Collection[int] = ()
    first_frame: int | None = None
    probabilities: bool = False
    levels: bool = False
    contrast_limits: tuple[float, float] | None = None
    pseudo_mask: PseudoMaskKind | None = None
    prompting: Prompting | None = None
    tile_size: int | None = None
    cache: bool | None = None
    normalisation: Normalisation | None = None
    references_on_stack: bool = True
    precision: Precision = "auto"
    compile: bool = False
    relabelling: RelabelSettings | None = None
    effort: float = 1.0
    neighbours: bool = True

    @property
    def annotated(self) -> list[int]:
        """Indices of the frames of the stack that are annotated."""
        return _annotated_frames(self.references) if self.references_on_stack else []

    @property
    def needs_probabilities(self) -> bool:
        """True if more than the labels is computed from the probabilities."""
        return self.probabilities or self.levels or self.relabelling is not None

    @property
    def tile_side(self) -> int:
        """Longest side in pixels of frames that are not tiled: the tile size, or its default."""
        if self.tile_size is None and self.data is not None and self.view().too_large:
            return LARGE_FRAME_TILE
        return check_tile(self.tile_size)


def plan(job: SegmentationJob) -> tuple[Frames, list[int]]:
    """Check a job, without reading a frame or loading a model, and order its frames.

    Returns
    -------
    frames : Frames
    indices : list of int
        Frames to segment, in this order.

    Raises
    ------
    InputError
        If the job cannot be done as it stands.
    """
    frames = job.view()
    check_tile(job.tile_size)
    check_references(job.references, len(frames) if job.references_on_stack else None)
    indices = [i for i in _range(job.frames, len(frames)) if i not in job.accepted]
    if not indices:
        raise InputError("All frames are accepted, so there is nothing left to segment.")
    annotated = job.annotated
    if annotated and frames.lead_shape:
        positions = np.stack(np.unravel_index(indices, frames.lead_shape), axis=1)
        # Distance along all leading axes: the next time point is as near as the next plane.
        steps = [np.abs(positions - frames.position(index)).sum(axis=1) for index in annotated]
        nearest_first = np.argsort(np.min(steps, axis=0), kind="stable")
        indices = [indices[at] for at in nearest_first]
    if job.first_frame in indices:
        indices.remove(job.first_frame)
        indices.insert(0, job.first_frame)
    return frames, indices


def normalisation_of(job: SegmentationJob, frames: Frames) -> Normalisation:
    """Return the normalisation of a job; fit one to a sample of the frames if it has none."""
    return job.normalisation or fit_normalisation(frames, job.contrast_limits, job.references)


def check_references(references: Sequence[Reference], frames: int | None) -> None:
    """Check that each class has marked pixels and background on the annotated frames.

    Parameters
    ----------
    references : sequence of Reference
    frames : int, optional
        Number of frames of the stack; None if the references show another stack.

    Raises
    ------
    InputError
        If a class is empty or covers everything, there is no reference, a reference lies outside
        of the stack, or there are too many classes.
    """
    if not references:
        raise InputError("There is no annotation: annotate a class on at least one frame.")
    check_class_count({r.class_id for r in references})
    for index in _annotated_frames(references):
        if frames is not None and not 0 <= index < frames:
            raise InputError(
                f"An annotation is on frame {index}, but the stack has the frames 0 to "
                f"{frames - 1}: annotate one of them."
            )
    shown = {r.class_id for r in references if not r.empty}
    for class_id in sorted({r.class_id for r in references} - shown):
        raise InputError(
            f"The annotation of class {class_id} is empty: mark at least one pixel on a frame."
        )
    bounded = {
        r.class_id
        for r in references
        if r.sparse or not r.mask.all() or r.is_crop  # a crop may lie inside of an object
    }
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
            f"The frame range {start}:{stop} is not valid: the stack has {length} frames, so "
            f"choose a range within 0:{length}."
        )
    return list(range(start, stop))


def _annotated_frames(references: Sequence[Reference]) -> list[int]:
    return sorted({r.frame for r in references if r.frame is not None and not r.is_crop})
