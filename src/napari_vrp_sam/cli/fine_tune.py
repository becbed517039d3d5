"""`vrp-sam fine-tune`: fine-tune a model on annotated frames."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from napari_vrp_sam.cli.app import DeprecatedOptionsCommand, app, console, stderr_console
from napari_vrp_sam.cli.common.downloads import OfflineOption, forbid_downloads
from napari_vrp_sam.cli.common.image_axes import resolve_axes
from napari_vrp_sam.cli.common.label_questions import OneClassOption, name_options
from napari_vrp_sam.cli.common.options import (
    ADVANCED,
    INPUT,
    MODEL,
    OUTPUT,
    AnnotationKindOption,
    AxesOption,
    BackgroundOption,
    ChannelOption,
    ContrastLimitsOption,
    DeviceOption,
    IgnoreOption,
    ImageNumberOption,
    ModelOption,
    ReferenceFrameOption,
    kind_of,
)
from napari_vrp_sam.cli.segment.reference_labels import (
    ClassColumnOption,
    ReferenceOptions,
    read_annotated,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_vrp_sam.annotations.reference import AnnotationKind, Reference
    from napari_vrp_sam.fine_tuning.events import FineTuningResult
    from napari_vrp_sam.fine_tuning.job import FineTuneJob


class PartsName(StrEnum):
    """Parts of a model to train."""

    HEAD = "head"
    DECODER = "decoder"
    VRP_ENCODER = "vrp-encoder"
    LORA = "lora"


@app.command("fine-tune", cls=DeprecatedOptionsCommand)
def fine_tune(
    image: Annotated[
        Path,
        typer.Argument(
            metavar="IMAGE",
            help="TIFF, OME-Zarr, PNG or JPEG file, or folder of images; with a folder of label "
            "images, the images may have different sizes.",
        ),
    ],
    reference: Annotated[
        Path,
        typer.Option(
            metavar="FILE",
            help="Label image whose values are classes: for all frames, with 0 on frames without "
            "annotation, or for the frame given by --reference-frame. Or a folder of label images "
            "with the same file names as the images, or a file of another annotation program, as "
            "for vrp-sam segment.",
            rich_help_panel=INPUT,
        ),
    ],
    output: Annotated[
        Path,
        typer.Option(metavar="FILE", help="Model to write (.safetensors).", rich_help_panel=OUTPUT),
    ],
    reference_frame: ReferenceFrameOption = None,
    annotation_kind: AnnotationKindOption = None,
    background: BackgroundOption = None,
    ignore: IgnoreOption = None,
    one_class: OneClassOption = None,
    class_column: ClassColumnOption = None,
    image_number: ImageNumberOption = None,
    axes: AxesOption = None,
    channel: ChannelOption = None,
    name: Annotated[
        str,
        typer.Option(
            metavar="TEXT",
            help="Name on the model card. Default: the name of the file.",
            rich_help_panel=OUTPUT,
        ),
    ] = "",
    model: ModelOption = "lite",
    parts: Annotated[
        PartsName | None,
        typer.Option(
            metavar="NAME",
            help="Parts to train. head: a dense head (default for lite and probe models); decoder: "
            "everything except the image encoder (default for SAM models); vrp-encoder: only the "
            "VRP encoder, as in the paper; lora: as decoder, and low-rank adapters in the image "
            "encoder of a full-size model.",
            rich_help_panel=MODEL,
        ),
    ] = None,
    minutes: Annotated[
        float | None,
        typer.Option(
            metavar="N",
            help="Minutes of training; loading and measuring take additional time. "
            "Default: 3 on a CPU, 1 on a GPU.",
            rich_help_panel=MODEL,
        ),
    ] = None,
    steps: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="N",
            help="Number of training steps instead of --minutes; reproducible on a CPU.",
            rich_help_panel=MODEL,
        ),
    ] = None,
    device: DeviceOption = "auto",
    offline: OfflineOption = False,
    contrast_limits: ContrastLimitsOption = None,
    seed: Annotated[
        int,
        typer.Option(
            min=0,
            metavar="N",
            help="Seed of crops, augmentation and dropout.",
            rich_help_panel=ADVANCED,
        ),
    ] = 0,
) -> None:
    """Fine-tune a model on one or a few annotated frames.

    Part of the annotation is held out to measure the improvement; the new model is saved only if
    it is better. The same command resumes a run that was interrupted by Ctrl+C or a crash.
    """
    from napari_vrp_sam.fine_tuning.job import FineTuneJob
    from napari_vrp_sam.fine_tuning.verdict import describe_result
    from napari_vrp_sam.inference.frames import Frames
    from napari_vrp_sam.io.images.frame_files import folder_images
    from napari_vrp_sam.io.images.opening import open_image
    from napari_vrp_sam.io.images.stacks import is_picture_folder

    forbid_downloads(offline)
    how = LabelMeaning(kind_of(annotation_kind), background, ignore, one_class)
    data: Any
    stored = None
    folders = is_picture_folder(image) and is_picture_folder(reference)
    if folders and _sizes_differ(folder_images(image)):
        with name_options(reference):
            references = _read_pairs(image, reference, how, channel or range(3))
        data, axes = references[0].image, axes or "YXS"
        channel = None  # the references have the chosen channels only
    else:
        stored = open_image(image, image=image_number)
        data = stored.data
        axes_of_image = resolve_axes(image, axes, stored.axes)
        stack = Frames(data, axes_of_image, channel or None, nodata=stored.metadata.nodata)
        annotated = ReferenceOptions(
            reference, reference_frame, how.kind, background, ignore, one_class, class_column
        )
        references = read_annotated(annotated, image, stored, stack, axes_given=bool(axes))[
            "references"
        ]
        axes = stack.axes
    job = FineTuneJob(
        data,
        references=references,
        output=output,
        name=name,
        axes=axes,
        channels=channel or None,
        nodata=None if stored is None else stored.metadata.nodata,
        model=model,
        parts=None if parts is None else parts.value,
        minutes=minutes,
        steps=steps,
        device=device,
        contrast_limits=contrast_limits,
        seed=seed,
    )
    result = _run(job)
    stderr_console.print(describe_result(result), soft_wrap=True)
    if result.path is not None:
        console.print(result.path, soft_wrap=True)


def _run(job: FineTuneJob) -> FineTuningResult:
    """Run a job with a progress bar."""
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    from napari_vrp_sam.fine_tuning.events import FineTuningResult, TrainingStep, Validation
    from napari_vrp_sam.fine_tuning.verdict import describe_step
    from napari_vrp_sam.inference.runs.control import Control
    from napari_vrp_sam.inference.runs.events import Progress as Message

    text = TextColumn("{task.description}", markup=False)
    details = TextColumn("{task.fields[state]}")
    elapsed = TimeElapsedColumn()
    columns = (text, BarColumn(), details, elapsed)
    with Progress(*columns, console=stderr_console, transient=True) as bar:
        task = bar.add_task("Starting", total=None, state="")
        for event in job.events(Control()):
            match event:
                case Message(message=message):
                    bar.update(task, description=message)
                case Validation(step=0):
                    stderr_console.print(f"Base model: IoU {event.iou:.3f} on held-out annotation.")
                case Validation():
                    ious = f"IoU {event.iou:.3f}, best {event.best:.3f}"
                    stderr_console.print(f"Step {event.step}: {ious} on held-out annotation.")
                case TrainingStep(budget=budget):
                    total = event.steps if budget is None else budget
                    done = event.step if budget is None else min(event.seconds, budget)
                    state = f"loss {event.loss:.3f}"
                    bar.update(
                        task,
                        description=describe_step(event),
                        completed=done,
                        total=total,
                        state=state,
                    )
    assert isinstance(event, FineTuningResult)  # the last event of every run
    return event


def _sizes_differ(files: list[Path]) -> bool:
    from napari_vrp_sam.io.images.stacks import frame_shape

    return len({frame_shape(path, palette=False)[:2] for path in files}) > 1


class LabelMeaning(NamedTuple):
    """Kind of annotation, and what label values mean, as far as the user says."""

    kind: AnnotationKind | None
    background: int | None
    ignore: int | None
    one_class: bool | None


def _read_pairs(
    images: Path, labels: Path, how: LabelMeaning, channels: Sequence[int]
) -> list[Reference]:
    """Read references from images of different sizes and their label images."""
    from napari_vrp_sam.annotations.label_questions import check_label_meaning, labels_in
    from napari_vrp_sam.annotations.labels import merge_classes, references_from_labels
    from napari_vrp_sam.errors import InputError
    from napari_vrp_sam.io.images.frame_files import folder_images
    from napari_vrp_sam.io.images.stacks import label_files, read_frame

    image_files = {path.stem: path for path in folder_images(images)}
    references: list[Reference] = []
    for path in label_files(labels):
        if path.stem not in image_files:
            raise InputError(
                f"{path} has no image of the same name in {images}: rename the label image."
            )
        frame_labels = read_frame(path, palette=True)
        if how.one_class:
            frame_labels = merge_classes(frame_labels, (how.background, how.ignore))
        if labels_in(frame_labels) - {how.background, how.ignore}:
            frame = read_frame(image_files[path.stem], colours=True)[..., channels]
            check_label_meaning({0: frame_labels}, [frame].__getitem__, **how._asdict())
            references += references_from_labels(
                frame_labels,
                frame,
                kind=how.kind or "mask",
                background=how.background,
                ignore=how.ignore,
            )
    if not references:
        raise InputError(
            "There is no annotation: mark a class with a label of 1 or more on at least one image."
        )
    return references
