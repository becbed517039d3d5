"""`vrp-sam segmenter`: the content of saved segmenters."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from napari_vrp_sam.cli.app import app, console, stderr_console
from napari_vrp_sam.cli.common.options import OverwriteOption
from napari_vrp_sam.inference.runs.files.output_paths import check_outputs
from napari_vrp_sam.wording import count

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

segmenter_app = typer.Typer(
    help="Show saved segmenters, which vrp-sam segment --segmenter applies to images.",
    no_args_is_help=True,
)
app.add_typer(segmenter_app, name="segmenter")


@segmenter_app.callback()
def _segmenter() -> None:
    """Keep `show` a command of its own."""


@segmenter_app.command()
def show(
    path: Annotated[
        Path, typer.Argument(metavar="FILE", help="Segmenter saved in Python or napari.")
    ],
    thumbnail: Annotated[
        Path | None,
        typer.Option(metavar="FILE.png", help="Write a picture of an annotated image, too."),
    ] = None,
    overwrite: OverwriteOption = False,
) -> None:
    """Show the classes, model and settings of a saved segmenter.

    Equivalent to `segmenter_summary` in Python.
    """
    from rich.table import Table

    from napari_vrp_sam.inference.segmenter_summary import segmenter_summary

    found = segmenter_summary(path)
    table = Table(show_header=False, box=None)
    table.add_column()
    table.add_column(overflow="fold")
    table.add_row("file", str(path))
    table.add_row("saved", f"{found.saved.astimezone():%Y-%m-%d %H:%M}")
    table.add_row("model", found.model)
    for class_id, name in found.classes.items():
        expected = found.expected_iou[class_id]
        quality = "" if expected is None else f", expected IoU {expected:.2f}"
        table.add_row(f"class {class_id}", f"{name}{quality}")
    kinds = ", ".join(found.kinds)
    table.add_row("annotations", f"{count(found.references, 'image')} ({kinds})")
    table.add_row("channels", str(found.channels))
    limits = "; ".join(f"{low:.5g} to {high:.5g}" for low, high in found.contrast_limits)
    table.add_row("contrast limits", limits)
    for name, value in found.settings.items():
        if name != "contrast_limits":
            table.add_row(name.replace("_", " "), str(value))
    console.print(table)
    if thumbnail is not None:
        _write_thumbnail(found.thumbnail, thumbnail, path, overwrite=overwrite)


def _write_thumbnail(
    picture: NDArray[np.uint8] | None, output: Path, path: Path, *, overwrite: bool
) -> None:
    from PIL import Image

    from napari_vrp_sam.errors import InputError
    from napari_vrp_sam.files import atomic, explain_write_errors

    if picture is None:
        raise InputError(f"{path} holds no picture: save the segmenter again.")
    check_outputs(output, [], [path], overwrite=overwrite)
    with explain_write_errors(output), atomic(output) as temporary:
        Image.fromarray(picture).save(temporary, "PNG")
    stderr_console.print(f"The picture is in {output}.", soft_wrap=True)
