"""`vrp-sam segment`: annotations of one or more frames in, labels of all frames out."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from napari_vrp_sam.cli.app import app, stderr_console
from napari_vrp_sam.cli.downloads import OfflineOption, forbid_downloads
from napari_vrp_sam.cli.image_axes import axes_of, check_frame
from napari_vrp_sam.cli.options import (
    AnnotationKindName,
    CompileOption,
    DeviceOption,
    ModelOption,
    PrecisionName,
    PrecisionOption,
    PromptingOption,
    PseudoMaskOption,
    frame_numbers,
)
from napari_vrp_sam.cli.segment.objects import ObjectOptions
from napari_vrp_sam.cli.segment.output_checks import check_outputs
from napari_vrp_sam.cli.segment.output_paths import beside, objects_beside
from napari_vrp_sam.cli.segment.run import WorkerOptions, run
from napari_vrp_sam.cli.segment.session import SessionOption, session_run
from napari_vrp_sam.errors import InputError
from napari_vrp_sam.inference.runs.output import RunOutput

if TYPE_CHECKING:
    from napari_vrp_sam.inference.frames import Frames
    from napari_vrp_sam.inference.normalisation import Normalisation
    from napari_vrp_sam.inference.runs.segmentation_job import SegmentationJob


@app.command()
def segment(
    context: typer.Context,
    image: Annotated[
        Path | None,
        typer.Argument(
            help="TIFF file, OME-Zarr, picture, or folder of images (one a frame); with --session "
            "only where the image has moved."
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
        Path | None,
        typer.Option(help="TIFF file, .zarr, or folder; beside the image unless given."),
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
        AnnotationKindName,
        typer.Option(help="How it was drawn; around scribbles and points all is unknown."),
    ] = AnnotationKindName.MASK,
    one_class: Annotated[
        bool,
        typer.Option(
            "--one-class",
            help="All that is marked is one class: for label images that number objects.",
        ),
    ] = False,
    frames: Annotated[
        str | None, typer.Option(metavar="A:B", help="Segment frames A to B - 1 only.")
    ] = None,
    contrast_limits: Annotated[
        tuple[float, float] | None,
        typer.Option(help="Intensities that become black and white; percentiles unless given."),
    ] = None,
    device: DeviceOption = "auto",
    precision: PrecisionOption = PrecisionName.AUTO,
    compile: CompileOption = False,
    offline: OfflineOption = False,
    tile_size: Annotated[
        int | None,
        typer.Option(help="Pixels of a side that are seen at once, 2048 unless given."),
    ] = None,
    cache: Annotated[
        bool | None,
        typer.Option(
            "--cache/--no-cache",
            help="Keep features of frames on disk for later runs; full-size models on a processor "
            "do unless told.",
            show_default=False,
        ),
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
    workers: Annotated[
        int | None, typer.Option(help="Share the frames among so many processes.")
    ] = None,
    scheduler: Annotated[
        str | None,
        typer.Option(help="Or among the workers of this dask scheduler: tcp://HOST:PORT."),
    ] = None,
    resume: Annotated[
        bool,
        typer.Option(
            "--resume",
            help="Go on with a run that was cut off; its --output ends in .zarr, or is a folder.",
        ),
    ] = False,
    overwrite: Annotated[
        bool,
        typer.Option(
            "--overwrite",
            help="Replace results that are there already; in a folder, all of an earlier run.",
        ),
    ] = False,
) -> None:
    """Segment a class on every frame of a stack after annotating it on one.

    Interrupted with Ctrl+C, it keeps the frames that are finished.
    """
    from napari_vrp_sam.cli.segment.reference_labels import read_reference
    from napari_vrp_sam.inference.frames import Frames
    from napari_vrp_sam.inference.references import gather_references
    from napari_vrp_sam.inference.runs.segmentation_job import SegmentationJob
    from napari_vrp_sam.io.images.stacks import read_labels, read_stack
    from napari_vrp_sam.models.zoo.registry import prompting_note, weights_file

    forbid_downloads(offline)
    if session is not None:
        job, view, accepted, inputs, place = session_run(context, session, image)
    elif image is None or reference is None:
        raise InputError(
            "Give an IMAGE and its --reference, or the --session that holds them both."
        )
    else:
        data, known_axes = read_stack(image)
        view = Frames(data, axes_of(image, axes, known_axes), channel or None)
        labels = read_reference(reference, image, one_class=one_class)
        drawn = check_frame(frame_numbers(frame), view, axes_given=bool(axes))
        references = gather_references(view, labels, frame=drawn, kind=kind.value)
        job = SegmentationJob(
            data,
            references=references,
            axes=view.axes,
            channels=channel or None,
            model=model,
            device=device,
            frames=_range(frames),
            contrast_limits=contrast_limits,
            pseudo_mask=None if pseudo_mask is None else pseudo_mask.value,
            prompting=None if prompting is None else prompting.value,
            tile_size=tile_size,
        )
        accepted, inputs, place = {}, (image, reference), beside(image)
    job = replace(job, cache=cache, precision=precision.value, compile=compile)
    output = output or place
    wish = None
    if instances or link or divisions or table is not None:
        wish = ObjectOptions(objects_beside(output), table, link, divisions, min_size)
        wish.check(view)
    elif min_size:
        raise InputError("--min-size needs --instances, --link or --table: it is for objects.")
    results = RunOutput(output, probabilities, _names(inputs[0]), accepted, resume=resume)
    check_outputs(results, job, view, inputs, wish=wish, overwrite=overwrite)
    file = weights_file(str(job.model))
    # Of a file that is not there, whoever loads it says so.
    there = file is None or file.is_file()
    if there and (note := prompting_note(str(job.model), job.prompting)):
        stderr_console.print(note, soft_wrap=True)
    if not (resume and output.exists()):  # such a run knows what the earlier one has fitted
        job = replace(job, normalisation=_intensities(job, view))
    confidence = run(job, view, results, WorkerOptions(workers, scheduler))
    if wish is not None:
        wish.write(job.data, view, read_labels(output), confidence)


def _intensities(job: SegmentationJob, view: Frames) -> Normalisation:
    """What becomes black and white; a stack that would be black throughout is told of."""
    from napari_vrp_sam.inference.runs.segmentation_job import normalisation_of

    with stderr_console.status("Sampling intensities"):
        normalisation = normalisation_of(job, view)
    if normalisation.flat:
        stderr_console.print(
            "Warning: the stack shows no contrast, as all pixels of a sample of its frames have "
            "one intensity or are no numbers; check the image and its --channel, or give --limits.",
            soft_wrap=True,
        )
    return normalisation


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


def _names(image: Path) -> list[str]:
    """Names for the labels of a folder's images."""
    from napari_vrp_sam.io.images.frame_files import folder_images
    from napari_vrp_sam.io.images.stacks import is_picture_folder

    return [path.stem for path in folder_images(image)] if is_picture_folder(image) else []
