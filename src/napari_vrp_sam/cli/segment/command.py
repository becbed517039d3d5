"""`vrp-sam segment`: read an annotated stack, write labels of all frames."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from napari_vrp_sam.cli.app import DeprecatedOptionsCommand, app, stderr_console
from napari_vrp_sam.cli.common.downloads import OfflineOption, forbid_downloads
from napari_vrp_sam.cli.common.image_axes import describe_channels, open_frames
from napari_vrp_sam.cli.common.label_questions import OneClassOption
from napari_vrp_sam.cli.common.object_output import ObjectOutput
from napari_vrp_sam.cli.common.options import (
    AnnotationKindOption,
    AxesOption,
    BackgroundOption,
    ChannelOption,
    CompileOption,
    ContrastLimitsOption,
    DeviceOption,
    EffortOption,
    IgnoreOption,
    ImageNumberOption,
    ModelOption,
    NodataOption,
    PrecisionName,
    PrecisionOption,
    PromptingOption,
    PseudoMaskOption,
    ReferenceFrameOption,
    kind_of,
)
from napari_vrp_sam.cli.segment.batch import refuse_single, segment_images
from napari_vrp_sam.cli.segment.options import (
    CacheOption,
    FramesOption,
    NeighboursOption,
    OutputOption,
    OverwriteOption,
    ProbabilitiesOption,
    ResumeOption,
    SchedulerOption,
    TileSizeOption,
    WorkersOption,
    parse_range,
)
from napari_vrp_sam.cli.segment.reference_labels import (
    ClassColumnOption,
    ReferenceImageOption,
    ReferenceOption,
    ReferenceOptions,
    read_annotated,
    read_other_image,
)
from napari_vrp_sam.cli.segment.run import output_frame_files, read_output, run
from napari_vrp_sam.cli.segment.segmenter import (
    SegmenterOption,
    overrides,
    read_segmenter_input,
)
from napari_vrp_sam.cli.segment.session import SegmentationInput, SessionOption, read_session_input
from napari_vrp_sam.errors import InputError
from napari_vrp_sam.inference.objects.settings import ObjectSettings
from napari_vrp_sam.inference.runs.files.output import RunOutput
from napari_vrp_sam.inference.runs.files.output_paths import (
    check_outputs,
    default_labels_path,
    default_objects_path,
)


@app.command(cls=DeprecatedOptionsCommand)
def segment(
    context: typer.Context,
    images: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="IMAGE",
            help="Image file of any supported format, OME-Zarr, folder with one image per frame, "
            "or quoted pattern such as 'scan/*_ch1.tif'. Several images are segmented one after "
            "the other; --reference annotates the first, unless --reference-image is given. With "
            "--session, only needed if the image was moved.",
        ),
    ] = None,
    reference: ReferenceOption = None,
    reference_image: ReferenceImageOption = None,
    reference_frame: ReferenceFrameOption = None,
    annotation_kind: AnnotationKindOption = None,
    background: BackgroundOption = None,
    ignore: IgnoreOption = None,
    one_class: OneClassOption = None,
    class_column: ClassColumnOption = None,
    session: SessionOption = None,
    segmenter: SegmenterOption = None,
    image_number: ImageNumberOption = None,
    axes: AxesOption = None,
    channel: ChannelOption = None,
    nodata: NodataOption = None,
    frames: FramesOption = None,
    output: OutputOption = None,
    probabilities: ProbabilitiesOption = None,
    resume: ResumeOption = False,
    overwrite: OverwriteOption = False,
    model: ModelOption = "lite",
    device: DeviceOption = "auto",
    prompting: PromptingOption = None,
    contrast_limits: ContrastLimitsOption = None,
    tile_size: TileSizeOption = None,
    effort: EffortOption = 1.0,
    neighbours: NeighboursOption = True,
    pseudo_mask: PseudoMaskOption = None,
    precision: PrecisionOption = PrecisionName.AUTO,
    compile: CompileOption = False,
    cache: CacheOption = None,
    offline: OfflineOption = False,
    workers: WorkersOption = None,
    scheduler: SchedulerOption = None,
    instances: Annotated[
        bool, typer.Option("--instances", hidden=True, help="vrp-sam objects")
    ] = False,
    link: Annotated[
        bool, typer.Option("--link", hidden=True, help="vrp-sam objects --link")
    ] = False,
    divisions: Annotated[
        bool, typer.Option("--divisions", hidden=True, help="vrp-sam objects --divisions")
    ] = False,
    min_size: Annotated[
        int | None, typer.Option(hidden=True, help="vrp-sam objects --min-size")
    ] = None,
    table: Annotated[Path | None, typer.Option(hidden=True, help="vrp-sam objects --table")] = None,
) -> None:
    """Segment a class on every frame of a stack after annotating it on one frame.

    Finished frames are saved if the run is interrupted with Ctrl+C.
    """
    from napari_vrp_sam.inference.runs.segmentation_job import SegmentationJob, normalisation_of
    from napari_vrp_sam.io.images.stacks import frame_files
    from napari_vrp_sam.models.zoo.registry import describe_prompting, weights_file

    forbid_downloads(offline)
    image = images[0] if images else None
    if segmenter is not None:
        given = read_segmenter_input(
            context, segmenter, image, axes=axes, frames=parse_range(frames)
        )
    elif session is not None:
        given = read_session_input(context, session, image)
    elif image is None or reference is None:
        raise InputError(
            "There is nothing to segment: give an IMAGE with --reference or --segmenter, or a "
            "--session."
        )
    else:
        stored, stack = open_frames(image, image_number, axes, channel, nodata)
        annotated = ReferenceOptions(
            reference,
            reference_frame,
            kind_of(annotation_kind),
            background,
            ignore,
            one_class,
            class_column,
        )
        job = SegmentationJob(
            stored.data,
            **(
                read_other_image(
                    annotated, reference_image, stack, channel or None, contrast_limits
                )
                if reference_image
                else read_annotated(annotated, image, stored, stack, axes_given=bool(axes))
            ),
            axes=stack.axes,
            channels=channel or None,
            nodata=stack.nodata,
            model=model,
            device=device,
            frames=parse_range(frames),
            contrast_limits=contrast_limits,
            pseudo_mask=None if pseudo_mask is None else pseudo_mask.value,
            prompting=None if prompting is None else prompting.value,
            tile_size=tile_size,
        )
        files = image, reference, *([reference_image] if reference_image else [])
        given = SegmentationInput(
            job, stack, {}, files, default_labels_path(image), stored.metadata
        )
    stack = given.frames
    if note := describe_channels(stack, given.metadata.channel_names):
        stderr_console.print(note, soft_wrap=True)
    changed = overrides(
        context,
        segmenter or session,
        cache=cache,
        precision=precision.value,
        compile=compile,
        effort=effort,
        neighbours=neighbours,
    )
    job = replace(given.job, **changed)
    if images and len(images) > 1:
        refuse_single(context)
        # As a segmenter does: all images have the contrast limits of the first.
        complete = segment_images(
            replace(job, normalisation=normalisation_of(job, stack)),
            images,
            given.files,
            output,
            image_number=image_number,
            nodata=nodata,
            overwrite=overwrite,
            resume=resume,
            workers=workers,
            scheduler=scheduler,
        )
        raise typer.Exit(0 if complete else 1)
    sources = frame_files(given.files[0])
    results = RunOutput(
        output or given.default_output,
        probabilities,
        [file.stem for file in sources],
        given.accepted,
        resume=resume,
        metadata=given.metadata,
        sources=sources,
    )
    objects = None
    if instances or link or divisions or table is not None:
        path = default_objects_path(results.labels)
        settings = ObjectSettings(
            link, divisions, min_size="auto" if min_size is None else min_size
        )
        if min_size is None:
            settings = given.clean_up.of_objects(settings, smoothed=True)
        objects = ObjectOutput(path, table, settings)
        objects.check(stack.label_axes)
    elif min_size is not None:
        raise InputError("--min-size needs --instances, --link or --table.")
    label_files = output_frame_files(results, job, stack)
    check_outputs(
        results.labels,
        [*([probabilities] if probabilities else []), *(objects.files if objects else [])],
        given.files,
        frame_files=list(label_files.values()),
        overwrite=overwrite,
        resume=resume,
    )
    weights = weights_file(str(job.model))
    available = weights is None or weights.is_file()  # else loading it raises
    if available and (note := describe_prompting(str(job.model), job.prompting)):
        stderr_console.print(note, soft_wrap=True)
    confidence = run(job, stack, results, workers=workers, scheduler=scheduler)
    if objects is not None:
        labels = read_output(results, job, stack, label_files)
        objects.write(labels, job.data, stack, confidence=confidence, metadata=given.metadata)
