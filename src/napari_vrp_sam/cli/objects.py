"""`vrp-sam objects`: number, link and measure the objects of a label image."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from napari_vrp_sam.cli.app import DeprecatedOptionsCommand, app
from napari_vrp_sam.cli.common.image_axes import resolve_axes
from napari_vrp_sam.cli.common.object_output import ObjectOutput, object_id_files
from napari_vrp_sam.cli.common.options import (
    INPUT,
    OUTPUT,
    AxesOption,
    ChannelOption,
    ClassNameOption,
    OverwriteOption,
    parse_class_names,
)
from napari_vrp_sam.errors import InputError
from napari_vrp_sam.inference.objects.settings import (
    SMOOTHING,
    SPLIT_STRENGTH,
    MinSize,
    ObjectSettings,
)
from napari_vrp_sam.inference.runs.files.output_paths import (
    check_outputs,
    default_objects_path,
    frame_names,
    same_file,
)


@app.command(cls=DeprecatedOptionsCommand)
def objects(
    labels: Annotated[
        Path,
        typer.Argument(
            metavar="LABELS",
            help="Label image whose values are classes: TIFF file, OME-Zarr, PNG, or folder of "
            "label images.",
        ),
    ],
    image: Annotated[
        Path | None,
        typer.Option(help="Segmented image, to measure intensities.", rich_help_panel=INPUT),
    ] = None,
    image_number: Annotated[
        str | None,
        typer.Option(
            metavar="N",
            help="Number or name of the image in a file with several; see `vrp-sam images`. "
            "Default: the largest.",
            rich_help_panel=INPUT,
        ),
    ] = None,
    axes: AxesOption = None,
    channel: ChannelOption = None,
    link: Annotated[
        bool,
        typer.Option(
            "--link", help="Give each object one id through Z and T. Default: one id per frame."
        ),
    ] = False,
    divisions: Annotated[
        bool, typer.Option("--divisions", help="Let linked objects divide over time (T).")
    ] = False,
    split_strength: Annotated[
        float,
        typer.Option(
            help="How readily touching objects are split: 0 never, 1 at every neck.",
        ),
    ] = SPLIT_STRENGTH,
    min_size: Annotated[
        str,
        typer.Option(
            metavar="PIXELS|auto",
            help="Discard objects with fewer pixels on a frame. auto: fewer than a 20th of the "
            "pixels of the typical object.",
        ),
    ] = "auto",
    fill_holes: Annotated[
        bool,
        typer.Option("--fill-holes/--no-fill-holes", help="Fill the small holes of objects."),
    ] = True,
    smoothing: Annotated[
        float,
        typer.Option(
            metavar="PIXELS",
            help="Standard deviation of the Gaussian filter that smooths outlines.",
        ),
    ] = SMOOTHING,
    no_split: Annotated[
        bool, typer.Option("--no-split", hidden=True, help="--split-strength 0")
    ] = False,
    output: Annotated[
        Path | None,
        typer.Option(
            help="Object ids: TIFF file, .zarr, or folder. Default: *_objects.tif beside LABELS.",
            rich_help_panel=OUTPUT,
        ),
    ] = None,
    table: Annotated[
        Path | None,
        typer.Option(
            help="CSV or Parquet file with class, frames, area and intensity of each object.",
            rich_help_panel=OUTPUT,
        ),
    ] = None,
    class_name: ClassNameOption = None,
    overwrite: OverwriteOption = False,
) -> None:
    """Number the objects in a label image, link them through the stack, and measure them.

    Equivalent to `objects_from_labels` in Python.
    """
    from napari_vrp_sam.inference.frames import Frames
    from napari_vrp_sam.io.images.opening import open_file, open_image
    from napari_vrp_sam.io.images.stacks import read_labels
    from napari_vrp_sam.io.labels.journal import read_journal

    data = None
    if image is not None:
        if same_file(image, labels):
            raise InputError(f"{image} is the label image itself: give the segmented image.")
        stored = open_image(image, image=image_number)
        data = stored.data
        frames = Frames(data, resolve_axes(image, axes, stored.axes), channel or None)
        classes = read_labels(labels, image, axes=frames.label_axes)
    elif channel or image_number:
        option = "--channel" if channel else "--image-number"
        raise InputError(f"{option} needs --image: intensities are measured on the image.")
    else:
        stored = open_file(labels, raw=True)
        classes = read_labels(labels)
        frames = Frames(classes, resolve_axes(labels, axes, stored.axes))
    settings = ObjectSettings(
        link,
        divisions,
        split_strength=0.0 if no_split else split_strength,
        min_size=_parse_min_size(min_size),
        fill_holes=fill_holes,
        smoothing=smoothing,
    )
    class_names = parse_class_names(class_name or [])
    target = output or default_objects_path(labels)
    found = ObjectOutput(target, table, settings, class_names)
    found.check(frames.label_axes)
    names = frame_names(image or labels)
    check_outputs(
        found.labels,
        found.files[1:],
        [labels] if image is None else [labels, image],
        frame_files=object_id_files(found.labels, frames, names, stored.metadata),
        overwrite=overwrite,
    )
    # Runs that write a folder or OME-Zarr record the confidence of frames.
    confidence = {
        f.index: f.confidence for f in read_journal(labels)[1] if f.confidence is not None
    }
    found.write(classes, data, frames, names=names, confidence=confidence, metadata=stored.metadata)


def _parse_min_size(text: str) -> MinSize:
    """Return a minimum size in pixels or "auto".

    Raises
    ------
    InputError
        If the text is neither.
    """
    if text == "auto":
        return "auto"
    try:
        return int(text)
    except ValueError as error:
        raise InputError(
            f'The minimum size must be a number of pixels or "auto", not "{text}".'
        ) from error
