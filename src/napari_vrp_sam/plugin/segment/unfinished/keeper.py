"""Writing of the finished frames of a run, in case that napari closes before it ends."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from functools import partial
from typing import TYPE_CHECKING

from qtpy.QtCore import QObject, Signal

from napari_vrp_sam.errors import InputError
from napari_vrp_sam.inference.prediction.confidence import frame_confidence
from napari_vrp_sam.io.sessions.unfinished.folder import make_room
from napari_vrp_sam.io.sessions.unfinished.run import StoredFrame, UnfinishedRun

if TYPE_CHECKING:
    from napari_vrp_sam.inference.runs.events import FrameResult
    from napari_vrp_sam.plugin.segment.unfinished.snapshot import RunSnapshot

logger = logging.getLogger(__name__)

NO_ROOM = "The space for unfinished runs is full: further frames are lost if napari closes."
THREAD_NAME = "vrp-sam-keep"


class RunKeeper(QObject):
    """Write the frames of one run to its folder in a thread, and delete the folder at its end.

    Parameters
    ----------
    parent : QObject
    snapshot : RunSnapshot
    run : UnfinishedRun, optional
        Earlier run that is resumed. Default: a new one.
    """

    warned = Signal(str)
    """Emits one sentence if further frames cannot be kept."""
    ended = Signal()
    """Emitted when the run is deleted, or complete on disk."""

    def __init__(
        self, parent: QObject, snapshot: RunSnapshot, run: UnfinishedRun | None = None
    ) -> None:
        super().__init__(parent)
        self.ended.connect(self.deleteLater)
        # Python waits for this thread before it exits, so that the last frames are written.
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=THREAD_NAME)
        self._lock = ExitStack()
        self._run = run
        self._room = 0
        self._discarded = self._full = False
        self._do(lambda: self._begin(snapshot, resumed=run is not None))

    def add(self, results: Iterable[FrameResult]) -> None:
        """Keep finished frames."""
        for result in results:
            self._do(partial(self._add, result))

    def end(self, *, keep: bool) -> None:
        """Delete the run, or leave it to be resumed if it has finished frames."""
        self._discarded = not keep
        self._thread.submit(self._end, keep)
        self._thread.shutdown(wait=False)

    def _do(self, task: Callable[[], None]) -> None:
        self._thread.submit(self._attempt, task)

    def _attempt(self, task: Callable[[], None]) -> None:
        if self._discarded:
            return
        try:
            task()
        except InputError as error:
            self._stop(f"{error} Further frames are lost if napari closes.")
        except Exception:
            logger.exception("A finished frame could not be kept")
            self._stop("Further frames are lost if napari closes, because of an unexpected error.")

    def _begin(self, snapshot: RunSnapshot, *, resumed: bool) -> None:
        run = self._run if resumed else snapshot.new_run()
        assert run is not None
        self._lock.enter_context(run.locked())
        self._room = make_room(run, snapshot.data)
        if not resumed:
            run.save(snapshot.session, snapshot.images)
        self._run = run

    def _add(self, result: FrameResult) -> None:
        if self._run is None or self._full:
            return
        if self._room <= 0:
            self._stop(NO_ROOM)
            return
        confidence = frame_confidence(result.confidence.values())
        levels = None if result.levels is None else (result.levels.shape, result.levels.data)
        self._room -= self._run.add(result.index, StoredFrame(result.labels, confidence, levels))

    def _stop(self, message: str) -> None:
        self._full = True
        with suppress(RuntimeError):  # Qt may have deleted this object when napari ends
            self.warned.emit(message)

    def _end(self, keep: bool) -> None:  # noqa: FBT001 # called by a thread
        with self._lock:
            if self._run is not None and not (keep and self._run.indices):
                self._run.discard()
        with suppress(RuntimeError):
            self.ended.emit()
