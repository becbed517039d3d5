"""Control of a run from outside: pause, resume, cancel."""

from __future__ import annotations

import threading

__all__ = ["Control", "StopRunError"]


class StopRunError(Exception):
    """Raised in the work of a run that was cancelled."""


class Control:
    """State of a run that others may change; the work calls `check` between two steps."""

    def __init__(self) -> None:
        self._cancelled = threading.Event()
        self._running = threading.Event()
        self._running.set()

    @property
    def cancelled(self) -> bool:
        """True if the work must stop."""
        return self._cancelled.is_set()

    @property
    def paused(self) -> bool:
        """True if the work must wait."""
        return not self._running.is_set()

    def cancel(self) -> None:
        """Stop the work at its next step, paused or not."""
        self._cancelled.set()
        self._running.set()

    def pause(self) -> None:
        """Pause the work at its next step, unless it was cancelled."""
        self._running.clear()
        if self.cancelled:
            self._running.set()

    def resume(self) -> None:
        """Continue after a pause."""
        self._running.set()

    def check(self) -> None:
        """Wait while paused.

        Raises
        ------
        StopRunError
            If the run was cancelled.
        """
        self._running.wait()
        if self.cancelled:
            raise StopRunError
