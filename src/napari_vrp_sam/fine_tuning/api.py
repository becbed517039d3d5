"""`fine_tune`: fine-tuning as a function."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from napari_vrp_sam.annotations.reference import AnnotationKind
from napari_vrp_sam.deprecation import renamed_arguments
from napari_vrp_sam.fine_tuning.events import FineTuningResult, TrainingStep, Validation
from napari_vrp_sam.fine_tuning.job import FineTuneJob, TrainableParts
from napari_vrp_sam.fine_tuning.verdict import describe_result, describe_step
from napari_vrp_sam.inference.arguments import (
    as_array,
    as_limits,
    as_position,
)
from napari_vrp_sam.inference.opening import as_annotation, open_stack
from napari_vrp_sam.inference.references.gather import gather_references
from napari_vrp_sam.inference.runs.control import Control
from napari_vrp_sam.inference.runs.events import Progress


@renamed_arguments(frame="reference_frame", kind="annotation_kind", limits="contrast_limits")
def fine_tune(
    stack: Any,
    annotations: Any,
    output: str | os.PathLike[str],
    *,
    axes: str | Sequence[str] | None = None,
    channels: Sequence[int] | slice | int | None = None,
    nodata: float | None = None,
    reference_frame: int | Sequence[int] | None = None,
    annotation_kind: AnnotationKind | None = None,
    background: int | None = None,
    ignore: int | None = None,
    one_class: bool | None = None,
    model: str | Path = "lite",
    parts: TrainableParts | None = None,
    minutes: float | None = None,
    steps: int | None = None,
    device: str = "auto",
    contrast_limits: tuple[float, float] | None = None,
    name: str = "",
    seed: int = 0,
    progress: Callable[[int, int, str], None] | None = None,
) -> FineTuningResult:
    """Fine-tune a model on one or a few annotated frames.

    Part of the annotation is held out to measure the improvement; the new model is saved only if
    it is better than the base model. An interrupted run is resumed by the same call.

    Parameters
    ----------
    stack : array or path
        As for `segment_stack`.
    annotations : integer array, path, or sequence of Reference
        As for `segment_stack`. References may have images of different sizes.
    output : path-like
        The `.safetensors` file to write. Checkpoints are kept beside it during the run, in a folder
        of the same name with `.fine-tuning` appended.
    axes, channels, nodata, reference_frame
        See `Segmenter.fit`.
    annotation_kind : {"mask", "partial", "scribble", "box", "point"}, optional
        How a label image was drawn; see `Segmenter.fit`.
    background, ignore : int, optional
        Label values of pixels that belong to no class, and of pixels that are excluded from
        training.
    one_class : bool, optional
        Whether all label values are the same class; see `Segmenter.fit`.
    model : str or Path
        Name or file of the base model.
    parts : {"head", "decoder", "vrp-encoder", "lora"}, optional
        Parts of the model to train: a dense head (default for `lite` and probe models);
        everything except the image encoder (default for other models); the VRP encoder only, as in
        the paper; or everything with low-rank adapters in the image encoder of a full-size model.
    minutes : float, optional
        Minutes of training; loading and measuring take additional time. Default: 3 on a CPU, 1
        on a GPU.
    steps : int, optional
        Number of training steps, instead of `minutes`. On a CPU, the result is then
        reproducible to the bit.
    device : str
        "cpu", "cuda", "mps", or "auto" for the fastest available device.
    contrast_limits : tuple of float, optional
        Intensities that are mapped to 0 and 1; default: percentiles of a sample of the stack.
    name : str
        Name on the model card; default: the name of the file.
    seed : int
        Seed of crops, augmentation and dropout.
    progress : callable, optional
        Called as ``progress(done, total, message)`` with the steps done, the steps in total, which
        are estimated from `minutes`, and a short sentence. The last one is the verdict.

    Returns
    -------
    FineTuningResult
        The path of the new model, or None if it is not better; the IoU on the held-out frames
        before and after; the number of steps, and the reason for the end of the training.

    Raises
    ------
    InputError
        If the input cannot be used; the message says how to fix it.

    Examples
    --------
    >>> tuned = fine_tune(stack, labels, "mito.safetensors", reference_frame=12)  # doctest: +SKIP
    >>> segment_stack(stack, labels, model=tuned.path or "lite")  # doctest: +SKIP
    """
    opened = open_stack(stack, axes, nodata)
    frames = opened.frames(annotations, channels)
    annotations = as_annotation(annotations, opened, frames)
    references = gather_references(
        frames,
        annotations,
        reference_frame=as_position(reference_frame, "reference_frame"),
        annotation_kind=annotation_kind,
        background=background,
        ignore=ignore,
        one_class=one_class,
    )
    job = FineTuneJob(
        as_array(opened.data),
        references=references,
        output=Path(output),
        name=name,
        axes=frames.axes,
        channels=None if channels is None else frames.channels,
        nodata=frames.nodata,
        model=model,
        parts=parts,
        minutes=minutes,
        steps=steps,
        device=device,
        contrast_limits=as_limits(contrast_limits),
        seed=seed,
    )
    done, total, message = 0, 1, ""
    for event in job.events(Control()):
        match event:
            case FineTuningResult():
                message = describe_result(event)
            case Progress():
                message = event.message
            case TrainingStep():
                done, total, message = event.step, event.steps, describe_step(event)
            case Validation():
                message = f"IoU on held-out annotation: {event.iou:.3f}, best {event.best:.3f}"
        if progress:
            progress(done, total, message)
    assert isinstance(event, FineTuningResult)  # the last event of every run
    return event
