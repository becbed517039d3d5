"""`vrp-sam fine-tune`: annotated frames in, a model that knows them out."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from napari_vrp_sam.cli.app import app, console, stderr_console
from napari_vrp_sam.cli.downloads import OfflineOption, forbid_downloads
from napari_vrp_sam.cli.image_axes import axes_of, check_frame
from napari_vrp_sam.cli.options import AnnotationKindName, DeviceOption, ModelOption, frame_numbers

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from napari_vrp_sam.annotations.reference import AnnotationKind, Reference
    from napari_vrp_sam.fine_tuning.events import FineTuningResult
    from napari_vrp_sam.inference.runs.events import Event


class Parts(StrEnum):
    """What learns."""

    HEAD = "head"
    DECODER = "decoder"
    VRP_ENCODER = "vrp-encoder"
    LORA = "lora"


@app.command("fine-tune")
def fine_tune(
    image: Annotated[
        Path,
        typer.Argument(
            help="TIFF file, OME-Zarr, picture, or folder of images (one a frame, of any sizes if "
            "the reference is a folder too)."
        ),
    ],
    reference: Annotated[
        Path,
        typer.Option(
            help="Label image, the value is the class: of all frames (0 where nothing is "
            "annotated), or of the one that --frame names; or a folder, files named as the images."
        ),
    ],
    output: Annotated[Path, typer.Option(help="The model to write (.safetensors).")],
    frame: Annotated[
        str | None, typer.Option(help="The annotated frame, from 0; of several axes: T,Z.")
    ] = None,
    model: ModelOption = "lite",
    parts: Annotated[
        Parts | None,
        typer.Option(
            help="What learns: a dense head on a copy of the backbone (lite unless given); all but "
            "the backbone; the VRP encoder alone, as in the paper; or also small additions to the "
            "image encoder of a full-size model."
        ),
    ] = None,
    minutes: Annotated[
        float | None, typer.Option(help="Time to train; 3 on a CPU, 1 on a GPU unless given.")
    ] = None,
    steps: Annotated[
        int | None, typer.Option(min=1, help="Steps instead of minutes: repeatable to the bit.")
    ] = None,
    name: Annotated[
        str, typer.Option(help="Name of the model, on its card; the file's unless given.")
    ] = "",
    axes: Annotated[
        str | None, typer.Option(help="Letters of T, Z, C, Y, X, S, one an axis: TZYX.")
    ] = None,
    channel: Annotated[
        list[int] | None, typer.Option(help="Channel to use, from 0; may be repeated.")
    ] = None,
    kind: Annotated[
        AnnotationKindName,
        typer.Option(help="How it was drawn; around scribbles and points all is unknown."),
    ] = AnnotationKindName.MASK,
    contrast_limits: Annotated[
        tuple[float, float] | None,
        typer.Option(help="Intensities that become black and white; percentiles unless given."),
    ] = None,
    device: DeviceOption = "auto",
    offline: OfflineOption = False,
    seed: Annotated[int, typer.Option(min=0, help="Of crops, turns and dropout.")] = 0,
) -> None:
    """Let a model learn from one to a few annotated frames.

    A part of the annotation is held out to see whether it gets better; nothing is written if it
    does not. Interrupted with Ctrl+C, or by a crash, the same command goes on where it was.
    """
    from napari_vrp_sam.inference.frames import Frames
    from napari_vrp_sam.io.images.frame_files import folder_images
    from napari_vrp_sam.io.images.stacks import is_picture_folder, read_labels, read_stack

    forbid_downloads(offline)
    drawn = frame_numbers(frame)
    data: Any
    annotations: Any
    folders = is_picture_folder(image) and is_picture_folder(reference)
    known_axes: str | None
    if folders and _sizes_differ(folder_images(image)):
        annotations = _pairs(image, reference, kind.value, channel or range(3))
        channel = None  # the references show no other
        data, known_axes = annotations[0].image, "YXS"
    else:
        data, known_axes = read_stack(image)
        known_axes = axes_of(image, axes, known_axes)
        check_frame(drawn, Frames(data, known_axes, channel or None), axes_given=bool(axes))
        annotations = read_labels(reference, image)
    from napari_vrp_sam.fine_tuning.api import fine_tune as run

    options: dict[str, Any] = {
        "axes": axes or known_axes,
        "channels": channel or None,
        "frame": drawn,
        "kind": kind.value,
        "model": model,
        "parts": None if parts is None else parts.value,
        "minutes": minutes,
        "steps": steps,
        "device": device,
        "contrast_limits": contrast_limits,
        "name": name,
        "seed": seed,
    }
    _tell(_watched(lambda tell: run(data, annotations, output, progress=tell, **options)))


def _watched(run: Callable[[Callable[[Event], None]], FineTuningResult]) -> FineTuningResult:
    """Run, with a bar that tells loss, IoU and the time left."""
    from rich.progress import BarColumn, Progress, TextColumn

    from napari_vrp_sam.fine_tuning.events import TrainingStep, Validation
    from napari_vrp_sam.inference.runs.events import Progress as Doing

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TextColumn("{task.fields[told]}"),
    )
    with Progress(*columns, console=stderr_console, transient=True) as bar:
        task = bar.add_task("Starting", total=None, told="")
        best = ""

        def tell(event: Event) -> None:
            nonlocal best
            if isinstance(event, Doing):
                bar.update(task, description=event.message)
            elif isinstance(event, Validation):
                best = f"IoU {event.iou:.3f}, best {event.best:.3f}"
                stderr_console.print(f"Step {event.step}: {best} on what is held out.")
            elif isinstance(event, TrainingStep):
                left = f"{event.seconds_left / 60:.1f} min left"
                bar.update(
                    task,
                    completed=event.step,
                    total=event.steps,
                    description="Training",
                    told=f"loss {event.loss:.3f}, {best}, {left}",
                )

        return run(tell)


def _tell(tuned: FineTuningResult) -> None:
    before, after = f"{tuned.iou_before:.3f}", f"{tuned.iou_after:.3f}"
    if tuned.path is None:
        stderr_console.print(
            f"IoU on what was held out: {before} before, {after} at best. That is no better, so "
            "nothing is written: keep the old model, or annotate more.",
            soft_wrap=True,
        )
        return
    stderr_console.print(
        f"IoU on what was held out: {before} before, {after} after.", soft_wrap=True
    )
    console.print(tuned.path, soft_wrap=True)


def _sizes_differ(files: list[Path]) -> bool:
    from napari_vrp_sam.io.images.frame_files import frame_shape

    return len({frame_shape(path, palette=False)[:2] for path in files}) > 1


def _pairs(
    images: Path, labels: Path, kind: AnnotationKind, channels: Sequence[int]
) -> list[Reference]:
    """References on images that are no stack, because their sizes differ."""
    from napari_vrp_sam.annotations.labels import references_from_labels
    from napari_vrp_sam.errors import InputError
    from napari_vrp_sam.io.images.frame_files import folder_images, read_frame
    from napari_vrp_sam.io.images.stacks import label_files

    pictures = {path.stem: path for path in folder_images(images)}
    references: list[Reference] = []
    for path in label_files(labels):
        if path.stem not in pictures:
            raise InputError(
                f"{path} belongs to no image of {images}: give labels the name of their image."
            )
        drawn = read_frame(path, palette=True)
        if drawn.any():
            picture = read_frame(pictures[path.stem], colours=True)[..., channels]
            references += references_from_labels(drawn, picture, kind=kind)
    if not references:
        raise InputError(
            "There is no annotation: mark a class with a label of 1 or more on at least one image."
        )
    return references
