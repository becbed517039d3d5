"""Options that several commands share."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from napari_vrp_sam.errors import InputError


class AnnotationKindName(StrEnum):
    """How a class was annotated."""

    POINT = "point"
    SCRIBBLE = "scribble"
    BOX = "box"
    MASK = "mask"


class PseudoMaskName(StrEnum):
    """How the first guess of a target is made."""

    PROBE = "probe"
    CORRELATION = "correlation"


class PromptingName(StrEnum):
    """What prompts SAM in a full-size model."""

    VRP = "vrp"
    POINTS = "points"
    BOX = "box"
    POINTS_AND_BOX = "points+box"
    PERSAM = "persam"
    PROBE = "probe"


class PrecisionName(StrEnum):
    """Number formats that models compute in."""

    AUTO = "auto"
    FLOAT32 = "float32"
    BFLOAT16 = "bfloat16"
    FLOAT16 = "float16"


class Benchmark(StrEnum):
    """What the paper is measured on."""

    PASCAL = "pascal5i"
    COCO = "coco20i"


ModelOption = Annotated[
    str, typer.Option("--model", help="Name of a model (vrp-sam models), or a weights file.")
]
DeviceOption = Annotated[
    str, typer.Option("--device", help="cpu, cuda, mps; auto takes the fastest that is there.")
]
PrecisionOption = Annotated[
    PrecisionName,
    typer.Option(
        "--precision",
        help="What models compute in; auto takes half precision where it is quick and "
        "changes next to nothing.",
    ),
]
CompileOption = Annotated[
    bool,
    typer.Option(
        "--compile",
        help="Compile a full-size model on a GPU: a minute or two before the first frame, "
        "for long stacks.",
    ),
]
PseudoMaskOption = Annotated[
    PseudoMaskName | None,
    typer.Option(
        "--pseudo-mask",
        help="How the first guess of a frame is made; as the weights were trained, else probe.",
    ),
]
PromptingOption = Annotated[
    PromptingName | None,
    typer.Option(
        "--prompting",
        help="What prompts SAM in vit_b, vit_l and vit_h: a VRP encoder unless given, or where "
        "there is none, points and a box.",
    ),
]


def frame_numbers(frame: str | None) -> int | tuple[int, ...] | None:
    """`7` or `T,Z` as numbers."""
    if frame is None:
        return None
    try:
        numbers = tuple(int(part) for part in frame.split(","))
    except ValueError:
        raise InputError(f"--frame {frame} is no frame: give a number, or T,Z.") from None
    return numbers[0] if len(numbers) == 1 else numbers
