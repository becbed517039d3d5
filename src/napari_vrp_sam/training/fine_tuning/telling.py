"""What a long call reports, as events of the run that waits for it."""

from __future__ import annotations

import queue
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from napari_vrp_sam.inference.control import Control
from napari_vrp_sam.inference.events import Event, Progress

WAIT = 0.2
"""Seconds after which a cancelled run stops waiting."""

Result = TypeVar("Result")


def told(
    work: Callable[[Callable[[str], None]], Result], control: Control
) -> Generator[Event, None, Result]:
    """Do some work in a thread, and tell what it reports.

    Parameters
    ----------
    work : callable
        Of a function that takes messages; what it returns is returned here.
    control : Control
        A cancelled run leaves the work to itself.

    Yields
    ------
    Progress

    Raises
    ------
    Exception
        Whatever the work raises.
    """
    messages: queue.SimpleQueue[str] = queue.SimpleQueue()
    pool = ThreadPoolExecutor(1)
    try:
        future = pool.submit(work, messages.put)
        while not (future.done() and messages.empty()):
            control.check()
            try:
                message = messages.get(timeout=WAIT)
            except queue.Empty:
                continue
            yield Progress(0, 1, message)
        return future.result()
    finally:
        pool.shutdown(wait=False)
