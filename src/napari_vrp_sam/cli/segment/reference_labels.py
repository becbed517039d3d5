"""References of `vrp-sam segment`: annotations of the stack, or of another image."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from napari_vrp_sam.cli.app import stderr_console
from napari_vrp_sam.cli.common.image_axes import check_frame, resolve_axes
from napari_vrp_sam.cli.common.label_questions import name_options
from napari_vrp_sam.cli.common.options import INPUT, parse_frame
from napari_vrp_sam.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_vrp_sam.annotations.reference import AnnotationKind
    from napari_vrp_sam.inference.frames import Frames
    from napari_vrp_sam.io.metadata import StoredImage

ReferenceOption = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="Annotations: a label image whose values are classes, for all frames (0 without "
        "annotation) or for the frame given by --reference-frame; a folder of label images with "
        "the names of the images; the folder of the images itself, for masks beside them; GeoJSON "
        "(QuPath), COCO, Labelme, ROIs of ImageJ, points as CSV, HDF5 of ilastik, NumPy arrays and "
        "*_seg.npy of cellpose, or GeoPackage and shapefile for a map.",
        rich_help_panel=INPUT,
    ),
]
ReferenceImageOption = Annotated[
    Path | None,
    typer.Option(
        "--reference-image",
        metavar="FILE",
        help="Image that the reference annotates. Default: IMAGE.",
        rich_help_panel=INPUT,
    ),
]
ClassColumnOption = Annotated[
    str | None,
    typer.Option(
        "--class-column",
        metavar="NAME",
        help="Attribute or column with the class of each shape or point. Default: class, label "
        "or another usual name.",
        rich_help_panel=INPUT,
    ),
]


@dataclass(frozen=True)
class ReferenceOptions:
    """Options of the command that say what is annotated, and how."""

    path: Path
    frame: str | None = None
    kind: AnnotationKind | None = None
    background: int | None = None
    ignore: int | None = None
    one_class: bool | None = None
    class_column: str | None = None


def read_annotated(
    options: ReferenceOptions, image: Path, stored: StoredImage, frames: Frames, *, axes_given: bool
) -> dict[str, Any]:
    """Return the fields of a job whose references show the stack; print what was read.

    Raises
    ------
    InputError
        If they cannot be read, do not belong to the image, or have to be explained by an option.
    """
    from napari_vrp_sam.inference.references.drawn import read_reference
    from napari_vrp_sam.inference.references.gather import gather_references

    frame = check_frame(parse_frame(options.frame), frames, axes_given=axes_given)
    found = read_reference(
        options.path,
        frames,
        image=image,
        metadata=stored.metadata,
        class_column=options.class_column,
    )
    for note in found.notes:
        stderr_console.print(f"{options.path.name}: {note}", soft_wrap=True)
    with name_options(options.path):
        references = gather_references(
            frames,
            found,
            reference_frame=frame,
            annotation_kind=options.kind,
            background=options.background,
            ignore=options.ignore,
            one_class=options.one_class,
        )
    return {"references": references}


def read_other_image(
    options: ReferenceOptions,
    reference_image: Path,
    frames: Frames,
    channels: Sequence[int] | None,
    contrast_limits: tuple[float, float] | None,
) -> dict[str, Any]:
    """Return the fields of a job whose references show another image than the stack.

    Raises
    ------
    InputError
        If the image cannot be read, or has other channels than the stack.
    """
    from napari_vrp_sam.inference.frames import Frames as AnnotatedFrames
    from napari_vrp_sam.inference.normalisation import fit_normalisation
    from napari_vrp_sam.io.images.opening import open_image

    stored = open_image(reference_image)
    axes = resolve_axes(reference_image, None, stored.axes)
    annotated = AnnotatedFrames(stored.data, axes, channels, nodata=stored.metadata.nodata)
    if len(annotated.channels) != len(frames.channels):
        raise InputError(
            f"{reference_image} has {len(annotated.channels)} channels, but the image to segment "
            f"has {len(frames.channels)}: choose the same with --channel."
        )
    learned = read_annotated(options, reference_image, stored, annotated, axes_given=False)
    return {
        **learned,
        "references_on_stack": False,
        "normalisation": fit_normalisation(annotated, contrast_limits, learned["references"]),
    }
