"""Command line calls in a background process, so that the window does not import torch."""

from __future__ import annotations

import sys

from qtpy.QtCore import QObject, QProcess, Signal

CLI_CALL = "from napari_vrp_sam.cli import main; main()"


class CommandProcess(QObject):
    """One call of `vrp-sam` in a background process.

    Signals
    -------
    ended : (error message,)
        The message is empty on success.
    """

    ended = Signal(str)

    def __init__(self, parent: QObject, *arguments: str) -> None:
        super().__init__(parent)
        self._process = QProcess(self)
        self._process.finished.connect(self._end)
        self._process.start(sys.executable, ["-c", CLI_CALL, *arguments])

    def kill(self) -> None:
        """Kill the process; output files are written atomically, so none is left incomplete."""
        self._process.finished.disconnect(self._end)
        self._process.kill()
        self._process.waitForFinished(1000)

    def _end(self, exit_code: int, _status: object = None) -> None:
        stderr = bytes(self._process.readAllStandardError().data()).decode("utf-8", "replace")
        # Warnings of libraries may precede the error.
        error = stderr.rpartition("Error: ")[2].strip() or "An unexpected error occurred."
        self.ended.emit("" if exit_code == 0 else error)
        self.deleteLater()
