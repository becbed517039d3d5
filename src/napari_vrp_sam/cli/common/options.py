"""Options that several commands share, and the values they accept."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from napari_vrp_sam.errors import InputError

if TYPE_CHECKING:
    from napari_vrp_sam.annotations.reference import AnnotationKind

INPUT, OUTPUT, MODEL, ADVANCED, WORKERS = "Input", "Output", "Model", "Advanced", "Workers"
"""Panels that group options in the help of a command."""


class AnnotationKindName(StrEnum):
    """Kinds of annotation."""

    POINT = "point"
    SCRIBBLE = "scribble"
    BOX = "box"
    MASK = "mask"
    PARTIAL = "partial"


class PseudoMaskName(StrEnum):
    """Methods that compute pseudo-masks."""

    PROBE = "probe"
    CORRELATION = "correlation"


class PromptingName(StrEnum):
    """Prompts for SAM in a full-size model."""

    VRP = "vrp"
    OBJECTS = "objects"
    POINTS = "points"
    BOX = "box"
    POINTS_AND_BOX = "points+box"
    PERSAM = "persam"
    PROBE = "probe"


class PrecisionName(StrEnum):
    """Floating-point formats for inference."""

    AUTO = "auto"
    FLOAT32 = "float32"
    BFLOAT16 = "bfloat16"
    FLOAT16 = "float16"


class Benchmark(StrEnum):
    """Few-shot segmentation benchmarks of the paper."""

    PASCAL = "pascal5i"
    COCO = "coco20i"


OverwriteOption = Annotated[
    bool,
    typer.Option("--overwrite", help="Replace existing results.", rich_help_panel=OUTPUT),
]
ReferenceFrameOption = Annotated[
    str | None,
    typer.Option(
        "--reference-frame",
        metavar="INDEX",
        help="Annotated frame, counted from 0; T,Z for a stack with both axes.",
        rich_help_panel=INPUT,
    ),
]
AnnotationKindOption = Annotated[
    AnnotationKindName | None,
    typer.Option(
        "--annotation-kind",
        metavar="KIND",
        help="How the reference was annotated: mask, box, scribble, point, or partial for a mask "
        "of some of the objects. With scribble, point and partial, unlabelled pixels are unknown. "
        "Default: mask.",
        rich_help_panel=INPUT,
    ),
]
BackgroundOption = Annotated[
    int | None,
    typer.Option(
        "--background",
        metavar="VALUE",
        help="Label value of pixels that belong to no class, such as strokes on look-alikes.",
        rich_help_panel=INPUT,
    ),
]
IgnoreOption = Annotated[
    int | None,
    typer.Option(
        "--ignore",
        metavar="VALUE",
        help="Label value of pixels that are excluded from learning.",
        rich_help_panel=INPUT,
    ),
]
AxesOption = Annotated[
    str | None,
    typer.Option(
        "--axes",
        metavar="LETTERS",
        help="Axes of the image, one letter of T, Z, C, Y, X, S per axis, for example TZYX, or "
        "their names: time,band,y,x. Default: as stored in the file.",
        rich_help_panel=INPUT,
    ),
]
ImageNumberOption = Annotated[
    str | None,
    typer.Option(
        "--image",
        metavar="N",
        help="Number or name of the image in a file with several images, scenes or datasets; see "
        "`vrp-sam images`. Default: the largest.",
        rich_help_panel=INPUT,
    ),
]
ClassNameOption = Annotated[
    list[str] | None,
    typer.Option(
        metavar="CLASS=NAME",
        help="Name of a class, such as 1=nucleus; repeat for several.",
        rich_help_panel=INPUT,
    ),
]
ChannelOption = Annotated[
    list[int] | None,
    typer.Option(
        "--channel",
        metavar="INDEX",
        help="Channel to use, counted from 0; repeat for several. Default: all; more than three "
        "are combined to three by the annotation.",
        rich_help_panel=INPUT,
    ),
]
NodataOption = Annotated[
    float | None,
    typer.Option(
        "--nodata",
        metavar="VALUE",
        help="Value of missing pixels, which get no label. Default: as stored in the file.",
        rich_help_panel=INPUT,
    ),
]
ContrastLimitsOption = Annotated[
    tuple[float, float] | None,
    typer.Option(
        "--contrast-limits",
        metavar="LOW HIGH",
        help="Intensities that are mapped to 0 and 1. Default: percentiles of the stack.",
        rich_help_panel=ADVANCED,
    ),
]
ModelOption = Annotated[
    str,
    typer.Option(
        "--model",
        metavar="NAME",
        help="Name of a model (see vrp-sam models), or path of a weights file.",
        rich_help_panel=MODEL,
    ),
]
DeviceOption = Annotated[
    str,
    typer.Option(
        "--device",
        metavar="NAME",
        help="cpu, cuda or mps; auto selects the fastest available device.",
        rich_help_panel=MODEL,
    ),
]
PromptingOption = Annotated[
    PromptingName | None,
    typer.Option(
        "--prompting",
        metavar="NAME",
        help=f"Prompts for SAM in vit_b, vit_l and vit_h: {', '.join(PromptingName)}. Default: vrp "
        "if the model has a VRP encoder, else objects.",
        rich_help_panel=MODEL,
    ),
]
PseudoMaskOption = Annotated[
    PseudoMaskName | None,
    typer.Option(
        "--pseudo-mask",
        metavar="NAME",
        help="Method that computes pseudo-masks: probe or correlation. Default: the one that the "
        "model was trained with, else probe.",
        rich_help_panel=ADVANCED,
    ),
]
PrecisionOption = Annotated[
    PrecisionName,
    typer.Option(
        "--precision",
        metavar="NAME",
        help=f"Floating-point format: {', '.join(PrecisionName)}. auto selects half precision "
        "where it is faster and hardly changes the result.",
        rich_help_panel=ADVANCED,
    ),
]
CompileOption = Annotated[
    bool,
    typer.Option(
        "--compile",
        help="Compile a full-size model on a GPU. Takes one or two minutes before the first frame; "
        "pays off on long stacks.",
        rich_help_panel=ADVANCED,
    ),
]


def kind_of(name: AnnotationKindName | None) -> AnnotationKind | None:
    """Return the kind of annotation that the user gave."""
    return None if name is None else name.value


def parse_frame(frame: str | None) -> int | tuple[int, ...] | None:
    """Parse the value of `--reference-frame`: an index, or T,Z.

    Raises
    ------
    InputError
        If it is neither.
    """
    if frame is None:
        return None
    try:
        numbers = tuple(int(number) for number in frame.split(","))
    except ValueError:
        raise InputError(
            f"--reference-frame {frame} is not a frame: give a number, or T,Z."
        ) from None
    return numbers[0] if len(numbers) == 1 else numbers


def parse_class_names(values: list[str]) -> dict[int, str]:
    """Return the names of classes that are given as CLASS=NAME.

    Raises
    ------
    InputError
        If a text has another form.
    """
    names = {}
    for value in values:
        class_id, _, name = value.partition("=")
        if not class_id.strip().isdecimal() or not name:
            raise InputError(f"--class-name {value} is not valid: write CLASS=NAME.")
        names[int(class_id)] = name
    return names


EffortOption = Annotated[
    float,
    typer.Option(
        help="Learning effort, above 0 and up to 1: less is faster but less accurate. Only for "
        "'lite'.",
        rich_help_panel=ADVANCED,
    ),
]
