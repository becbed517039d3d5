"""The command line as a process, for what would load torch into the window."""

from __future__ import annotations

import sys

from qtpy.QtCore import QObject, QProcess, Signal

CALL = "from napari_vrp_sam.cli import main; main()"


class Command(QObject):
    """One call of `vrp-sam`, in the background.

    Signals
    -------
    ended : (mistake,)
        Empty where all went well.
    """

    ended = Signal(str)

    def __init__(self, parent: QObject, *arguments: str) -> None:
        super().__init__(parent)
        self._process = QProcess(self)
        self._process.finished.connect(self._end)
        self._process.start(sys.executable, ["-c", CALL, *arguments])

    def stop(self) -> None:
        """End it: whatever it was about to write is not there."""
        self._process.finished.disconnect(self._end)
        self._process.kill()
        self._process.waitForFinished(1000)

    def _end(self, code: int, _status: object = None) -> None:
        said = bytes(self._process.readAllStandardError().data()).decode("utf-8", "replace")
        # Libraries may have warned before.
        mistake = said.rpartition("Error: ")[2].strip() or "Something went wrong on our side."
        self.ended.emit("" if code == 0 else mistake)
        self.deleteLater()
