"""Files that are written in the background, with messages about their progress."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from pathlib import Path

from qtpy.QtCore import QObject, Signal

from napari_vrp_sam.errors import InputError


class FileWriter(QObject):
    """Write files one after the other in a thread.

    Signals
    -------
    reported : (message,)
        Progress or outcome.
    warned : (message,)
        An error that the user can fix.
    """

    reported = Signal(str)
    warned = Signal(str)
    _written = Signal(object, object)

    def __init__(self, parent: QObject) -> None:
        super().__init__(parent)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="vrp-sam-write")
        self._written.connect(self._report)

    def announce(self, path: Path) -> None:
        """Report that a file is being written."""
        self.reported.emit(f"Writing {path.name}…")

    def write(self, path: Path, write: Callable[[], None]) -> None:
        """Call a function that writes a file; emits `reported` when it is complete, or `warned`."""
        self.announce(path)
        self._thread.submit(write).add_done_callback(partial(self._written.emit, path))

    def release(self, *, cancel: bool = False) -> None:
        """Finish the file that is being written, and optionally cancel those that wait."""
        self._written.disconnect(self._report)
        self._thread.shutdown(cancel_futures=cancel)

    def _report(self, path: Path, writing: Future[None]) -> None:
        try:
            writing.result()
        except InputError as error:
            self.warned.emit(str(error))
        else:
            self.reported.emit(f"Saved {path.name}.")
