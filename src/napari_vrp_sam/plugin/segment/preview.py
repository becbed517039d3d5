"""The frame in view as a run would segment it, shown while the user still draws."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QCheckBox, QWidget

from napari_vrp_sam.errors import InputError
from napari_vrp_sam.inference.runs.events import Cancelled, Done, Failed, FrameResult
from napari_vrp_sam.plugin.layers.outlines import FrameOutline
from napari_vrp_sam.plugin.widgets.controls import set_help
from napari_vrp_sam.plugin.widgets.watched_run import POLL_MILLISECONDS, single_shot_timer

if TYPE_CHECKING:
    import napari
    from napari.layers import Image, Layer

    from napari_vrp_sam.inference.frames import Frames
    from napari_vrp_sam.inference.runs.engine import Engine, Run
    from napari_vrp_sam.inference.runs.events import Event
    from napari_vrp_sam.inference.runs.segmentation_job import SegmentationJob

logger = logging.getLogger(__name__)

PAUSE_MILLISECONDS = 500
"""After the last stroke: a job for each stroke would never catch up."""
FAULT = "The preview could not be shown; drawing and segmenting go on."


class PreviewBox(QCheckBox):
    """Segments the frame in view whenever the annotation of its stack has changed.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
    engine : Engine
    make_job : callable
        Gives the image, its frames, the index of the frame in view and the job that segments that
        frame alone; raises `InputError` where nothing is to be seen.

    Signals
    -------
    warned : (sentence,)
        Why a preview that was made cannot be shown.
    """

    warned = Signal(str)

    def __init__(
        self,
        viewer: napari.viewer.Viewer,
        engine: Engine,
        make_job: Callable[[], tuple[Image, Frames, int, SegmentationJob]],
        parent: QWidget | None = None,
    ) -> None:
        super().__init__("Live preview", parent)
        self._viewer = viewer
        self._engine = engine
        self._make_job = make_job
        self._run: Run | None = None
        self._outdated = False
        self._locked = False
        self._drawn = False
        """Whether something was drawn since the last run."""
        self._target: tuple[Image, Frames, int] | None = None
        self._outline = FrameOutline(viewer, "preview")
        self._followed: list[Layer] = []
        set_help(
            self,
            "Outline what the model makes of the annotation on the frame in view, half a second "
            "after the last stroke; not with lazy Labels layers (dask, zarr).",
        )
        self.setChecked(True)
        self._pause = single_shot_timer(self, PAUSE_MILLISECONDS, self._start)
        self._poll = single_shot_timer(self, POLL_MILLISECONDS, self._take)
        self.toggled.connect(self._toggled)
        viewer.dims.events.current_step.connect(self._scrolled)
        viewer.layers.events.removed.connect(self._removed)

    def refresh(self, layers: list[Layer]) -> None:
        """Watch what is drawn in these layers, and no others."""
        for layer in self._followed:
            for emitter in _drawing_events(layer):
                emitter.disconnect(self.renew)
        self._followed = list(layers)
        for layer in self._followed:
            for emitter in _drawing_events(layer):
                emitter.connect(self.renew)
        self.renew()

    def renew(self, _event: Any = None) -> None:
        """The preview is out of date: make another, once the user pauses."""
        self._drawn = True
        if self.isChecked() and not self._locked:
            self._pause.start()

    def lock(self, *, locked: bool) -> None:
        """A run begins, which shows all there is to see; or it has ended."""
        self._locked = locked
        self._drawn = False
        if locked:
            self._clear()

    def abandon(self) -> None:
        """The dock closes, and with it the engine may end."""
        self._clear()
        if self._run is not None:
            self._run.cancel()

    def release(self) -> None:
        """Let go of the viewer, which is closing."""
        self.abandon()
        self._poll.stop()
        self.refresh([])
        self._pause.stop()
        self._viewer.dims.events.current_step.disconnect(self._scrolled)
        self._viewer.layers.events.removed.disconnect(self._removed)

    def _toggled(self, on: bool) -> None:  # noqa: FBT001 # Qt's signal
        if on:
            self.renew()
        else:
            self._clear()

    def _scrolled(self, _event: Any = None) -> None:
        if self._drawn:
            self.renew()

    def _removed(self, event: Any) -> None:
        if self._target is not None and event.value is self._target[0]:
            self._clear()

    def _clear(self) -> None:
        """Show nothing; what is under way may end, but nobody looks."""
        self._pause.stop()
        self._outdated = False
        self._target = None
        self._outline.remove()

    def _start(self) -> None:
        if self._run is not None:  # one at a time: the next begins where this one ends
            self._outdated = True
            return
        try:
            image, frames, index, job = self._make_job()
        except InputError:  # nothing is drawn yet, or only half
            return
        self._target = image, frames, index
        self._run = self._engine.submit(job)
        self._poll.start()

    def _take(self) -> None:
        assert self._run is not None
        ended = True
        try:
            ended = self._take_events(self._run.poll())
        except InputError as mistake:
            self._run.cancel()
            self.warned.emit(str(mistake))
        except Exception:
            self._run.cancel()
            self.warned.emit(FAULT)
            raise
        finally:
            # Whatever went wrong: the next stroke gets a preview.
            self._go_on(ended=ended)

    def _take_events(self, events: list[Event]) -> bool:
        """Show what has come; whether that was all."""
        ended = False
        for event in events:
            ended = ended or isinstance(event, Done | Failed | Cancelled)
            if isinstance(event, FrameResult) and self._target is not None:
                self._show(*self._target, event)
            elif isinstance(event, Failed):
                logger.info("No preview: %s %s", event.message, event.detail)
        return ended

    def _go_on(self, *, ended: bool) -> None:
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
            self.setChecked(False)  # who deletes it wants none
            return
        self._outline.show(image, frames, index, result.labels)


def _drawing_events(layer: Layer) -> list[Any]:
    """Events that tell that something was drawn or erased, or given another class."""
    names = ("paint", "labels_update", "data", "features")
    return [layer.events[name] for name in names if name in layer.events.emitters]
