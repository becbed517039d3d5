"""New labels of a result in the background, from its probabilities."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from qtpy.QtCore import QObject, Signal

from napari_vrp_sam.plugin.layers.frame_view import frame_in_view
from napari_vrp_sam.plugin.layers.outputs.accepted import (
    accepted_frames,
    frame_labels,
    set_frame_labels,
)
from napari_vrp_sam.plugin.layers.outputs.result_settings import store_settings

if TYPE_CHECKING:
    import napari
    from napari.layers import Labels

    from napari_vrp_sam.inference.frames import Frames
    from napari_vrp_sam.inference.objects.result_settings import ResultSettings
    from napari_vrp_sam.inference.relabelling.relabel import RelabelSettings
    from napari_vrp_sam.plugin.layers.outputs.kept_probabilities import (
        KeptProbabilities,
        Relabelled,
    )


@dataclass(eq=False)
class _Task:
    layer: Labels
    frames: Frames
    kept: KeptProbabilities
    settings: RelabelSettings
    todo: set[int]


class Relabelling(QObject):
    """Compute the labels of one result at a time, the frame in view first.

    Accepted frames and pixels that the user has changed are not changed.
    """

    started = Signal()
    finished = Signal()
    """Emitted when all frames have their new labels, or the rest is left as it is."""
    _computed = Signal(object, int, object)

    def __init__(self, viewer: napari.viewer.Viewer, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="vrp-sam-relabel")
        self._task: _Task | None = None
        self._computing = False
        self._computed.connect(self._apply)

    @property
    def busy(self) -> bool:
        """True as long as some frames have labels by earlier settings."""
        return self._task is not None

    def start(
        self, layer: Labels, frames: Frames, kept: KeptProbabilities, settings: ResultSettings
    ) -> None:
        """Give a result labels by new settings; replaces what was started before."""
        store_settings(layer, settings)
        todo = set(kept.frames) - set(accepted_frames(layer))
        self._task = _Task(layer, frames, kept, settings.of_labels, todo)
        self.started.emit()
        if not self._computing:
            self._next()

    def stop(self) -> None:
        """Leave the remaining frames as they are."""
        if self._task is not None:
            self._task = None
            self.finished.emit()

    def release(self) -> None:
        """End the thread, because the viewer is closing."""
        self._task = None
        self._computed.disconnect(self._apply)
        self._thread.shutdown(cancel_futures=True)

    def _next(self) -> None:
        task = self._task
        if task is None:
            return
        if not task.todo or task.layer not in self._viewer.layers:
            self._task = None
            self.finished.emit()
            return
        index = frame_in_view(task.layer, task.frames, self._viewer.dims)
        if index is None or index not in task.todo:
            index = min(task.todo)
        task.todo.remove(index)
        self._computing = True
        future = self._thread.submit(task.kept.compute, index, task.settings)
        future.add_done_callback(partial(self._report, task, index))

    def _report(self, task: _Task, index: int, future: Future[Relabelled]) -> None:
        if not future.cancelled():
            self._computed.emit(task, index, future)

    def _apply(self, task: _Task, index: int, future: Future[Relabelled]) -> None:
        self._computing = False
        layer = task.layer
        wanted = task is self._task and layer in self._viewer.layers
        if wanted and index not in accepted_frames(layer):
            current = frame_labels(layer, task.frames, index)
            labels = task.kept.merge(index, current, future.result())
            set_frame_labels(layer, task.frames, index, labels)
            dims = self._viewer.dims
            if dims.ndisplay == 3 or frame_in_view(layer, task.frames, dims) == index:
                layer.refresh(thumbnail=False, extent=False, highlight=False)
        self._next()
