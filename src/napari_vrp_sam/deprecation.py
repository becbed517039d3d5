"""Old names of keyword arguments, accepted for one release."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

Parameters = ParamSpec("Parameters")
Returned = TypeVar("Returned")


def renamed_arguments(
    **new_names: str,
) -> Callable[[Callable[Parameters, Returned]], Callable[Parameters, Returned]]:
    """Decorate a function to accept old names of its keyword arguments, with a warning.

    Parameters
    ----------
    **new_names : str
        The new name of each argument, by its old name.

    Examples
    --------
    >>> @renamed_arguments(kind="annotation_kind")
    ... def annotate(annotation_kind="mask"):
    ...     return annotation_kind
    """

    def decorate(function: Callable[Parameters, Returned]) -> Callable[Parameters, Returned]:
        @wraps(function)
        def wrapper(*args: Parameters.args, **kwargs: Parameters.kwargs) -> Returned:
            for old, new in new_names.items():
                if old not in kwargs:
                    continue
                if new in kwargs:
                    raise TypeError(
                        f"{function.__name__}() got the argument '{new}' and also '{old}', its old "
                        "name."
                    )
                warnings.warn(
                    f"The argument '{old}' of {function.__name__}() has been renamed to '{new}'; "
                    "the old name will be removed in the next release.",
                    DeprecationWarning,
                    stacklevel=2,
                )
                kwargs[new] = kwargs.pop(old)
            return function(*args, **kwargs)

        return wrapper

    return decorate
