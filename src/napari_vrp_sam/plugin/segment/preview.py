"""Live preview of the segmentation of the frame in view."""

from __future__ import annotations

import logging
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QCheckBox

from napari_vrp_sam.errors import InputError
from napari_vrp_sam.inference.runs.events import (
    Cancelled,
    Done,
    Failed,
    FrameResult,
    Learned,
    Loaded,
    Progress,
)
from napari_vrp_sam.plugin.layers.annotations import NothingDrawn
from napari_vrp_sam.plugin.layers.drawing import StrokeWatch
from napari_vrp_sam.plugin.layers.outputs.outlines import FrameOutline
from napari_vrp_sam.plugin.segment.preview_label import PreviewLabel
from napari_vrp_sam.plugin.segment.preview_state import PreviewState
from napari_vrp_sam.plugin.widgets.background.watched_run import (
    POLL_MILLISECONDS,
    single_shot_timer,
)
from napari_vrp_sam.plugin.widgets.controls import set_help
from napari_vrp_sam.plugin.widgets.wording import split_message

if TYPE_CHECKING:
    import napari
    from napari.layers import Image, Layer

    from napari_vrp_sam.inference.frames import Frames
    from napari_vrp_sam.inference.runs.engine import Engine, Run
    from napari_vrp_sam.inference.runs.events import Event
    from napari_vrp_sam.plugin.segment.jobs import PreviewInputs

logger = logging.getLogger(__name__)

PAUSE_MILLISECONDS = 500
"""Delay after the last stroke, so that a series of strokes starts only one job."""
FAILURE_MESSAGE = "The preview could not be shown; you can still draw and segment."


