"""Label images used as references by `vrp-sam segment`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from napari_vrp_sam.cli.output_paths import same_file
from napari_vrp_sam.errors import InputError


def read_reference(path: Path, image: Path) -> Any:
    """Open the reference labels of an image.

    Raises
    ------
    InputError
        If they cannot be read as labels, or are the image itself.
    """
    from napari_vrp_sam.io.images.stacks import read_labels

    if same_file(path, image):
        raise InputError(f"{path} is the image itself: give its label image with --reference.")
    return read_labels(path, image)
