"""How a run is held from outside: paused, let go on, cancelled."""

from __future__ import annotations

import threading

__all__ = ["Control", "StopRunError"]


class StopRunError(Exception):
    """Carries a cancellation out of the work."""


class Control:
    """Whoever works calls `check` between two steps; the rest is for whoever watches."""

    def __init__(self) -> None:
        self._cancelled = threading.Event()
        self._going = threading.Event()
        self._going.set()

    @property
    def cancelled(self) -> bool:
        """Whether the work is to stop."""
        return self._cancelled.is_set()

    @property
    def paused(self) -> bool:
        """Whether the work is to wait."""
        return not self._going.is_set()

    def cancel(self) -> None:
        """Stop the work at its next step, paused or not."""
        self._cancelled.set()
        self._going.set()

    def pause(self) -> None:
        """Let the work wait at its next step; a cancelled one is not held up."""
        self._going.clear()
        if self.cancelled:
            self._going.set()

    def resume(self) -> None:
        """Let the work go on."""
        self._going.set()

    def check(self) -> None:
        """Wait while paused.

        Raises
        ------
        StopRunError
            If the work is to stop.
        """
        self._going.wait()
        if self.cancelled:
            raise StopRunError
