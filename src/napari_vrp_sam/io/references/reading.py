"""Reading of annotation files of any format: the reader is chosen by the content of the file."""

from __future__ import annotations

import importlib
import logging
import os
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from napari_vrp_sam.errors import InputError, reason
from napari_vrp_sam.io.references.annotations import AnnotatedStack, StoredAnnotations

HEAD_SIZE = 512
"""Number of bytes at the start of a file by which formats are recognised."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Request:
    """File to read, and the stack that it annotates."""

    path: Path
    stack: AnnotatedStack
    class_column: str | None = None


@dataclass(frozen=True)
class AnnotationReader:
    """Reader of one format: the constant `READER` of each module in `readers/`.

    Parameters
    ----------
    name : str
        Name of the format as users know it.
    library : str
        Library that reads it.
    recognises : callable
        Function of the path and its first `HEAD_SIZE` bytes (empty for a folder), which returns
        whether the format is this one.
    read : callable
        Function of a `Request` that returns its annotations.
    priority : int
        Readers with lower numbers are asked first.
    """

    name: str
    library: str
    recognises: Callable[[Path, bytes], bool]
    read: Callable[[Request], StoredAnnotations]
    priority: int = 0


@cache
def annotation_readers() -> tuple[AnnotationReader, ...]:
    """Return the readers of all formats."""
    package = importlib.import_module("napari_vrp_sam.io.references.readers")
    names = sorted(module.name for module in pkgutil.iter_modules(package.__path__))
    modules = [importlib.import_module(f"{package.__name__}.{name}") for name in names]
    found = [module.READER for module in modules if hasattr(module, "READER")]
    return tuple(sorted(found, key=lambda reader: reader.priority))


def read_annotations(
    path: str | os.PathLike[str], stack: AnnotatedStack, *, class_column: str | None = None
) -> StoredAnnotations:
    """Read the annotations of a stack from a file of any supported format.

    Nothing in a file is executed. What was read is logged: see `StoredAnnotations.notes`.

    Parameters
    ----------
    path : str or path
        Label image, folder of label images, or file of another annotation program.
    stack : AnnotatedStack
        The annotated stack.
    class_column : str, optional
        Attribute or column with the class of each shape or point; default: the first of the usual
        names.

    Returns
    -------
    StoredAnnotations

    Raises
    ------
    InputError
        If the file cannot be read, or does not belong to the stack.

    Examples
    --------
    >>> stack = AnnotatedStack((512, 512), "Z", (30,))
    >>> read_annotations("cells.geojson", stack).class_names  # doctest: +SKIP
    {1: 'Stroma', 2: 'Tumor'}
    """
    path = Path(path).absolute()
    if not path.exists():
        raise InputError(f"There is no annotation file at {path}: check the path.")
    reader = find_annotation_reader(path)
    try:
        found = reader.read(Request(path, stack, class_column))
    except InputError:
        raise
    except Exception as error:  # libraries raise exceptions of any type for damaged files
        raise InputError(f"{path} cannot be read as {reader.name}: {reason(error)}.") from error
    for note in found.notes:
        logger.info("%s: %s", path.name, note)
    return found


def find_annotation_reader(path: Path) -> AnnotationReader:
    """Return the reader of a file or folder; that of label images if no other knows it."""
    head = b""
    if path.is_file():
        with path.open("rb") as file:
            head = file.read(HEAD_SIZE)
    return next(reader for reader in annotation_readers() if reader.recognises(path, head))
