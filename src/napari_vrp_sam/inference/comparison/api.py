"""`compare_models`: accuracy, time and memory of several models on one stack."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from napari_vrp_sam.annotations.reference import AnnotationKind
from napari_vrp_sam.inference.arguments import as_array, as_position
from napari_vrp_sam.inference.comparison.job import Compared, ComparisonJob, comparison_events
from napari_vrp_sam.inference.comparison.result import Comparison
from napari_vrp_sam.inference.opening import as_annotation, open_stack
from napari_vrp_sam.inference.references.gather import gather_references
from napari_vrp_sam.inference.runs.control import Control
from napari_vrp_sam.inference.runs.events import Progress
from napari_vrp_sam.inference.segmentation import ProgressCallback


def compare_models(
    stack: Any,
    annotation: Any,
    models: Sequence[str | Path] = ("lite", "dinov2_s"),
    *,
    axes: str | Sequence[str] | None = None,
    channels: Sequence[int] | slice | int | None = None,
    nodata: float | None = None,
    reference_frame: int | Sequence[int] | None = None,
    annotation_kind: AnnotationKind | None = None,
    background: int | None = None,
    ignore: int | None = None,
    one_class: bool | None = None,
    class_column: str | None = None,
    shown_frame: int | None = None,
    device: str = "auto",
    contrast_limits: tuple[float, float] | None = None,
    tile_size: int | None = None,
    effort: float = 1.0,
    progress: ProgressCallback | None = None,
) -> Comparison:
    """Compare models on a stack: accuracy on held-out annotations, time and memory.

    If several frames are annotated, each one is held out once; of a single frame, each half. The
    models learn from the rest, and the accuracy is their IoU on the held-out part. Only masks can
    be held out; without any, the accuracy is unknown.

    Parameters
    ----------
    stack, annotation, axes, channels, nodata, reference_frame, annotation_kind, background
        See `segment_stack`.
    ignore, one_class, class_column, device, contrast_limits, tile_size, effort
        See `segment_stack`.
    models : sequence of str
        Names or weights files. Missing weights are downloaded; a model that fails is reported in
        its row, and the others go on.
    shown_frame : int, optional
        Frame that the picture shows; default: one without annotation, near the middle.
    progress : callable, optional
        Called with the models done, the models in total, and a message.

    Returns
    -------
    Comparison

    Raises
    ------
    InputError
        If stack and annotation do not match, or no model is given.

    Examples
    --------
    >>> from napari_vrp_sam.io.samples import sample_stack
    >>> stack, truth = sample_stack(seed=0, size=96, frames=3)
    >>> comparison = compare_models(
    ...     stack, truth[1], ["lite"], axes="ZYX", reference_frame=1, device="cpu"
    ... )
    >>> list(comparison.table["model"])
    ['lite']
    """
    opened = open_stack(stack, axes, nodata)
    view = opened.frames(annotation, channels)
    references = gather_references(
        view,
        as_annotation(annotation, opened, view, class_column=class_column),
        reference_frame=as_position(reference_frame, "reference_frame"),
        annotation_kind=annotation_kind,
        background=background,
        ignore=ignore,
        one_class=one_class,
    )
    job = ComparisonJob(
        as_array(opened.data),
        references=references,
        axes=view.axes,
        channels=None if channels is None else view.channels,
        nodata=view.nodata,
        device=device,
        contrast_limits=contrast_limits,
        tile_size=tile_size,
        effort=effort,
        first_frame=shown_frame,
        models=tuple(map(str, models)),
    )
    for event in comparison_events(job, Control()):
        match event:
            case Progress(done, total, message) if progress is not None:
                progress(done, total, message)
            case Compared(comparison):
                return comparison
    raise AssertionError  # the last event is the comparison
