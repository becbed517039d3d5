"""Folders of images, one file for each frame: which files count, and their order."""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Collection, Iterable
from pathlib import Path

from napari_vrp_sam.errors import InputError

TIFF_SUFFIXES = (".tif", ".tiff")
JPEG_SUFFIXES = (".jpg", ".jpeg")
PICTURE_SUFFIXES = (".png", *JPEG_SUFFIXES)
SUFFIXES = TIFF_SUFFIXES + PICTURE_SUFFIXES
FRAME_SUFFIXES = (
    *SUFFIXES, ".bmp", ".webp", ".gif", ".jp2", ".pgm", ".ppm", ".avif", ".lsm", ".stk", ".btf",
    ".tf8",
)  # fmt: skip
"""Suffixes of files that count as frames of a folder."""
RESULT_NAME_ENDS = ("_labels", "_objects", "_relabelled")
"""Ends of the names of results that `vrp-sam segment` writes beside an image."""
FOREIGN_NAME_ENDS = (
    "_cp_masks", "_masks", "_mask", "_cp_outlines", "_outlines", "_cp_output", "_flows",
    "_flows_cp_masks", "_dP", "_cellprob", "_seg", "_Simple Segmentation", "_Probabilities",
    "_Object Identities",
)  # fmt: skip
"""Ends of the names of files that cellpose, ilastik and others write beside an image."""


def folder_images(folder: str | os.PathLike[str]) -> list[Path]:
    """Return the image files of a folder in the natural order of their names (2 before 10).

    Hidden files are excluded, and so are results beside an image X: X_labels, X_objects,
    X_relabelled, and those of other tools, see `foreign_files`.

    Parameters
    ----------
    folder : str or path
        Folder, or pattern with wildcards, such as `scan/*_ch1.tif`.

    Raises
    ------
    InputError
        If there is no image, or two images have the same name except for the suffix.
    """
    files = files_with_images(folder)
    if not files:
        raise InputError(f"{folder} holds no image: supported are {', '.join(FRAME_SUFFIXES)}.")
    names = _image_names(files)
    ends = (*RESULT_NAME_ENDS, *FOREIGN_NAME_ENDS)
    files = sorted((f for f in files if not _ends_with(f, ends, names)), key=_natural_order)
    by_name: dict[str, Path] = {}
    for path in files:
        # Labels and results are assigned to images by name without suffix.
        other = by_name.setdefault(path.stem, path)
        if other is not path:
            raise InputError(
                f"{folder} holds two images with the same name, {other.name} and {path.name}: "
                "rename one, or remove it from the folder."
            )
    return files


def separate_images(folder: str | os.PathLike[str], suffixes: Collection[str]) -> list[Path]:
    """Return the images of a folder that are stacks of their own, in the order of `folder_images`.

    Parameters
    ----------
    folder : str or path
    suffixes : collection of str
        Suffixes of images. Results of any tool beside an image are left out.
    """
    visible = [path for path in _visible(folder) if path.suffix.lower() in suffixes]
    images = [path for path in visible if path.is_file() or path.suffix.lower() == ".zarr"]
    names, ends = _image_names(images), (*RESULT_NAME_ENDS, *FOREIGN_NAME_ENDS)
    return sorted(
        (path for path in images if not _ends_with(path, ends, names)), key=_natural_order
    )


def files_with_images(folder: str | os.PathLike[str]) -> list[Path]:
    """Return all image files of a folder, or that match a pattern."""
    return [path for path in _visible(folder) if path.suffix.lower() in FRAME_SUFFIXES]


def foreign_files(folder: str | os.PathLike[str]) -> list[Path]:
    """Return the files of a folder that other tools wrote beside an image X, such as X_cp_masks."""
    visible = _visible(folder)
    names = _image_names(path for path in visible if path.suffix.lower() in FRAME_SUFFIXES)
    return sorted(path for path in visible if _ends_with(path, FOREIGN_NAME_ENDS, names))


def is_pattern(path: str | os.PathLike[str]) -> bool:
    """Return whether a path is a pattern with wildcards that matches files, and no file itself."""
    text = os.fspath(path)
    return glob.has_magic(text) and not os.path.lexists(text) and any(glob.iglob(text))  # noqa: PTH207


def _visible(folder: str | os.PathLike[str]) -> list[Path]:
    found = glob.glob(str(folder)) if is_pattern(folder) else Path(folder).iterdir()  # noqa: PTH207
    # Hidden files are incomplete results, or metadata of macOS on other file systems.
    return [path for path in map(Path, found) if not path.name.startswith(".")]


def _image_names(files: Iterable[Path]) -> set[str]:
    return {path.stem.removesuffix(".ome") for path in files}


def _ends_with(path: Path, ends: Iterable[str], names: Collection[str]) -> bool:
    """Return whether the name of a file is one of these names with one of the ends."""
    found = (end for end in ends if path.stem.endswith(end))
    return any(path.stem.removesuffix(end) in names for end in found)


def _natural_order(path: Path) -> list[tuple[int, int | str]]:
    pieces = re.split(r"(\d+)", path.name.lower())
    return [(0, int(piece)) if piece.isdigit() else (1, piece) for piece in pieces if piece]