class PreviewBox(QCheckBox):
    """Check box that segments the frame in view after every change of the annotations.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
    engine : Engine
    make_job : callable
        See `JobFactory.preview`.

    Attributes
    ----------
    state : PreviewState
    state_label : PreviewLabel
    """

    drawn = Signal()
    """Emitted after a change of the annotations."""
    loaded = Signal(object)
    """Emits the `Loaded` event."""
    learned = Signal(object)  # PySide cannot pass a dict with int keys as dict
    """Emits a dict of `ClassCalibration` by class id."""
    state_changed = Signal(object)
    """Emits the `PreviewState`."""
    refused = Signal(object)
    """Emits the `InputError` that says why the annotations cannot be used."""

    def __init__(
        self,
        viewer: napari.viewer.Viewer,
        engine: Engine,
        make_job: Callable[[], Callable[[], PreviewInputs]],
    ) -> None:
        super().__init__("Live preview")
        self._viewer = viewer
        self._engine = engine
        self._make_job = make_job
        self.state = PreviewState()
        self.state_label = PreviewLabel()
        self._run: Run | None = None
        self._making: Future[PreviewInputs] | None = None
        # Reading annotations of large frames takes seconds.
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="vrp-sam-preview")
        self._shown = False  # the quick result of the run
        self._outdated = False
        self._locked = False
        self._changed = False  # since the last run
        self._target: tuple[Image, Frames, int] | None = None
        self._outline = FrameOutline(viewer, "preview")
        self._strokes = StrokeWatch()
        set_help(
            self,
            "Segment the frame in view and show the outlines, half a second after each change of "
            "the annotation. Not available with lazy Labels layers (dask, zarr).",
        )
        self.setChecked(True)
        self._pause = single_shot_timer(self, PAUSE_MILLISECONDS, self._start)
        self._poll = single_shot_timer(self, POLL_MILLISECONDS, self._poll_run)
        self.toggled.connect(self._toggled)
        viewer.dims.events.current_step.connect(self._scrolled)
        viewer.layers.events.removed.connect(self._removed)

    def watch(self, layers: list[Layer]) -> None:
        """Follow the changes of these layers instead of the previous ones."""
        self._strokes.release()
        self._strokes = StrokeWatch(layers, self._on_drawn)
        self.request_update()

    def request_update(self, _event: Any = None) -> None:
        """Update the preview when the user pauses."""
        self._changed = True
        if self.isChecked() and not self._locked:
            self._show_state(self.state.changed())
            self._pause.start()

    def lock(self, *, locked: bool) -> None:
        """Stop previews during a run, whose result replaces them."""
        self._locked = locked
        self._changed = False
        if locked:
            self._clear()

    def cover(self, covered: bool) -> None:  # noqa: FBT001 # Qt's signal
        """Hide the outlines while a result of the frame in view is visible."""
        self._outline.set_visible(visible=not covered)
        self.state_label.cover(covered=covered)

    def abandon(self) -> None:
        """Remove the preview and cancel its job; the dock is closing."""
        self._clear()
        if self._run is not None:
            self._run.cancel()

    def release(self) -> None:
        """Disconnect from the viewer, which is closing."""
        self.abandon()
        self._poll.stop()
        self.watch([])
        self._pause.stop()
        self._thread.shutdown(wait=False, cancel_futures=True)
        self._viewer.dims.events.current_step.disconnect(self._scrolled)
        self._viewer.layers.events.removed.disconnect(self._removed)

    def _toggled(self, on: bool) -> None:  # noqa: FBT001 # Qt's signal
        if on:
            self.request_update()
        else:
            self._clear()

    def _on_drawn(self) -> None:
        self.drawn.emit()
        self.request_update()

    def _scrolled(self, _event: Any = None) -> None:
        if self._changed:
            self.request_update()

    def on_image(self) -> None:
        """Follow the choice of another image: the preview of the one before disappears."""
        self._clear()
        self.request_update()

    def _removed(self, event: Any) -> None:
        if self._target is not None and event.value is self._target[0]:
            self._clear()

    def _clear(self, state: PreviewState | None = None, *, outdated: bool = False) -> None:
        """Remove the outlines and ignore the result of a job in progress."""
        self._pause.stop()
        self._outdated = outdated
        self._making = self._target = None
        self._outline.remove()
        self._show_state(state or self.state.cleared())

    def _show_state(self, state: PreviewState) -> None:
        self.state = state
        self.state_label.show_state(state)
        self.state_changed.emit(state)

    def _start(self) -> None:
        if self._run is not None or self._making is not None:  # start again when this has ended
            self._outdated = True
            if self._run is not None and self._shown:
                self._run.cancel()  # which refines a result that is out of date
            return
        try:
            make = self._make_job()
        except InputError as error:
            self._refuse(error)
            return
        self._making = self._thread.submit(make)
        self._poll.start()

    def _submit(self, making: Future[PreviewInputs]) -> None:
        """Start the job that was made."""
        self._making = None
        try:
            image, frames, index, job = making.result()
        except InputError as error:
            self._refuse(error)
            self._continue(ended=True)
            return
        except Exception:
            self._fail(FAILURE_MESSAGE)
            self._continue(ended=True)
            raise
        self._target = image, frames, index
        self._shown = False
        self._show_state(self.state.started())
        self._run = self._engine.submit(job)
        self._poll.start()

    def _poll_run(self) -> None:
        if self._making is not None:
            if self._making.done():
                self._submit(self._making)
            else:
                self._poll.start()
            return
        if self._run is None:
            return
        ended = True  # after an error, too
        try:
            ended = self._handle_events(self._run.poll())
        except InputError as error:
            self._run.cancel()
            self._fail(str(error))
        except Exception:
            self._run.cancel()
            self._fail(FAILURE_MESSAGE)
            raise
        finally:
            self._continue(ended=ended)

    def _handle_events(self, events: list[Event]) -> bool:
        """Show the result; return whether the run has ended."""
        ended = False
        for event in events:
            ended = ended or isinstance(event, Done | Failed | Cancelled)
            if self._target is None:  # cleared meanwhile
                continue
            match event:
                case Progress(done=0, stage=stage) if not (self._outdated or self._shown):
                    self._show_state(self.state.progressed(stage))
                case Loaded():
                    self.loaded.emit(event)
                case Done():
                    self._show_state(self.state.finished())
                case Learned(calibrations) if not self._outdated:
                    self.learned.emit(calibrations)
                case FrameResult():
                    self._shown = True
                    self._show(*self._target, event)
                case Failed():
                    logger.info("No preview: %s %s", event.message, event.detail)
                    self._fail(event.message)
        return ended

    def _refuse(self, error: InputError) -> None:
        if self._strokes:
            self._fail(str(error), undrawn=isinstance(error, NothingDrawn))
            self.refused.emit(error)
        else:
            self._clear(self.state.cleared(waiting=True), outdated=self._outdated)

    def _fail(self, reason: str, *, undrawn: bool = False) -> None:
        """Remove the preview and show the reason; the next stroke starts another one."""
        # An outline must not outlive the annotation that it was learned from.
        state = self.state.failed(split_message(reason)[0], undrawn=undrawn)
        self._clear(state, outdated=self._outdated)

    def _continue(self, *, ended: bool) -> None:
        if not ended:
            self._poll.start()
            return
        self._run = None
        if self._outdated:
            self._outdated = False
            self._start()

    def _show(self, image: Image, frames: Frames, index: int, result: FrameResult) -> None:
        if image not in self._viewer.layers:
            return
        if self._outline.deleted:
            self._outline.remove()
            self.setChecked(False)  # a user who deletes the preview does not want it
            return
        self._outline.show(image, frames, index, result.labels)
        shown = self.state.shown()
        self._show_state(shown.changed() if self._outdated or self._pause.isActive() else shown)
