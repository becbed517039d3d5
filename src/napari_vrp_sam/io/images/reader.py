"""The description of an image format, from which `opening` chooses the reader of a file."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from napari_vrp_sam.io.metadata import StoredImage

HEAD_SIZE = 512
"""Number of bytes at the start of a file by which formats are recognised."""

MOST_LISTED = 9
"""Number of images that are listed by name."""


def single_image(path: Path) -> list[str]:
    """Return the name of the only image in a file of a format without several images."""
    return [path.stem]


def report_others(path: Path, names: Sequence[str], used: int, kind: str = "images") -> None:
    """Warn that a file holds other images than the one that is used by default."""
    if len(names) < 2:
        return
    listed = ", ".join(f"{number}: {name}" for number, name in enumerate(names[:MOST_LISTED]))
    left = len(names) - MOST_LISTED
    more = f", and {left} more" if left > 0 else ""
    warnings.warn(
        f"{path.name} holds {len(names)} {kind} ({listed}{more}): number {used} is used; choose "
        "another by its number.",
        stacklevel=5,
    )


class OpenImage(Protocol):
    """Function that opens an image of a file; pixels are read when they are indexed."""

    def __call__(self, path: Path, image: int | None, /, *, raw: bool) -> StoredImage:
        """Open the image with this index; None: the main image."""


@dataclass(frozen=True)
class ImageReader:
    """Reader of one image format: the constant `READER` of each module in `readers/`.

    Parameters
    ----------
    name : str
        Name of the format as users know it.
    library : str
        Library that reads it.
    suffixes : tuple of str
        Suffixes in lower case, used for files whose content no reader recognises.
    recognises : callable
        Function of the path and its first `HEAD_SIZE` bytes (empty for a folder), which returns
        whether the format is this one.
    open : callable
        See `OpenImage`. If `raw` is true, palette and inverted images are not converted to
        the colours that a viewer shows: for label images.
    image_names : callable
        Function of the path that returns the names of the images in a file.
    priority : int
        Readers with lower numbers are asked first.
    """

    name: str
    library: str
    suffixes: tuple[str, ...]
    recognises: Callable[[Path, bytes], bool]
    open: OpenImage
    image_names: Callable[[Path], list[str]] = single_image
    priority: int = 0
