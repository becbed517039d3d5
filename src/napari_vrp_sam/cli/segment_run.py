"""The work of `vrp-sam segment`: frames segmented one by one, each written as soon as it comes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from napari_vrp_sam.cli.app import notes
from napari_vrp_sam.cli.segment_output import Output, Results

if TYPE_CHECKING:
    from napari_vrp_sam.inference.frames import Frames
    from napari_vrp_sam.inference.job import Job
    from napari_vrp_sam.models.choice import Choice


def run(job: Job, view: Frames, output: Output) -> None:
    """Segment and write; what is finished is kept, whatever ends the run; so is what is settled.

    Raises
    ------
    InputError
        If the job or the output will not do, or an earlier run that should be resumed is another.
    """
    from rich.progress import Progress

    from napari_vrp_sam.inference.job import normalisation_of, plan

    indices = plan(job)[1]
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
                _segment(job, results, partial(bar.update, task))
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
