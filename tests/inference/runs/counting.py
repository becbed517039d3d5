"""A job that brings its own work: it can be imported by another process too."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

from napari_vrp_sam.errors import InputError
from napari_vrp_sam.inference.job import Job
from napari_vrp_sam.inference.runs.control import Control
from napari_vrp_sam.inference.runs.events import JobEvent


@dataclass(frozen=True)
class Counted(JobEvent):
    number: int
    process: int
    mean: float


@dataclass(frozen=True, eq=False)
class Count(Job):
    """Counts to `last`, and reads a frame of the stack for each number.

    With `forks`, a child of the process keeps its pipes open, and the number is that of the child.
    """

    handler: ClassVar[str] = f"{__name__}:count_events"
    data: Any
    last: int
    axes: str | None = None
    channels: None = None
    mistake: str = ""
    forks: bool = False


def count_events(job: Count, control: Control, cache: object = None) -> Iterator[Counted]:
    if job.mistake:
        raise InputError(job.mistake)
    if job.forks:
        child = os.fork()
        if not child:
            time.sleep(300)
            os._exit(0)
        yield Counted(child, os.getpid(), 0.0)
    for number in range(job.last):
        control.check()
        mean = float(job.data[(number % len_of(job.data),)].mean())
        yield Counted(number, os.getpid(), mean)
        time.sleep(0.01)


def len_of(data: Any) -> int:
    return int(data.shape[0])
