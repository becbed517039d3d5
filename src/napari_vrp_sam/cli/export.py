"""`vrp-sam export`: label images in the formats of other programs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from napari_vrp_sam.cli.app import app, stderr_console
from napari_vrp_sam.cli.common.image_axes import open_frames
from napari_vrp_sam.cli.common.options import (
    INPUT,
    OUTPUT,
    AxesOption,
    ClassNameOption,
    OverwriteOption,
    parse_class_names,
)
from napari_vrp_sam.errors import InputError
from napari_vrp_sam.inference.runs.files.output_paths import check_outputs

if TYPE_CHECKING:
    import pandas as pd


@app.command()
def export(
    labels: Annotated[
        Path,
        typer.Argument(
            metavar="LABELS",
            help="Label image of classes or of objects: TIFF file, OME-Zarr, PNG, or folder.",
        ),
    ],
    output: Annotated[
        Path,
        typer.Argument(
            metavar="OUT",
            help="File whose suffix selects the format: .gpkg or .geojson (polygons), .json "
            "(COCO), .zip (ROIs of ImageJ), .png, .mp4 or .gif (contours on the image), .tif, "
            ".ome.tif, .zarr. Or IMAGE.zarr/labels/NAME.",
        ),
    ],
    image: Annotated[
        Path | None,
        typer.Option(
            "--image",
            help="Labelled image: for pictures, and for its calibration and place on a map if the "
            "labels do not have them.",
            rich_help_panel=INPUT,
        ),
    ] = None,
    axes: AxesOption = None,
    objects: Annotated[
        bool,
        typer.Option(
            "--objects",
            help="The labels number objects, as those of vrp-sam objects do.",
            rich_help_panel=INPUT,
        ),
    ] = False,
    table: Annotated[
        Path | None,
        typer.Option(
            help="Table of the objects from vrp-sam objects --table, with their classes; labels "
            "are then their ids.",
            rich_help_panel=INPUT,
        ),
    ] = None,
    class_name: ClassNameOption = None,
    tolerance: Annotated[
        float,
        typer.Option(
            metavar="PIXELS",
            help="Simplify polygons by up to this distance. Default: exact outlines.",
            rich_help_panel=OUTPUT,
        ),
    ] = 0.0,
    frame_rate: Annotated[
        float, typer.Option(help="Frames of a video per second.", rich_help_panel=OUTPUT)
    ] = 10.0,
    overwrite: OverwriteOption = False,
) -> None:
    """Write a label image in the format of another program.

    Equivalent to `export_labels` in Python.
    """
    from napari_vrp_sam.inference.exporting import export_labels
    from napari_vrp_sam.io.exports.export import export_format
    from napari_vrp_sam.io.exports.pictures import export_files
    from napari_vrp_sam.io.images.opening import open_file
    from napari_vrp_sam.io.images.stacks import read_labels
    from napari_vrp_sam.io.labels.journal import read_journal

    known = export_format(output)
    stored = open_file(labels, raw=True)
    metadata = stored.metadata
    label_axes = None
    if image is not None:
        labelled, view = open_frames(image, None, axes, None, None)
        label_axes = view.label_axes
        if not (metadata.pixel_size or metadata.transform):
            metadata = labelled.metadata
    data = read_labels(labels, image, axes=label_axes)
    frames = 1
    for size in data.shape[:-2]:
        frames *= int(size)
    files = export_files(output, frames)
    for file in files:
        check_outputs(
            file, [], [path for path in (labels, image, table) if path], overwrite=overwrite
        )
    export_labels(
        data,
        output,
        image=image,
        axes=axes or (stored.axes if image is None else None),
        metadata=metadata,
        objects=objects,
        table=None if table is None else _read_table(table),
        class_names=parse_class_names(class_name or []),
        confidence={
            frame.index: frame.confidence
            for frame in read_journal(labels)[1]
            if frame.confidence is not None
        },
        tolerance=tolerance,
        frame_rate=frame_rate,
        overwrite=overwrite,
    )
    last = f" to {files[-1].name}" if len(files) > 1 else ""
    stderr_console.print(f"The labels are in {files[0]}{last} ({known.name}).", soft_wrap=True)


def _read_table(path: Path) -> pd.DataFrame:
    import pandas as pd

    from napari_vrp_sam.io.exports.tables import check_table_path

    check_table_path(path)
    try:
        return pd.read_csv(path) if path.suffix.lower() == ".csv" else pd.read_parquet(path)
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read as a table: {error}.") from error
