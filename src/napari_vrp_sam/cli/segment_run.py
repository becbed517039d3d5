"""The work of `vrp-sam segment`: frames segmented one by one, each written as soon as it comes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from napari_vrp_sam.cli.app import notes
from napari_vrp_sam.cli.segment_output import Output, Results
from napari_vrp_sam.errors import InputError

if TYPE_CHECKING:
    from napari_vrp_sam.inference.frames import Frames
    from napari_vrp_sam.inference.job import Job
    from napari_vrp_sam.models.choice import Choice


@dataclass(frozen=True)
class Workforce:
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


def run(job: Job, view: Frames, output: Output, workforce: Workforce) -> None:
    """Segment and write; what is finished is kept, whatever ends the run; so is what is settled.

    Raises
    ------
    InputError
        If the job or the output will not do, or an earlier run that should be resumed is another.
    """
    from rich.progress import Progress

    from napari_vrp_sam.inference.job import normalisation_of, plan

    indices = plan(job)[1]
    if workforce.elsewhere and output.probabilities is not None:
        raise InputError(
            "Probabilities are not collected from workers: leave out --probabilities, or --workers "
            "and --scheduler."
        )
    results = Results(job, view, output)
    classes = None
    try:
        if not results.finished.keys() >= set(indices):
            normalisation = results.normalisation or normalisation_of(job, view)
            results.begin(normalisation)
            job = replace(
                job, settled={*job.settled, *results.finished}, normalisation=normalisation
            )
            with Progress(console=notes, transient=True) as bar:
                known = len(results.finished.keys() & set(indices))
                task = bar.add_task("Starting", total=len(indices), completed=known)
                update = partial(bar.update, task)
                if workforce.elsewhere:
                    _segment_elsewhere(job, results, workforce, update)
                else:
                    _segment(job, results, update)
        if output.wish is not None:
            classes = results.classes()
    finally:
        results.close()
        done = len(results.finished.keys() & set(indices))
        if done:
            notes.print(f"{done} of {len(indices)} frames are in {output.labels}.", soft_wrap=True)
            _tell_confidence(view, results.confidence)
    if output.wish is not None and classes is not None:
        output.wish.fulfil(job.data, view, classes, results.confidence)


def _segment(job: Job, results: Results, update: Callable[..., None]) -> None:
    from napari_vrp_sam.inference.segment import iter_segment

    frames = iter_segment(job, report=lambda text: update(description=text), learned=_tell_choices)
    for index, labels, probabilities in frames:
        results.add(index, labels, probabilities)
        update(description=f"Frame {index}", advance=1)


def _segment_elsewhere(
    job: Job, results: Results, workforce: Workforce, update: Callable[..., None]
) -> None:
    """The same on workers, which write the labels themselves where many can write."""
    from rich.markup import escape

    from napari_vrp_sam.inference.confidence import of_frame
    from napari_vrp_sam.inference.distributed import DaskEngine
    from napari_vrp_sam.inference.engine import Failed, FrameResult, FrameWritten, Learned, Progress

    writer = results.shared_writer()
    with DaskEngine(
        workers=workforce.workers, scheduler=workforce.scheduler, writer=writer
    ) as engine:
        for event in engine.submit(job).events():
            if isinstance(event, Progress):
                update(description=escape(event.message))
            elif isinstance(event, Learned):
                _tell_choices(event.choices)
            elif isinstance(event, FrameResult):
                results.add_labels(event.index, event.labels, of_frame(event.confidence.values()))
                update(advance=1)
            elif isinstance(event, FrameWritten):
                results.note(event.index, event.checksum, of_frame(event.confidence.values()))
                update(advance=1)
            elif isinstance(event, Failed):
                raise RuntimeError(event.detail) if event.detail else InputError(event.message)


def _tell_choices(choices: dict[int, Choice]) -> None:
    for class_id, choice in choices.items():
        notes.print(f"Class {class_id}: {choice}.", soft_wrap=True)


def _tell_confidence(view: Frames, sure: dict[int, float]) -> None:
    """Where another annotation would help most."""
    from napari_vrp_sam.inference.confidence import least_sure

    lowest = least_sure(sure)
    if lowest is None:
        notes.print("Nothing was found on any frame: annotate more of the class.")
        return
    frame = ",".join(map(str, view.position(lowest.frame))) or "0"
    notes.print(
        f"Confidence (the IoU to expect) {sum(sure.values()) / len(sure):.2f} on average, "
        f"lowest on frame {frame} ({lowest.confidence:.2f}).",
        soft_wrap=True,
    )
