"""`vrp-sam segment --segmenter`: apply the annotations of another stack to an image."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from napari_vrp_sam.cli.app import is_given, refuse_stored
from napari_vrp_sam.cli.common.image_axes import resolve_axes
from napari_vrp_sam.cli.common.options import INPUT
from napari_vrp_sam.cli.segment.session import SegmentationInput
from napari_vrp_sam.errors import InputError
from napari_vrp_sam.inference.runs.files.output_paths import default_labels_path

if TYPE_CHECKING:
    from collections.abc import Sequence

SegmenterOption = Annotated[
    Path | None,
    typer.Option(
        "--segmenter",
        metavar="FILE",
        help="Segmenter saved in Python or napari: annotations of another stack, with the "
        "settings. --device, --precision and --effort override those of the file.",
        rich_help_panel=INPUT,
    ),
]
STORED_IN_SEGMENTER = (
    "session", "reference", "reference_frame", "annotation_kind", "background", "ignore",
    "one_class", "class_column",
    "reference_image", "channel", "model", "contrast_limits", "tile_size", "pseudo_mask",
    "prompting",
)  # fmt: skip
"""Options that cannot be combined with a segmenter."""
OVERRIDES = "cache", "precision", "compile", "effort", "neighbours"
"""Settings of a segmenter or session that options of the command override."""


def read_segmenter_input(
    context: typer.Context,
    path: Path,
    image: Path | None,
    *,
    axes: str | None,
    frames: tuple[int | None, int | None] | None,
) -> SegmentationInput:
    """Read a saved segmenter, and create the job that applies it to an image.

    Raises
    ------
    InputError
        If there is no image, the segmenter cannot be read, an option conflicts with it, or the
        image has other channels.
    """
    from napari_vrp_sam.inference.frames import Frames
    from napari_vrp_sam.inference.runs.files.batch import check_channels
    from napari_vrp_sam.inference.segmenter_file import read_segmenter
    from napari_vrp_sam.io.images.opening import open_image

    refuse_stored(context, STORED_IN_SEGMENTER, "segmenter")
    if image is None:
        raise InputError("Give the IMAGE to which the segmenter is applied.")
    job, fitted_axes = read_segmenter(path)
    stored = open_image(image, image=context.params["image_number"])
    data, stored_axes = stored.data, stored.axes
    if axes is None and stored_axes is None and len(fitted_axes or "") == len(data.shape):
        axes = fitted_axes
    values = context.params["nodata"], stored.metadata.nodata, job.nodata
    nodata = next((value for value in values if value is not None), None)
    stack = Frames(data, resolve_axes(image, axes, stored_axes), job.channels, nodata)
    check_channels(job, stack, str(image))
    job = replace(
        job,
        data=data,
        axes=stack.axes,
        nodata=stack.nodata,
        device=context.params["device"],
        frames=frames,
        references_on_stack=False,
    )
    return SegmentationInput(
        job, stack, {}, (image, path), default_labels_path(image), stored.metadata
    )


def overrides(context: typer.Context, stored: Path | None, **given: Any) -> dict[str, Any]:
    """Return the settings of the command; with stored settings, only those that the user gave."""
    names: Sequence[str] = OVERRIDES
    return {name: given[name] for name in names if stored is None or is_given(context, name)}
