"""`vrp-sam segment` with several images: one annotation for all of them."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from napari_vrp_sam.cli.app import is_given, progress_bar, stderr_console
from napari_vrp_sam.errors import InputError
from napari_vrp_sam.inference.runs.files.output_paths import plan_files

if TYPE_CHECKING:
    from napari_vrp_sam.inference.runs.files.file_result import FileResult
    from napari_vrp_sam.inference.runs.segmentation_job import SegmentationJob

SINGLE_IMAGE = (
    "session", "probabilities", "instances", "link", "divisions", "min_size", "table",
)  # fmt: skip
"""Options that cannot be combined with several images."""


def refuse_single(context: typer.Context) -> None:
    """Raise an `InputError` if an option was given that works with one image only."""
    options = {param.name: param.opts[0] for param in context.command.params}
    for name in SINGLE_IMAGE:
        if is_given(context, name):
            raise InputError(
                f"{options[name]} works with one image only: omit it, or give one image."
            )


def segment_images(
    job: SegmentationJob,
    images: Sequence[Path],
    inputs: Sequence[Path],
    folder: Path | None,
    *,
    image_number: int | str | None = None,
    nodata: float | None = None,
    overwrite: bool = False,
    resume: bool = False,
    workers: int | None = None,
    scheduler: str | None = None,
) -> bool:
    """Segment images one after the other, print what became of each, and write a summary table.

    Parameters
    ----------
    job : SegmentationJob
        Job of the first image.
    images : sequence of Path
    inputs : sequence of Path
        Files that must not be overwritten.
    folder : Path, optional
        Folder of the labels. Default: beside each image.
    image_number, nodata, resume, workers, scheduler
        See `inference.runs.files.batch.segment_files`.
    overwrite : bool
        Replace existing labels.

    Returns
    -------
    bool
        True if no image failed.

    Raises
    ------
    InputError
        If labels would overwrite an input, each other, or existing files.
    """
    from rich.markup import escape

    from napari_vrp_sam.inference.runs.events import Progress
    from napari_vrp_sam.inference.runs.files.batch import segment_files
    from napari_vrp_sam.inference.runs.files.file_result import (
        FileFinished,
        FileStarted,
        summary_path,
    )

    targets = plan_files(images, folder, inputs, replace=overwrite or resume)
    summary = summary_path(images, folder)
    events = segment_files(
        job,
        images,
        targets,
        summary=summary,
        image_number=image_number,
        nodata=nodata,
        resume=resume,
        workers=workers,
        scheduler=scheduler,
    )
    results: list[FileResult] = []
    title = ""
    with closing(events), progress_bar() as bar:
        task = bar.add_task("Starting", total=None)
        for event in events:
            match event:
                case FileStarted(number, total, image):
                    title = f"{number} of {total}: {image.name}"
                case Progress():
                    text = escape(f"{title}: {event.message}")
                    bar.update(task, description=text, total=event.total, completed=event.completed)
                case FileFinished(result):
                    results.append(result)
                    _report(result)
    failed = sum(result.state == "failed" for result in results)
    stderr_console.print(
        f"{len(results) - failed} of {len(results)} images are segmented; {summary} lists them.",
        soft_wrap=True,
    )
    return not failed


def _report(result: FileResult) -> None:
    from napari_vrp_sam.wording import count

    if result.state == "failed":
        stderr_console.print(f"{result.image}: failed. {result.message}", soft_wrap=True)
    elif result.state == "skipped":
        stderr_console.print(f"{result.image}: already segmented.", soft_wrap=True)
    else:
        confidence = "" if result.confidence is None else f", confidence {result.confidence:.2f}"
        frames = count(result.frames, "frame")
        stderr_console.print(
            f"{result.image}: {frames} in {result.labels}{confidence}.", soft_wrap=True
        )
