"""The run of `vrp-sam segment`: progress, messages, and the output of each frame."""

from __future__ import annotations

import logging
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_vrp_sam.cli.app import progress_bar, stderr_console

if TYPE_CHECKING:
    from napari_vrp_sam.inference.frames import Frames
    from napari_vrp_sam.inference.runs.files.output import OutputWriter, RunOutput
    from napari_vrp_sam.inference.runs.segmentation_job import SegmentationJob

logger = logging.getLogger(__name__)


def output_frame_files(output: RunOutput, job: SegmentationJob, frames: Frames) -> dict[int, Path]:
    """Return the files that a run writes to its output folder, by frame; none without a folder."""
    from napari_vrp_sam.annotations.labels import class_ids_of, labels_dtype
    from napari_vrp_sam.inference.runs.segmentation_job import plan
    from napari_vrp_sam.io.labels.folder import folder_files

    if not output.in_folder:
        return {}
    dtype = labels_dtype(class_ids_of(job.references))
    files = folder_files(output.labels, frames.label_shape, dtype, output.names, output.metadata)
    return {index: files[index] for index in sorted({*plan(job)[1], *output.accepted})}


def read_output(
    output: RunOutput, job: SegmentationJob, frames: Frames, frame_files: dict[int, Path]
) -> Any:
    """Read the labels that a run has written; 0 for the frames of a folder that it has not."""
    import numpy as np

    from napari_vrp_sam.annotations.labels import class_ids_of, labels_dtype
    from napari_vrp_sam.io.images.stacks import read_labels

    if not output.in_folder:
        return read_labels(output.labels, axes=frames.label_axes)
    labels = np.zeros(frames.label_shape, labels_dtype(class_ids_of(job.references)))
    for index, file in frame_files.items():
        labels[frames.position(index)] = read_labels(file)
    return labels


def run(
    job: SegmentationJob,
    frames: Frames,
    output: RunOutput,
    *,
    workers: int | None = None,
    scheduler: str | None = None,
) -> dict[int, float]:
    """Segment a stack and write the results; finished frames are saved even if the run fails.

    Returns
    -------
    dict of int to float
        Confidence of the frames on which a class was found, by index.

    Raises
    ------
    InputError
        If the job or the output is invalid, or the interrupted run had other settings.
    """
    from rich import progress as rich_progress
    from rich.markup import escape

    from napari_vrp_sam.annotations.labels import class_ids_of
    from napari_vrp_sam.inference.prediction.confidence import expected_ious
    from napari_vrp_sam.inference.runs.events import (
        FrameResult,
        FrameResumed,
        FrameWritten,
        Learned,
        Loaded,
        Progress,
    )
    from napari_vrp_sam.inference.runs.files.dispatch import segment_to

    confidence: dict[int, float] = {}
    held_out: dict[int, float | None] = dict.fromkeys(class_ids_of(job.references))
    of_frames: dict[int, dict[int, float]] = {}

    def report(writer: OutputWriter) -> None:
        confidence.update(writer.confidence)
        if done := len(writer.finished.keys() & set(writer.indices)):
            total = len(writer.indices)
            written = "The labels are" if total == 1 else f"{done} of {total} frames are"
            stderr_console.print(f"{written} in {output.labels}.", soft_wrap=True)
            annotated = job.annotated
            expected = expected_ious(held_out, of_frames, annotated)
            others = {i: c for i, c in writer.confidence.items() if i not in annotated}
            _print_quality(frames, others or writer.confidence, expected)

    events = segment_to(job, frames, output, workers=workers, scheduler=scheduler, close=report)
    columns = *rich_progress.Progress.get_default_columns(), rich_progress.TimeElapsedColumn()
    with closing(events), progress_bar(*columns) as bar:
        task = bar.add_task("Starting", total=None)
        for event in events:
            if isinstance(event, Progress):
                logger.info(event.message)
                text = escape(event.message)
                bar.update(task, description=text, total=event.total, completed=event.completed)
            elif isinstance(event, Loaded):
                logger.info("The model runs on %s (%s).", event.device, event.device_name)
            elif isinstance(event, FrameResult | FrameWritten | FrameResumed):
                of_frames[event.index] = event.confidence
            elif isinstance(event, Learned):
                for class_id, calibration in event.calibrations.items():
                    held_out[class_id] = calibration.expected_iou
                    stderr_console.print(f"Class {class_id}: {calibration}.", soft_wrap=True)
                    if calibration.look_alikes is not None:
                        stderr_console.print(
                            f"WARNING: {calibration.look_alikes} If only some objects of class "
                            f"{class_id} are marked, use --annotation-kind partial.",
                            soft_wrap=True,
                        )
    return confidence


def _print_quality(
    frames: Frames, confidence: dict[int, float], expected: dict[int, float | None]
) -> None:
    """Print the expected IoU of each class, and the frame that needs another annotation most."""
    from napari_vrp_sam.inference.prediction.confidence import describe_quality, least_confident

    lowest = least_confident(confidence)
    if lowest is None:
        stderr_console.print("No class was found on any frame: annotate more of it.")
        return
    number = ",".join(map(str, frames.position(lowest.frame)))
    text = describe_quality(
        [(f"class {class_id}", iou) for class_id, iou in expected.items()],
        (number, lowest.confidence) if len(frames) > 1 else None,
    )
    stderr_console.print(f"{text}.", soft_wrap=True)
