"""Download of a model in the background, which can be cancelled and resumed."""

from __future__ import annotations

import threading
from contextlib import suppress

from qtpy.QtCore import QObject, Signal

from napari_vrp_sam.errors import InputError
from napari_vrp_sam.models.weights.model_spec import ModelSpec


class _StoppedError(Exception):
    """Raised in a download that was cancelled."""


class Download(QObject):
    """Download the weights of a model in a thread; received bytes stay if it is cancelled.

    Signals
    -------
    progressed : (percentage, text)
        The percentage is -1 if the size is unknown.
    ended : (problem,)
        Empty after success and cancellation.
    """

    progressed = Signal(int, str)
    ended = Signal(str)

    def __init__(self, spec: ModelSpec, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.spec = spec
        self._stop = threading.Event()
        self._last = -2
        # A daemon, because a server that does not answer must not keep napari open.
        self._thread = threading.Thread(target=self._work, daemon=True, name="vrp-sam-download")

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def cancel(self) -> None:
        """Stop after the bytes in transfer; the next download resumes."""
        self._stop.set()

    @property
    def cancelled(self) -> bool:
        """True if the download was cancelled."""
        return self._stop.is_set()

    def _work(self) -> None:
        problem = ""
        try:
            self.spec.download(progress=self._report)
        except _StoppedError:
            pass
        except InputError as error:
            problem = str(error)
        except Exception as error:  # the window would otherwise wait forever
            problem = "" if self.cancelled else f"The download failed: {error}"
        with suppress(RuntimeError):  # the window was closed
            self.ended.emit(problem)

    def _report(self, done: int, total: int, _name: str) -> None:
        if self._stop.is_set():
            raise _StoppedError
        percentage = 100 * done // total if total else -1
        if percentage != self._last or not total:
            self._last = percentage
            amount = (
                f"{done / 1e6:,.0f} of {total / 1e6:,.0f} MB"
                if total
                else (f"{done / 1e6:,.0f} MB")
            )
            with suppress(RuntimeError):
                self.progressed.emit(percentage, amount)
