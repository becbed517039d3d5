"""Jobs: plain data that describes what to do with a stack."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from napari_vrp_sam.inference.frames import MIN_SIDE, Frames

if TYPE_CHECKING:
    from napari_vrp_sam.inference.prediction.predictor_cache import PredictorCache
    from napari_vrp_sam.inference.runs.control import Control
    from napari_vrp_sam.inference.runs.events import Event


class Job:
    """A job on a stack: plain data that can be sent to another process.

    A subclass is a frozen dataclass and names the function that does the job, which is imported
    when the job runs, so that submitting a job does not import torch.

    Attributes
    ----------
    patience : float
        Seconds that a cancelled job gets to end by itself. A worker process that is killed in the
        middle of a frame loses its caches.
    handler : str
        The function, as "package.module:function". It is called with the job, a `Control` and a
        predictor cache (or None), and yields events.
    data : array
        The stack, as `Frames` takes it.
    axes : str, optional
        One letter of T, Z, C, Y, X, S for each axis of the data.
    channels : sequence of int, optional
        Channels to use; default: all.
    nodata : float, optional
        Value of missing pixels, as `Frames` takes it.
    """

    patience: ClassVar[float] = 0.6
    handler: ClassVar[str]
    data: Any
    axes: str | None
    channels: Sequence[int] | None
    nodata: float | None = None

    def view(self) -> Frames:
        """Return the frames of the stack, which are read on demand.

        Raises
        ------
        InputError
            If the data cannot be read as frames.
        """
        return Frames(self.data, self.axes, self.channels, self.nodata)

    def events(self, control: Control, cache: PredictorCache | None = None) -> Iterator[Event]:
        """Do the job in this thread.

        Parameters
        ----------
        control : Control
            Pauses and cancels the job between two steps.
        cache : PredictorCache, optional
            Model, references and features of earlier jobs in this process.

        Yields
        ------
        Event
            All but the final one, which the engine adds.

        Raises
        ------
        StopRunError
            If the job was cancelled.
        InputError
            If the job has invalid settings or data.
        """
        module, _, function = self.handler.partition(":")
        events: Iterator[Event] = getattr(import_module(module), function)(self, control, cache)
        return events


def no_stack() -> NDArray[np.uint8]:
    """Return the smallest stack, for jobs that read none."""
    return np.zeros((MIN_SIDE, MIN_SIDE), np.uint8)
