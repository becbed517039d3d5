"""Progress of a blocking call as events of the run that waits for it, and durations in words."""

from __future__ import annotations

import queue
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TYPE_CHECKING, TypeVar

from napari_vrp_sam.inference.runs.control import Control
from napari_vrp_sam.inference.runs.events import Event, Progress

if TYPE_CHECKING:
    from napari_vrp_sam.models.weights.downloads import DownloadProgress

LOADING = "Loading the model"
WAIT = 0.2
"""Seconds after which a cancelled run stops waiting."""

Result = TypeVar("Result")

ReportProgress = Callable[[Progress], None]
"""Takes the progress of a call; raises `StopRunError` in a cancelled run."""


def format_elapsed(seconds: float) -> str:
    """Format a measured duration to the second.

    Examples
    --------
    >>> format_elapsed(5.7), format_elapsed(65), format_elapsed(180), format_elapsed(3720)
    ('5 s', '1 min 5 s', '3 min', '1 h 2 min')
    """
    minutes, rest = divmod(int(seconds), 60)
    if minutes == 0:
        return f"{rest} s"
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if rest else f"{minutes} min"


def download_progress(report: ReportProgress, total: int) -> DownloadProgress:
    """Return a callback for downloads that reports each per cent, and the loading after a download.

    Parameters
    ----------
    report : callable
    total : int
        Number of frames of the run.
    """
    from napari_vrp_sam.models.weights.downloads import text_progress

    in_words = text_progress(lambda text: report(Progress(0, total, text, "downloading")))

    def on_bytes(received: int, size: int, name: str) -> None:
        in_words(received, size, name)
        if size and received >= size:
            report(Progress(0, total, LOADING, "loading"))

    return on_bytes


def progress_events(
    call: Callable[[ReportProgress], Result], control: Control
) -> Generator[Event, None, Result]:
    """Make a call in another thread and yield its progress, such as that of a download.

    Parameters
    ----------
    call : callable
        Takes a function to report progress to; its return value is returned here. In a cancelled
        run the next report raises `StopRunError` inside the call.
    control : Control

    Yields
    ------
    Progress

    Raises
    ------
    Exception
        Any error of the call.
    """
    reports: queue.SimpleQueue[Progress] = queue.SimpleQueue()

    def report(progress: Progress) -> None:
        control.check()
        reports.put(progress)

    pool = ThreadPoolExecutor(1, thread_name_prefix="vrp-sam-call")
    try:
        future = pool.submit(call, report)
        while not (future.done() and reports.empty()):
            control.check()
            with suppress(queue.Empty):
                yield reports.get(timeout=WAIT)
        return future.result()
    finally:
        pool.shutdown(wait=False)
