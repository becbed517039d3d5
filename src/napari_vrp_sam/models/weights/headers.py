"""Access to safetensors files; headers are read without torch."""

from __future__ import annotations

import os
import re
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors

from napari_vrp_sam.errors import InputError, reason

WEIGHTS_SUFFIXES = (".safetensors", ".pth", ".pt")

SAM_BLOCK = re.compile(rb"image_encoder\.blocks\.(\d+)\.mlp\.lin1\.weight")
"""Name of a tensor in each block of SAM's image encoder."""

SAM_VARIANTS = {12: "vit_b", 24: "vit_l", 32: "vit_h"}
"""Variants of SAM by the number of blocks of their image encoders."""

NAMES_SIZE = 1 << 20
"""Number of bytes at the start of an old PyTorch file that include the names of its tensors."""


@dataclass(frozen=True)
class Header:
    """Header of a safetensors file.

    Attributes
    ----------
    metadata : mapping of str to str
    shapes : mapping of str to tuple of int
        Shape of each tensor, by its name.
    """

    metadata: Mapping[str, str]
    shapes: Mapping[str, tuple[int, ...]]


def read_header(path: str | os.PathLike[str]) -> Header:
    """Read the header of a safetensors file without its tensors.

    Raises
    ------
    InputError
        If the file is missing, damaged, truncated, or not a safetensors file.
    """
    with open_safetensors(path, "numpy") as file:
        shapes = {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118
        return Header(file.metadata() or {}, shapes)


def sam_variant(path: str | os.PathLike[str]) -> str | None:
    """Return the variant of SAM whose image encoder a file holds; None for other files.

    The names of tensors in the file tell; nothing is unpickled.

    Parameters
    ----------
    path : path-like
        A file of safetensors, or of PyTorch (any container, such as those of micro-sam).

    Returns
    -------
    {"vit_b", "vit_l", "vit_h"} or None
    """
    try:
        if Path(path).suffix == ".safetensors":
            names = "\n".join(read_header(path).shapes).encode()
        elif zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                records = [name for name in archive.namelist() if name.endswith("data.pkl")]
                names = b"".join(map(archive.read, records[:1]))
        else:  # PyTorch before 1.6 wrote no zip archives; names come first
            with Path(path).open("rb") as file:
                names = file.read(NAMES_SIZE)
    except Exception:  # damaged archives raise exceptions of any type
        return None  # reported when the file is loaded
    blocks = [int(number) for number in SAM_BLOCK.findall(names)]
    return SAM_VARIANTS.get(1 + max(blocks)) if blocks else None


@contextmanager
def open_safetensors(path: str | os.PathLike[str], framework: str) -> Iterator[Any]:
    """Open a safetensors file for reading with `safetensors.safe_open`.

    Parameters
    ----------
    path : path-like
    framework : {"numpy", "pt"}
        Type of the tensors: NumPy arrays or PyTorch tensors.

    Raises
    ------
    InputError
        If the file is missing, damaged, truncated, or not a safetensors file.
    """
    try:
        with safetensors.safe_open(path, framework=framework) as file:
            yield file
    except FileNotFoundError:
        raise missing_file_error(Path(path)) from None
    except OSError as error:
        raise InputError(f"Cannot read {path}: {error.strerror or error}.") from error
    except safetensors.SafetensorError as error:
        raise InputError(
            f"{path} is damaged or not a safetensors file ({reason(error)}): replace it."
        ) from error


def missing_file_error(path: Path) -> InputError:
    """Return the error for a weights file that does not exist."""
    return InputError(f"There is no weights file at {path}: check the path.")


def not_a_weights_file_error(path: Path) -> InputError:
    """Return the error for a file whose suffix is not that of a weights file."""
    return InputError(
        f"'{path.name}' is not a weights file: expected .safetensors, .pth or .pt as its suffix."
    )
