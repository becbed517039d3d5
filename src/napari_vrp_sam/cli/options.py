"""Options that several commands share."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer


class Kind(StrEnum):
    """How a class was annotated."""

    POINT = "point"
    SCRIBBLE = "scribble"
    BOX = "box"
    MASK = "mask"


class PseudoMask(StrEnum):
    """How the first guess of a target is made."""

    PROBE = "probe"
    CORRELATION = "correlation"


ModelOption = Annotated[
    str, typer.Option("--model", help="Name of a model (vrp-sam models), or a weights file.")
]
DeviceOption = Annotated[
    str, typer.Option("--device", help="cpu, cuda, mps; auto takes the fastest that is there.")
]
PseudoMaskOption = Annotated[
    PseudoMask, typer.Option("--pseudo-mask", help="How the first guess of a frame is made.")
]
