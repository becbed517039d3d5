"""The work of `vrp-sam segment`: frames segmented one by one, each written as soon as it comes."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING

from napari_vrp_sam.cli.app import stderr_console

if TYPE_CHECKING:
    from napari_vrp_sam.inference.frames import Frames
    from napari_vrp_sam.inference.runs.output import RunOutput
    from napari_vrp_sam.inference.runs.segmentation_job import SegmentationJob
    from napari_vrp_sam.models.calibration import ClassCalibration


@dataclass(frozen=True)
class WorkerOptions:
    """Who does the work: this process, unless workers are to be started, or a scheduler has some.

    Attributes
    ----------
    workers : int, optional
    scheduler : str, optional
    """

    workers: int | None = None
    scheduler: str | None = None

    @property
    def elsewhere(self) -> bool:
        """Whether other processes do it."""
        return self.workers is not None or self.scheduler is not None


def run(
    job: SegmentationJob, view: Frames, output: RunOutput, workforce: WorkerOptions
) -> dict[int, float]:
    """Segment and write; finished frames are kept whatever ends the run.

    Returns
    -------
    dict of int to float
        Confidence of the frames on which something was found, by index.

    Raises
    ------
    InputError
        If the job or the output does not fit, or the interrupted run to resume is another one.
    """
    from rich.markup import escape
    from rich.progress import Progress as ProgressBar

    from napari_vrp_sam.inference.runs.events import Learned, Progress
    from napari_vrp_sam.inference.runs.output import OutputWriter, segment_to
    from napari_vrp_sam.inference.runs.segmentation_job import plan

    indices = set(plan(job)[1])

    confidence: dict[int, float] = {}

    def report(writer: OutputWriter) -> None:
        confidence.update(writer.confidence)
        done = len(writer.finished.keys() & indices)
        if done:
            stderr_console.print(
                f"{done} of {len(indices)} frames are in {output.labels}.", soft_wrap=True
            )
            _tell_confidence(view, writer.confidence)

    events = segment_to(
        job,
        view,
        output,
        workers=workforce.workers,
        scheduler=workforce.scheduler,
        close=report,
    )
    with ProgressBar(console=stderr_console, transient=True) as bar, closing(events):
        task = bar.add_task("Starting", total=len(indices))
        for event in events:
            if isinstance(event, Progress):
                finished = len(indices) - event.total + event.done
                bar.update(task, description=escape(event.message), completed=finished)
            elif isinstance(event, Learned):
                _tell_choices(event.calibrations)
    return confidence


def _tell_choices(calibrations: dict[int, ClassCalibration]) -> None:
    for class_id, choice in calibrations.items():
        stderr_console.print(f"Class {class_id}: {choice}.", soft_wrap=True)


def _tell_confidence(view: Frames, sure: dict[int, float]) -> None:
    """Where another annotation would help most."""
    from napari_vrp_sam.inference.prediction.confidence import least_confident

    lowest = least_confident(sure)
    if lowest is None:
        stderr_console.print("Nothing was found on any frame: annotate more of the class.")
        return
    frame = ",".join(map(str, view.position(lowest.frame))) or "0"
    stderr_console.print(
        f"Confidence (the IoU to expect) {sum(sure.values()) / len(sure):.2f} on average, "
        f"lowest on frame {frame} ({lowest.confidence:.2f}).",
        soft_wrap=True,
    )
