"""`vrp-sam compare`: accuracy, time and memory of several models on a stack."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from napari_vrp_sam.cli.app import app, console, progress_bar
from napari_vrp_sam.cli.common.downloads import OfflineOption, forbid_downloads
from napari_vrp_sam.cli.common.image_axes import open_frames
from napari_vrp_sam.cli.common.label_questions import OneClassOption
from napari_vrp_sam.cli.common.options import (
    INPUT,
    OUTPUT,
    AnnotationKindOption,
    AxesOption,
    BackgroundOption,
    ChannelOption,
    ContrastLimitsOption,
    DeviceOption,
    EffortOption,
    IgnoreOption,
    ImageNumberOption,
    NodataOption,
    ReferenceFrameOption,
    kind_of,
)
from napari_vrp_sam.cli.segment.reference_labels import (
    ClassColumnOption,
    ReferenceOption,
    ReferenceOptions,
    read_annotated,
)
from napari_vrp_sam.errors import InputError


@app.command()
def compare(
    image: Annotated[
        Path,
        typer.Argument(
            metavar="IMAGE", help="Image file of any supported format, OME-Zarr, or folder."
        ),
    ],
    reference: ReferenceOption = None,
    models: Annotated[
        str,
        typer.Option(
            metavar="NAMES",
            help="Models to compare, separated by commas: names of vrp-sam models, or files.",
        ),
    ] = "lite,dinov2_s",
    reference_frame: ReferenceFrameOption = None,
    annotation_kind: AnnotationKindOption = None,
    background: BackgroundOption = None,
    ignore: IgnoreOption = None,
    one_class: OneClassOption = None,
    class_column: ClassColumnOption = None,
    image_number: ImageNumberOption = None,
    axes: AxesOption = None,
    channel: ChannelOption = None,
    nodata: NodataOption = None,
    shown_frame: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            help="Frame that the picture shows. Default: one without annotation, near the middle.",
            rich_help_panel=INPUT,
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            help="Folder for comparison.csv and comparison.png. Default: *_comparison beside the "
            "image.",
            rich_help_panel=OUTPUT,
        ),
    ] = None,
    device: DeviceOption = "auto",
    contrast_limits: ContrastLimitsOption = None,
    effort: EffortOption = 1.0,
    offline: OfflineOption = False,
) -> None:
    """Compare models on a stack: accuracy on held-out annotations, seconds, memory, pictures.

    If several frames are annotated, each one is held out once; of a single frame, each half.
    """
    from napari_vrp_sam.inference.comparison.job import (
        Compared,
        ComparisonJob,
        comparison_events,
    )
    from napari_vrp_sam.inference.comparison.result import ModelResult
    from napari_vrp_sam.inference.runs.control import Control
    from napari_vrp_sam.inference.runs.events import Progress
    from napari_vrp_sam.models.zoo.registry import base_spec

    forbid_downloads(offline)
    names = tuple(name.strip() for name in models.split(",") if name.strip())
    for name in names:
        base_spec(name)  # a misspelt name is reported before the others run
    if reference is None:
        raise InputError("There is nothing to compare on: annotate a frame, and give --reference.")
    stored, stack = open_frames(image, image_number, axes, channel, nodata)
    options = ReferenceOptions(
        reference,
        reference_frame,
        kind_of(annotation_kind),
        background,
        ignore,
        one_class,
        class_column,
    )
    job = ComparisonJob(
        stored.data,
        **read_annotated(options, image, stored, stack, axes_given=bool(axes)),
        axes=stack.axes,
        channels=channel or None,
        nodata=stack.nodata,
        device=device,
        contrast_limits=contrast_limits,
        effort=effort,
        first_frame=shown_frame,
        models=names,
    )
    folder = output or image.with_name(f"{image.stem}_comparison")
    with progress_bar() as bar:
        task = bar.add_task("", total=len(job.models))
        for event in comparison_events(job, Control()):
            match event:
                case Progress(done, total, message):
                    bar.update(task, completed=done, total=total, description=message)
                case ModelResult():
                    bar.console.print(str(event), soft_wrap=True, highlight=False)
                case Compared(comparison):
                    written = comparison.write(folder)
    if comparison.held_out:
        console.print(f"IoU on {comparison.held_out}.", soft_wrap=True)
    else:
        console.print("The IoU cannot be measured: this needs complete masks.", soft_wrap=True)
    for path in written:
        console.print(path, soft_wrap=True)
    if all(result.problem for result in comparison.results):
        raise InputError("No model could be compared: see the lines above.")
