"""Messages between the window's process and the worker process, and the channel they use.

Messages are pickled through a pair of pipes. The stack stays in the window's process: the worker
requests the frames that it needs, so that any array works, lazy or not, and none is copied whole.
"""

from __future__ import annotations

import pickle
import threading
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from napari_vrp_sam.inference.job import Job


@dataclass(frozen=True, eq=False)
class Task:
    """A job, and the number by which it is paused and cancelled."""

    number: int
    job: Job


@dataclass(frozen=True)
class SetControl:
    """Cancel, pause or resume a task, even one that has not started."""

    number: int
    cancelled: bool
    paused: bool


@dataclass(frozen=True)
class Ready:
    """The worker has started and waits for tasks."""


@dataclass(frozen=True)
class ReadRequest:
    """A request of the worker for a part of the stack, given as an index expression."""

    selection: tuple[Any, ...]


class Channel:
    """Send objects through a pair of pipes. Both ends are our own processes, so pickle is safe."""

    def __init__(self, incoming: IO[bytes], outgoing: IO[bytes]) -> None:
        self._incoming = incoming
        self._outgoing = outgoing
        self._sending = threading.Lock()

    def send(self, message: Any) -> None:
        """Send an object; can be called from any thread."""
        with self._sending:
            pickle.dump(message, self._outgoing, protocol=pickle.HIGHEST_PROTOCOL)
            self._outgoing.flush()

    def receive(self) -> Any:
        """Wait for an object.

        Raises
        ------
        EOFError
            If the other process has ended.
        """
        try:
            return pickle.load(self._incoming)  # noqa: S301 # our own process wrote it
        except (OSError, pickle.UnpicklingError) as error:  # truncated
            raise EOFError from error


class Requester(Protocol):
    """Sends a request to the other process and waits for the answer."""

    def ask(self, request: ReadRequest) -> Any:
        """Return an array, or the exception that was raised in reading it."""
        ...


class RemoteArray:
    """An array in the other process, read on demand."""

    def __init__(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
        self.shape = shape
        self.dtype = dtype
        self.requester: Requester | None = None

    def __getitem__(self, selection: tuple[Any, ...]) -> NDArray[Any]:
        assert self.requester is not None
        answer = self.requester.ask(ReadRequest(selection))
        if isinstance(answer, Exception):
            raise answer
        return np.asarray(answer)
