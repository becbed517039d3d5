"""Live preview of the objects of the frame in view."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import QObject
from qtpy.QtWidgets import QWidget

from napari_vrp_sam.errors import InputError
from napari_vrp_sam.inference.runs.events import Cancelled, Done, Event, Failed, FrameResult
from napari_vrp_sam.inference.runs.objects_job import ObjectsPreviewJob
from napari_vrp_sam.plugin.layers.drawing import drawing_events
from napari_vrp_sam.plugin.layers.frame_view import frame_in_view
from napari_vrp_sam.plugin.layers.outputs.accepted import current_result_with_frames, result_labels
from napari_vrp_sam.plugin.layers.outputs.outlines import FrameOutline
from napari_vrp_sam.plugin.widgets.background.watched_run import (
    POLL_MILLISECONDS,
    single_shot_timer,
)

if TYPE_CHECKING:
    import napari
    from napari.layers import Image, Labels

    from napari_vrp_sam.inference.frames import Frames
    from napari_vrp_sam.inference.objects.settings import ObjectSettings
    from napari_vrp_sam.inference.runs.engine import Engine, Run
    from napari_vrp_sam.plugin.inputs.image_box import ImageBox
    from napari_vrp_sam.plugin.objects.form import ObjectsForm

logger = logging.getLogger(__name__)

PAUSE_MILLISECONDS = 200
"""Delay after a change, so that a moving slider does not start a job for each of its values."""


class ObjectsPreview(QObject):
    """Outlines of the objects on the frame in view, after every change of the settings.

    The engine finds them, so that the window stays responsive.
    """

    def __init__(
        self,
        viewer: napari.viewer.Viewer,
        image_box: ImageBox,
        form: ObjectsForm,
        engine: Engine,
        settings: Callable[[], ObjectSettings],
        parent: QWidget,
    ) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._image_box = image_box
        self._form = form
        self._engine = engine
        self._settings = settings
        self._on = False
        self._outdated = False
        self._run: Run | None = None
        self._target: tuple[Image, Labels, Frames] | None = None
        self._emitters: list[Any] = []
        self._outline = FrameOutline(viewer, "object preview", classes=False)
        self._pause = single_shot_timer(self, PAUSE_MILLISECONDS, self._start)
        self._poll = single_shot_timer(self, POLL_MILLISECONDS, self._poll_run)
        viewer.dims.events.current_step.connect(self._update)
        viewer.dims.events.ndisplay.connect(self._update)

    @property
    def on(self) -> bool:
        """True while the preview follows the frame in view and the settings."""
        return self._on

    @property
    def layer(self) -> Labels | None:
        """The layer with the outlines, if it is shown."""
        return None if self._outline.deleted else self._outline.layer

    @property
    def busy(self) -> bool:
        """True if the outlines do not show the current settings and frame yet."""
        return self._pause.isActive() or self._run is not None

    def start(self) -> None:
        """Show the preview, and follow the frame in view until `stop`."""
        self._on = self._form.objects_requested
        if self._on:
            self._update()
        else:
            self.stop()

    def stop(self) -> None:
        """Remove the preview."""
        self._on = self._outdated = False
        self._pause.stop()
        self._clear()

    def follow(self) -> None:
        """Follow the choice of another image or result, and its removal."""
        if not self._on:
            return
        if self._outline.deleted:
            self.stop()  # until the next change of a setting
            return
        image = self._image_box.layer
        result = current_result_with_frames(self._viewer, image)
        if self._target is not None and (result is None or self._target[:2] != (image, result[0])):
            self._clear()
            self._update()

    def release(self) -> None:
        """Disconnect from the viewer, which is closing."""
        self.stop()
        self._poll.stop()
        if self._run is not None:
            self._run.cancel()
        self._viewer.dims.events.current_step.disconnect(self._update)
        self._viewer.dims.events.ndisplay.disconnect(self._update)

    def _update(self, _event: Any = None) -> None:
        if self._on:
            self._pause.start()

    def _clear(self) -> None:
        self._target = None
        self._disconnect()
        self._outline.remove()

    def _disconnect(self) -> None:
        for emitter in self._emitters:
            emitter.disconnect(self._update)
        self._emitters = []

    def _start(self) -> None:
        if self._run is not None:  # start again when this job has ended
            self._outdated = True
            return
        try:
            job = self._job()
        except InputError as error:
            logger.info("No preview of objects: %s", error)
            job = None
        if job is None:
            self._clear()
            return
        self._run = self._engine.submit(job)
        self._poll.start()

    def _job(self) -> ObjectsPreviewJob | None:
        """Return a job for the frame in view."""
        image = self._image_box.layer
        result = current_result_with_frames(self._viewer, image)
        if image is None or result is None:
            return None
        layer, frames = result
        index = frame_in_view(layer, frames, self._viewer.dims)
        if index is None:
            return None
        if self._target is None or self._target[1] is not layer:
            self._disconnect()
            self._emitters = drawing_events(layer)
            for emitter in self._emitters:
                emitter.connect(self._update)
        self._target = image, layer, frames
        return ObjectsPreviewJob(
            # Not a copy, which takes long for large frames: changes start another job anyway.
            result_labels(layer, frames, copy=False),
            axes=frames.label_axes,
            index=index,
            settings=self._settings(),
        )

    def _poll_run(self) -> None:
        assert self._run is not None
        events = self._run.poll()
        if any(isinstance(event, Done | Failed | Cancelled) for event in events):
            self._run = None
        else:
            self._poll.start()
        for event in events:
            self._show(event)
        if self._run is None and self._outdated:
            self._outdated = False
            self._start()

    def _show(self, event: Event) -> None:
        if isinstance(event, Failed):
            logger.warning("No preview of objects: %s %s", event.message, event.detail)
        if not isinstance(event, FrameResult) or self._target is None:
            return
        image, _, frames = self._target
        if image in self._viewer.layers:
            ids = event.labels.astype(np.min_scalar_type(int(event.labels.max(initial=0))))
            self._outline.show(image, frames, event.index, ids)
