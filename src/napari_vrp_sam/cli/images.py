"""`vrp-sam images`: list the images in a file."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from napari_vrp_sam.cli.app import app, console

if TYPE_CHECKING:
    from napari_vrp_sam.io.metadata import ImageMetadata


@app.command()
def images(
    path: Annotated[Path, typer.Argument(metavar="IMAGE", help="Image file, OME-Zarr or folder.")],
) -> None:
    """List the images, scenes or datasets in a file, which --image chooses.

    The one that is used by default is marked with an asterisk.
    """
    from rich.table import Table

    from napari_vrp_sam.io.images.opening import image_names, open_image

    names = image_names(path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that there are several is what the table shows
        main = open_image(path)
    table = Table("image", "name", "axes", "shape", "type", "pixel size", "channels")
    found_main = False
    for number, name in enumerate(names):
        stored = open_image(path, image=number) if len(names) > 1 else main
        shape, dtype = tuple(stored.data.shape), str(stored.data.dtype)
        alike = (shape, dtype) == (tuple(main.data.shape), str(main.data.dtype))
        is_main = alike and not found_main
        found_main = found_main or is_main
        table.add_row(
            f"{number}{'*' if is_main else ''}",
            name,
            stored.axes or "unknown",
            " x ".join(map(str, shape)),
            dtype,
            describe_pixel_size(stored.metadata),
            ", ".join(stored.metadata.channel_names),
        )
    console.print(table)


def describe_pixel_size(metadata: ImageMetadata) -> str:
    """Return the pixel size in words, such as "Z 0.5, Y 0.1, X 0.1 micrometer"."""
    by_unit: dict[str, list[str]] = {}
    for axis, size in metadata.pixel_size.items():
        by_unit.setdefault(metadata.units.get(axis, ""), []).append(f"{axis} {size:.4g}")
    return "; ".join(f"{', '.join(sizes)} {unit}".strip() for unit, sizes in by_unit.items())
