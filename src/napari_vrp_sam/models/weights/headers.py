"""Headers of safetensors files, read without torch: what a file is, and whether it is whole."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from napari_vrp_sam.errors import InputError

_LENGTH_BYTES = 8
_LONGEST = 100_000_000
"""Bytes of a header at most, as the format says."""


@dataclass(frozen=True)
class Header:
    """What stands before the numbers.

    Attributes
    ----------
    metadata : mapping of str to str
        What the writer said about them.
    shapes : mapping of str to tuple of int
        Shape of every tensor by its name.
    """

    metadata: Mapping[str, str]
    shapes: Mapping[str, tuple[int, ...]]


def not_a_weights_file(path: Path) -> InputError:
    """What to tell of a file whose name is none of a weights file's."""
    return InputError(
        f"'{path.name}' is no weights file: expected .safetensors, .pth or .pt as its suffix."
    )


def read_header(path: str | os.PathLike[str]) -> Header:
    """Read the header of a safetensors file; the numbers are only counted.

    Raises
    ------
    InputError
        If the file is missing, damaged, cut short, or of another format.
    """
    path = Path(path)
    try:
        with path.open("rb") as stream:
            length = int.from_bytes(stream.read(_LENGTH_BYTES), "little")
            text = stream.read(min(length, _LONGEST))
            size = os.fstat(stream.fileno()).st_size
    except FileNotFoundError:
        raise InputError(f"There is no weights file at {path}: check the path.") from None
    except OSError as error:
        raise InputError(f"Cannot read {path}: {error.strerror or error}.") from error
    try:
        entries = json.loads(text)
        metadata = {str(k): str(v) for k, v in entries.pop("__metadata__", {}).items()}
        shapes = {name: tuple(map(int, entry["shape"])) for name, entry in entries.items()}
        end = max((int(entry["data_offsets"][1]) for entry in entries.values()), default=0)
    except (ValueError, KeyError, IndexError, TypeError, AttributeError) as error:
        raise InputError(f"{path} is damaged, or no safetensors file.") from error
    if size != _LENGTH_BYTES + length + end:
        raise InputError(f"{path} is damaged: it is {size:,} bytes long, which is not all of it.")
    return Header(metadata, shapes)
