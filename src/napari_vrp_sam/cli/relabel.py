"""`vrp-sam relabel`: labels from the probabilities of a run, with another threshold."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from napari_vrp_sam.cli.app import app, progress_bar, stderr_console
from napari_vrp_sam.cli.common.options import OUTPUT, OverwriteOption
from napari_vrp_sam.errors import InputError
from napari_vrp_sam.inference.runs.files.output_paths import check_outputs, default_relabelled_path
from napari_vrp_sam.wording import count


@app.command()
def relabel(
    probabilities: Annotated[
        Path,
        typer.Argument(
            metavar="PROBABILITIES",
            help="Probabilities from vrp-sam segment --probabilities, or from Export in napari.",
        ),
    ],
    threshold: Annotated[
        list[str] | None,
        typer.Option(
            metavar="[CLASS=]VALUE",
            help="Probability above which a pixel can belong to a class: for all classes (0.4) or "
            "for one (2=0.4); repeat for several. Default: 0.5.",
        ),
    ] = None,
    min_size: Annotated[
        int, typer.Option(help="Remove connected regions with fewer pixels on a frame.")
    ] = 0,
    fill_holes: Annotated[
        bool, typer.Option("--fill-holes", help="Fill holes that contain no other class.")
    ] = False,
    smoothing: Annotated[
        float,
        typer.Option(
            metavar="PIXELS",
            help="Standard deviation of the Gaussian filter that smooths the probabilities and "
            "thus the outlines.",
        ),
    ] = 0.0,
    output: Annotated[
        Path | None,
        typer.Option(
            help="Labels: TIFF file, .zarr, or folder. Default: *_relabelled.tif beside "
            "PROBABILITIES.",
            rich_help_panel=OUTPUT,
        ),
    ] = None,
    overwrite: OverwriteOption = False,
) -> None:
    """Compute labels from saved probabilities with another threshold, without a new run.

    Equivalent to `Segmentation.relabel` in Python.
    """
    from napari_vrp_sam.annotations.labels import labels_dtype
    from napari_vrp_sam.inference.relabelling.levels import as_levels
    from napari_vrp_sam.inference.relabelling.relabel import RelabelSettings, relabel_frame
    from napari_vrp_sam.inference.runs.files.output import RunOutput
    from napari_vrp_sam.io.labels.folder import folder_files
    from napari_vrp_sam.io.labels.probabilities import read_probabilities
    from napari_vrp_sam.io.labels.writers import write_label_frames

    given = read_probabilities(probabilities)
    settings = RelabelSettings.of(
        _parse_thresholds(threshold or [], given.class_ids),
        given.class_ids,
        min_size=min_size,
        fill_holes=fill_holes,
        smoothing=smoothing,
    )
    target = output or default_relabelled_path(probabilities)
    shape, dtype, axes = given.label_shape, labels_dtype(given.class_ids), given.label_axes
    files = (
        folder_files(target, shape, dtype, metadata=given.metadata)
        if RunOutput(target).in_folder
        else []
    )
    check_outputs(target, [], [probabilities], frame_files=files, overwrite=overwrite)
    with progress_bar() as bar:
        frames = bar.track(given, total=len(given), description="Computing labels")
        labels = (relabel_frame(as_levels(frame), given.class_ids, settings) for frame in frames)
        write_label_frames(target, labels, shape, dtype, axes, metadata=given.metadata)
    stderr_console.print(
        f"The labels of {count(len(given), 'frame')} are in {target}.", soft_wrap=True
    )


def _parse_thresholds(values: list[str], class_ids: tuple[int, ...]) -> dict[int, float]:
    """Parse thresholds of all classes, `0.4`, or of one class, `2=0.4`; the latter go first."""
    common: dict[int, float] = {}
    single: dict[int, float] = {}
    for value in values:
        class_id, _, number = value.rpartition("=")
        try:
            if class_id:
                single[int(class_id)] = float(number)
            else:
                common = dict.fromkeys(class_ids, float(number))
        except ValueError:
            raise InputError(
                f"--threshold {value} is not valid: write a number between 0 and 1, or "
                "CLASS=NUMBER."
            ) from None
    return common | single
