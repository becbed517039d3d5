"""Errors for files that a library failed to read."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Concatenate, ParamSpec, TypeVar

from napari_vrp_sam.errors import InputError, reason

P = ParamSpec("P")
T = TypeVar("T")
PathReader = Callable[Concatenate[Path, P], T]


def explain_read_errors(read: PathReader[P, T]) -> PathReader[P, T]:
    """Decorate a function of a path, so that all its exceptions are `InputError` with the path."""

    @wraps(read)
    def wrapper(path: Path, /, *args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return read(path, *args, **kwargs)
        except InputError:
            raise
        except Exception as error:  # codecs raise exceptions of any type for damaged files
            raise read_error(path, error) from error

    return wrapper


def read_error(path: Path, error: Exception) -> InputError:
    """Return the error to raise for a file that a library failed to read."""
    return InputError(f"{path} cannot be read as an image: {reason(error)}.")
