"""`vrp-sam segment`: annotations of one or more frames in, labels of all frames out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from napari_vrp_sam.cli.app import app, notes
from napari_vrp_sam.cli.downloads import OfflineOption, forbid_downloads
from napari_vrp_sam.cli.objects import Wish
from napari_vrp_sam.cli.objects import beside as objects_beside
from napari_vrp_sam.cli.options import (
    DeviceOption,
    Kind,
    ModelOption,
    PromptingOption,
    PseudoMaskOption,
    frame_numbers,
)
from napari_vrp_sam.cli.replay import SessionOption, replay_of
from napari_vrp_sam.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from napari_vrp_sam.inference.frames import Frames
    from napari_vrp_sam.inference.job import Job
    from napari_vrp_sam.models.choice import Choice


@app.command()
def segment(
    context: typer.Context,
    image: Annotated[
        Path | None,
        typer.Argument(
            help="TIFF file, picture, or folder of images (one a frame); with --session only "
            "where the image has moved."
        ),
    ] = None,
    reference: Annotated[
        Path | None,
        typer.Option(
            help="Label image, the value is the class: of all frames (0 where nothing is "
            "annotated), or of the one that --frame names; or a folder, files named as the images."
        ),
    ] = None,
    session: SessionOption = None,
    frame: Annotated[
        str | None, typer.Option(help="The annotated frame, from 0; of several axes: T,Z.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option(help="TIFF file or folder; beside the image unless given.")
    ] = None,
    model: ModelOption = "lite",
    axes: Annotated[
        str | None, typer.Option(help="Letters of T, Z, C, Y, X, S, one an axis: TZYX.")
    ] = None,
    channel: Annotated[
        list[int] | None, typer.Option(help="Channel to use, from 0; may be repeated.")
    ] = None,
    pseudo_mask: PseudoMaskOption = None,
    prompting: PromptingOption = None,
    kind: Annotated[
        Kind, typer.Option(help="How it was drawn; around scribbles and points all is unknown.")
    ] = Kind.MASK,
    frames: Annotated[
        str | None, typer.Option(metavar="A:B", help="Segment frames A to B - 1 only.")
    ] = None,
    limits: Annotated[
        tuple[float, float] | None,
        typer.Option(help="Intensities that become black and white; percentiles unless given."),
    ] = None,
    device: DeviceOption = "auto",
    offline: OfflineOption = False,
    tile: Annotated[
        int | None,
        typer.Option(help="Pixels of a side that are seen at once, 2048 unless given."),
    ] = None,
    probabilities: Annotated[
        Path | None, typer.Option(help="Write the probability of each class here, as TIFF.")
    ] = None,
    instances: Annotated[
        bool,
        typer.Option(
            "--instances", help="Also number the objects on each frame, in *_objects.tif."
        ),
    ] = False,
    link: Annotated[
        bool, typer.Option("--link", help="The same, each object with one id through Z and T.")
    ] = False,
    divisions: Annotated[
        bool,
        typer.Option("--divisions", help="Linked objects may divide through T."),
    ] = False,
    min_size: Annotated[
        int, typer.Option(help="Leave out objects of fewer pixels on a frame.")
    ] = 0,
    table: Annotated[
        Path | None,
        typer.Option(help="Write a table of the objects here, as CSV: area, intensity, ..."),
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace results that are there already.")
    ] = False,
) -> None:
    """Segment a class on every frame of a stack after annotating it on one.

    Interrupted with Ctrl+C, it keeps the frames that are finished.
    """
    from napari_vrp_sam.inference.frames import Frames
    from napari_vrp_sam.inference.job import Job
    from napari_vrp_sam.inference.segment import gather_references
    from napari_vrp_sam.io.images import read_labels, read_stack
    from napari_vrp_sam.models.registry import prompting_note

    forbid_downloads(offline)
    if session is not None:
        job, view, settled, inputs, beside = replay_of(context, session, image)
    elif image is None or reference is None:
        raise InputError(
            "Give an IMAGE and its --reference, or the --session that holds them both."
        )
    else:
        data, known_axes = read_stack(image)
        view = Frames(data, axes or known_axes, channel or None)
        references = gather_references(
            view, read_labels(reference, image), frame=frame_numbers(frame), kind=kind.value
        )
        job = Job(
            data,
            references=references,
            axes=view.axes,
            channels=channel or None,
            model=model,
            device=device,
            frames=_range(frames),
            limits=limits,
            pseudo_mask=None if pseudo_mask is None else pseudo_mask.value,
            prompting=None if prompting is None else prompting.value,
            tile=tile,
        )
        settled, inputs, beside = {}, (image, reference), _beside(image)
    output = output or beside
    wish = None
    if instances or link or divisions or table is not None:
        wish = Wish(objects_beside(output), table, link, divisions, min_size)
        wish.check(view)
    for path in (output, probabilities, table, wish.labels if wish else None):
        if path is not None:
            _check_output(path, inputs, overwrite=overwrite)
    if note := prompting_note(str(job.model), job.prompting):
        notes.print(note, soft_wrap=True)
    _run(job, view, output, probabilities, _names(inputs[0]), settled, wish)


def _run(
    job: Job,
    view: Frames,
    output: Path,
    probabilities: Path | None,
    names: list[str],
    settled: Mapping[int, NDArray[Any]],
    wish: Wish | None = None,
) -> None:
    """Segment and write; what is finished is kept, whatever ends the run; so is what is settled."""
    import numpy as np
    from rich.progress import Progress

    from napari_vrp_sam.inference.confidence import confidences, of_frame
    from napari_vrp_sam.inference.job import plan
    from napari_vrp_sam.inference.segment import iter_segment
    from napari_vrp_sam.io.results import ProbabilityWriter, label_writer

    total = len(plan(job)[1])
    class_ids = sorted({reference.class_id for reference in job.references})
    axes = view.label_axes
    dtype = np.dtype(np.min_scalar_type(class_ids[-1]))
    writers: list[Any] = [label_writer(output, view.label_shape, dtype, axes, names)]
    if probabilities is not None:
        shape = (*view.lead_shape, len(class_ids), *view.frame_shape)
        writers.append(ProbabilityWriter(probabilities, shape, axes[:-2] + "CYX"))
    classes = np.zeros(view.label_shape, dtype) if wish else None
    done = 0
    sure: dict[int, float] = {}
    with Progress(console=notes, transient=True) as bar:
        task = bar.add_task("Starting", total=total)
        results = iter_segment(
            job, report=lambda text: bar.update(task, description=text), learned=_tell
        )
        try:
            for index, labels, of_class in results:
                for writer, result in zip(writers, (labels, of_class), strict=False):
                    writer.write(index, result)
                if classes is not None:
                    classes[view.position(index)] = labels
                done += 1
                confidence = of_frame(confidences(of_class))
                if confidence is not None:
                    sure[index] = confidence
                bar.update(task, completed=done, description=f"Frame {done} of {total}")
        finally:
            for index, labels in settled.items() if done else ():
                writers[0].write(index, labels)
                if classes is not None:
                    classes[view.position(index)] = labels
            for writer in writers:
                writer.close() if done else writer.discard()
            if done:
                notes.print(f"{done} of {total} frames are in {output}.", soft_wrap=True)
                _tell_confidence(view, sure)
    if wish is not None and classes is not None:
        wish.fulfil(job.data, view, classes, sure)


def _tell(choices: dict[int, Choice]) -> None:
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


def _range(frames: str | None) -> tuple[int | None, int | None] | None:
    """`A:B` as numbers; either may be missing."""
    if frames is None:
        return None
    try:
        start, stop = (int(part) if part.strip() else None for part in frames.split(":"))
    except ValueError:
        raise InputError(
            f"--frames {frames} is no range: write A:B for the frames A to B - 1, from 0."
        ) from None
    return start, stop


def _beside(image: Path) -> Path:
    if image.is_dir():
        return image.resolve().with_name(image.resolve().name + "_labels")
    single = image.suffix.lower() in (".png", ".jpg", ".jpeg")
    return image.with_name(image.name.split(".")[0] + ("_labels.png" if single else "_labels.tif"))


def _check_output(path: Path, inputs: tuple[Path, ...], *, overwrite: bool) -> None:
    if any(path.resolve() == source.resolve() for source in inputs):
        raise InputError(f"{path} is an input: write the result somewhere else with --output.")
    if path.exists() and not overwrite and (path.is_file() or any(path.iterdir())):
        raise InputError(f"{path} is there already: choose another, or add --overwrite.")


def _names(image: Path) -> list[str]:
    """Names for the labels of a folder's images."""
    from napari_vrp_sam.io.frame_files import folder_images

    pictures = image.is_dir() and image.suffix != ".zarr"
    return [path.stem for path in folder_images(image)] if pictures else []
