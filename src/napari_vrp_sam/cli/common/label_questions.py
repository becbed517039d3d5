"""Options that say what label values mean, and questions that name them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from napari_vrp_sam.cli.common.options import INPUT
from napari_vrp_sam.errors import InputError

if TYPE_CHECKING:
    from napari_vrp_sam.annotations.label_questions import Topic

OneClassOption = Annotated[
    bool | None,
    typer.Option(
        "--one-class/--classes-as-stored",
        help="Treat all label values as one class, for numbered objects; or each value as a class. "
        "Default: each value is a class, unless the labels look like something else.",
        show_default=False,
        rich_help_panel=INPUT,
    ),
]
FIXES: dict[Topic, str] = {
    "objects": "add --one-class if they are objects of one class, or --classes-as-stored if each "
    "value is a class",
    "strokes": "add --annotation-kind scribble, and --background {value} if {value} marks the "
    "background; or --annotation-kind mask if all unlabelled pixels are background",
    "spill": "add --reference-frame {value} to use that frame only, --annotation-kind partial if "
    "some objects are not labelled, or --annotation-kind mask if all are",
    "view": "add --annotation-kind scribble if they are strokes, --annotation-kind mask if they "
    "are complete, or give labels of whole frames",
    "void": "add --ignore {value} if their class is unknown, --background {value} if they belong "
    "to no class, or --classes-as-stored if {value} is a class",
    "negative": "add --ignore {value} if it marks unknown pixels, or --background {value} if it "
    "marks pixels of no class",
    "full": "add --background {value} if {value} marks the background, or --classes-as-stored if "
    "each value is a class",
    "count": "add --one-class if they number objects, or give a label image if it is a picture",
}


@contextmanager
def name_options(reference: Path) -> Iterator[None]:
    """Let questions about the labels of a file name the file, and options instead of arguments.

    Raises
    ------
    InputError
        If the block raises a `LabelQuestion`.
    """
    from napari_vrp_sam.annotations.label_questions import LabelQuestion

    try:
        yield
    except LabelQuestion as question:
        raise InputError(question.text(f"The labels of {reference}", FIXES)) from None
