"""Tasks that are tried again after the memory of their worker was full."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TypeVar

from napari_vrp_sam.errors import InputError
from napari_vrp_sam.models.devices import is_out_of_memory

logger = logging.getLogger(__name__)

Result = TypeVar("Result")


def try_twice(task: Callable[[], Result], release: Callable[[], None]) -> Result:
    """Do a task; if the memory is full, release what can be released, and try once more.

    Parameters
    ----------
    task : callable
    release : callable
        Called between the attempts.

    Raises
    ------
    InputError
        If the memory is full again.

    Examples
    --------
    >>> try_twice(lambda: 3, release=lambda: None)
    3
    """
    for attempt in (1, 2):
        try:
            return task()
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
        if attempt == 1:  # here, because the error held arrays of the task
            logger.warning("The memory of a worker is full: its task is tried again.")
            release()
    raise InputError(
        "There is not enough memory on a worker: use smaller tiles or a smaller model, start fewer "
        "workers per machine, or give each of them more memory."
    )
