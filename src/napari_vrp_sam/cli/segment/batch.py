"""`vrp-sam segment` with several images: one annotation for all of them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from napari_vrp_sam.cli.app import is_given, progress_bar, stderr_console
from napari_vrp_sam.cli.output_paths import check_outputs, default_labels_path
from napari_vrp_sam.errors import InputError

if TYPE_CHECKING:
    from napari_vrp_sam.inference.runs.batch import FileResult
    from napari_vrp_sam.inference.runs.segmentation_job import SegmentationJob

SUMMARY = "vrp-sam-summary.csv"
"""File name of the summary table, in the output folder or beside the first image."""


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
    image_number, resume, workers, scheduler
        See `inference.runs.batch.segment_file`.
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

    from napari_vrp_sam.inference.prediction.predictor_cache import PredictorCache
    from napari_vrp_sam.inference.runs.batch import segment_file, summary_table
    from napari_vrp_sam.inference.runs.events import Progress
    from napari_vrp_sam.io.exports.tables import write_table

    targets = [_labels_path(image, folder) for image in images]
    summary = (folder or images[0].absolute().parent) / SUMMARY
    _check(images, targets, inputs, replace=overwrite or resume)
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
    cache = PredictorCache(0)
    results: list[FileResult] = []
    with progress_bar() as bar:
        task = bar.add_task("Starting", total=None)
        for number, (image, target) in enumerate(zip(images, targets, strict=True), start=1):
            steps = segment_file(
                job,
                image,
                target,
                image_number=image_number,
                resume=resume,
                cache=cache,
                workers=workers,
                scheduler=scheduler,
            )
            try:
                while True:
                    event = next(steps)
                    if isinstance(event, Progress):
                        text = f"{number} of {len(images)}: {image.name}: {event.message}"
                        bar.update(
                            task,
                            description=escape(text),
                            total=event.total,
                            completed=event.completed,
                        )
            except StopIteration as end:
                results.append(end.value)
            finally:
                steps.close()
                write_table(summary, summary_table(results))
            _report(results[-1])
    failed = sum(result.state == "failed" for result in results)
    stderr_console.print(
        f"{len(results) - failed} of {len(results)} images are segmented; {summary} lists them.",
        soft_wrap=True,
    )
    return not failed


def _labels_path(image: Path, folder: Path | None) -> Path:
    beside = default_labels_path(image)
    return beside if folder is None else folder / beside.name


def _check(
    images: Sequence[Path], targets: Sequence[Path], inputs: Sequence[Path], *, replace: bool
) -> None:
    if twice := {path for path in targets if list(targets).count(path) > 1}:
        raise InputError(
            f"Several images would be written to {min(twice)}: rename them, or leave out --output "
            "so that labels are written beside their images."
        )
    for target in targets:
        if target.exists() and not replace:
            raise InputError(
                f"{target} already exists: add --resume to skip finished images, or --overwrite."
            )
        check_outputs(target, [], [*images, *inputs], overwrite=True)


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
