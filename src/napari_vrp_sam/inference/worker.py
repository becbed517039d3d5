"""The other end of `ProcessEngine`: a process that does one job and ends.

The job comes in on stdin, events go out on stdout, pickled both ways. The stack itself stays where
it is: the worker asks for the parts that it needs, so that any array will do, in memory or lazy,
and none is copied as a whole.
"""

from __future__ import annotations

import os
import pickle
import sys
import threading
from dataclasses import dataclass
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray


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


class RemoteArray:
    """An array in the other process, read part by part."""

    def __init__(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
        self.shape = shape
        self.dtype = dtype
        self.channel: Channel | None = None

    def __getitem__(self, selection: tuple[Any, ...]) -> NDArray[Any]:
        assert self.channel is not None
        self.channel.send(ReadRequest(selection))
        answer = self.channel.receive()
        if isinstance(answer, Exception):
            raise answer
        return np.asarray(answer)


def main() -> None:
    """Wait for a job on stdin, and do it."""
    channel = Channel(sys.stdin.buffer, os.fdopen(os.dup(1), "wb"))
    # What a library prints would garble the messages.
    os.dup2(2, 1)
    # The heavy libraries load while the job is still being prepared. Probes grow trees: without
    # this the first one would wait for seconds.
    import sklearn.ensemble  # noqa: F401

    import napari_vrp_sam.inference.predictor
    import napari_vrp_sam.models.lite  # noqa: F401
    from napari_vrp_sam.inference.engine import ThreadEngine

    try:
        job = channel.receive()
    except EOFError:  # no job came
        return
    job.data.channel = channel
    for event in ThreadEngine().submit(job).events():
        channel.send(event)


if __name__ == "__main__":
    main()
