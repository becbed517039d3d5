"""One annotation for many files: each is segmented with the references of one job."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from napari_vrp_sam.errors import InputError
from napari_vrp_sam.inference.frames import Frames
from napari_vrp_sam.inference.runs.dispatch import segment_to
from napari_vrp_sam.inference.runs.events import Event
from napari_vrp_sam.inference.runs.output import OutputWriter, RunOutput

if TYPE_CHECKING:
    import pandas as pd

    from napari_vrp_sam.inference.prediction.predictor_cache import PredictorCache
    from napari_vrp_sam.inference.runs.segmentation_job import SegmentationJob


@dataclass(frozen=True)
class FileResult:
    """Result of one file.

    Attributes
    ----------
    image, labels : Path
    state : {"segmented", "skipped", "failed"}
        "skipped" if an earlier run has finished the file.
    frames : int
        Number of segmented frames.
    confidence : float, optional
        Mean confidence of the frames on which a class was found.
    message : str
        Reason of a failure, in one sentence.
    """

    image: Path
    labels: Path
    state: Literal["segmented", "skipped", "failed"]
    frames: int = 0
    confidence: float | None = None
    message: str = ""


def segment_file(
    job: SegmentationJob,
    image: Path,
    labels: Path,
    *,
    image_number: int | str | None = None,
    resume: bool = False,
    cache: PredictorCache | None = None,
    workers: int | None = None,
    scheduler: str | None = None,
) -> Generator[Event, None, FileResult]:
    """Segment a file with the references and settings of a job; a bad file does not raise.

    Parameters
    ----------
    job : SegmentationJob
        Its axes are those of the file, if both have as many.
    image : Path
        Any image that `io.images.opening.open_image` reads.
    labels : Path
        Where to write the labels.
    image_number : int or str, optional
        Image of a file that holds several.
    resume : bool
        Skip a file whose labels are complete, and resume an interrupted one.
    cache : PredictorCache, optional
        Model of earlier files.
    workers, scheduler
        See `segment_to`.

    Yields
    ------
    Event

    Returns
    -------
    FileResult
    """
    from napari_vrp_sam.io.images.opening import open_image
    from napari_vrp_sam.io.images.stacks import frame_files
    from napari_vrp_sam.io.labels.writers import is_incremental

    found: dict[int, float] = {}
    indices: list[int] = []

    def note(writer: OutputWriter) -> None:
        found.update(writer.confidence)
        indices.extend(set(writer.indices) & writer.finished.keys())

    try:
        if resume and labels.exists() and not is_incremental(labels):
            return FileResult(image, labels, "skipped")
        stored = open_image(image, image=image_number)
        axes = stored.axes
        if axes is None and len(job.axes or "") == len(stored.data.shape):
            axes = job.axes
        nodata = stored.metadata.nodata if job.nodata is None else job.nodata
        stack = Frames(stored.data, axes, job.channels, nodata=nodata)
        check_channels(job, stack, image)
        own = replace(
            job, data=stored.data, axes=stack.axes, nodata=nodata, references_on_stack=False
        )
        sources = frame_files(image)
        output = RunOutput(
            labels,
            names=[file.stem for file in sources],
            resume=resume and labels.exists(),
            metadata=stored.metadata,
            sources=sources,
        )
        yield from segment_to(
            own, stack, output, workers=workers, scheduler=scheduler, cache=cache, close=note
        )
    except InputError as error:
        return FileResult(image, labels, "failed", message=str(error))
    confidence = float(np.mean(list(found.values()))) if found else None
    return FileResult(image, labels, "segmented", len(indices), confidence)


def check_channels(job: SegmentationJob, stack: Frames, image: Path) -> None:
    """Raise an `InputError` if a stack has other channels than the references of a job.

    Without a projection, models use three channels at most, so further ones do not matter.
    """
    used = job.references[0].image.shape[-1]
    projected = job.normalisation is not None and bool(job.normalisation.projection)
    most = used if projected else 3
    if min(len(stack.channels), most) != min(used, most):
        raise InputError(
            f"{image} has {len(stack.channels)} channels, but the annotations use {used}: give an "
            "image with the same channels."
        )


def summary_table(results: list[FileResult]) -> pd.DataFrame:
    """Return a table with one row for each file."""
    import pandas as pd

    rows: list[dict[str, Any]] = [
        {
            "image": str(result.image),
            "labels": "" if result.state == "failed" else str(result.labels),
            "state": result.state,
            "frames": result.frames,
            "confidence": result.confidence,
            "message": result.message,
        }
        for result in results
    ]
    return pd.DataFrame(rows)
