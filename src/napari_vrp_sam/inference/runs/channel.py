"""What passes between the window's process and the one that works, and how.

Objects are pickled through a pair of pipes. The stack itself stays where it is: the worker asks for
the parts that it needs, so that any array will do, in memory or lazy, and none is copied as a
whole.
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
    """A job, and the number by which it can be paused and cancelled."""

    number: int
    job: Job


@dataclass(frozen=True)
class SetControl:
    """Cancel, pause or resume a task, even one that has not started."""

    number: int
    cancelled: bool
    paused: bool


@dataclass(frozen=True)
class ReadRequest:
    """A part of the stack that the worker needs: what stands between the brackets."""

    selection: tuple[Any, ...]


class Channel:
    """Objects through a pair of pipes. Both ends belong to this project, so pickle is safe."""

    def __init__(self, incoming: IO[bytes], outgoing: IO[bytes]) -> None:
        self._incoming = incoming
        self._outgoing = outgoing
        self._sending = threading.Lock()

    def send(self, message: Any) -> None:
        """Send an object; from any thread."""
        with self._sending:
            pickle.dump(message, self._outgoing, protocol=pickle.HIGHEST_PROTOCOL)
            self._outgoing.flush()

    def receive(self) -> Any:
        """Wait for an object.

        Raises
        ------
        EOFError
            If the other end is gone.
        """
        try:
            return pickle.load(self._incoming)  # noqa: S301 # our own process wrote it
        except (OSError, pickle.UnpicklingError) as error:  # cut off in the middle
            raise EOFError from error


class Requester(Protocol):
    """Sends a request to the other process and waits for the answer."""

    def ask(self, request: ReadRequest) -> Any:
        """An array, or the exception that prevented it."""
        ...


class RemoteArray:
    """An array in the other process, read part by part."""

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
