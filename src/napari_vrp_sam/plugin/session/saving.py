"""Saving of sessions in a background thread."""

from __future__ import annotations

import logging
import queue
import threading
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import napari
import numpy as np
from napari.utils import cancelable_progress
from qtpy.QtCore import QObject, Signal

from napari_vrp_sam.errors import InputError
from napari_vrp_sam.io.sessions.image import SessionImage
from napari_vrp_sam.io.sessions.references import StoredReference
from napari_vrp_sam.io.sessions.session import Session, SessionClass, Settings, write_session
from napari_vrp_sam.plugin.layers.annotations import is_lazy
from napari_vrp_sam.plugin.layers.calibration import image_source
from napari_vrp_sam.plugin.layers.frame_view import frame_in_view
from napari_vrp_sam.plugin.layers.metadata import get_metadata
from napari_vrp_sam.plugin.layers.outputs.accepted import current_result_with_frames
from napari_vrp_sam.plugin.layers.stacks import frames_of, stack_data
from napari_vrp_sam.plugin.session.layers import image_attributes, stored_layer, stored_result
from napari_vrp_sam.plugin.widgets.background.watched_run import (
    POLL_MILLISECONDS,
    single_shot_timer,
)

if TYPE_CHECKING:
    from napari.layers import Image, Labels

    from napari_vrp_sam.inference.objects.result_settings import ResultSettings
    from napari_vrp_sam.io.sessions.layers import StoredLayer
    from napari_vrp_sam.io.sessions.session import ObjectOptions
    from napari_vrp_sam.plugin.inputs.segment_form import SegmentForm

logger = logging.getLogger(__name__)

THREAD_NAME = "vrp-sam-save"


def collect_session(
    form: SegmentForm,
    viewer: napari.viewer.Viewer,
    clean_up: ResultSettings,
    objects: ObjectOptions | None = None,
) -> tuple[Session, Any]:
    """Collect the state of the window as a session, and the pixels of its image.

    The session contains copies of everything that the user may change.

    Raises
    ------
    InputError
        If there is no image, or it cannot be read as frames.
    """
    image, axes = form.image, form.axes
    frames = frames_of(image, axes)
    accepted = form.accepted()
    try:
        references, obstacle = form.references(accepted), ""
    except InputError as error:
        # Unusable annotations are saved, too; the user can fix them later.
        references, obstacle = [], str(error)
    result = current_result_with_frames(viewer, image)
    data = stack_data(image)
    session = Session(
        image=replace(session_image(image, frames.axes), attributes=image_attributes(image)),
        settings=Settings(
            model=form.model_box.model,
            device=form.device_box.currentText(),
            frames=form.frame_range.value(),
            channels=form.channels,
            tile_size=form.tile,
            prompting=form.prompting_box.prompting,
            neighbours=form.neighbours_box.isChecked(),
            point_radius=form.radius_box.value() or None,
            frame_in_view=frame_in_view(image, frames, viewer.dims),
            clean_up=clean_up.as_dict(),
            objects=objects,
        ),
        references=[StoredReference.of(reference) for reference in references],
        obstacle=obstacle,
        accepted=accepted,
        classes=session_classes(form),
        layers=annotation_layers(form, result[0] if result is not None else None),
        result=stored_result(*result) if result is not None else None,
    )
    return session, data


def session_image(image: Image, axes: str) -> SessionImage:
    """Return the description of an image, without the attributes of its layer."""
    data = stack_data(image)
    return SessionImage(
        name=image.name,
        shape=tuple(int(size) for size in data.shape),
        dtype=np.dtype(data.dtype).str,
        axes=axes,
        source=image_source(image),
    )


def session_classes(form: SegmentForm) -> list[SessionClass]:
    """Return the classes of the chosen image."""
    classes = form.class_list.classes
    return [SessionClass(entry.number, entry.name, entry.colour) for entry in classes]


def annotation_layers(
    form: SegmentForm, result: Labels | None = None, *, lazy: bool = True
) -> list[StoredLayer]:
    """Return copies of the layers that annotate the chosen image, except a result.

    Lazy labels, which must be read, can be left out.
    """
    return [
        stored_layer(row.layer, ticked=row.ticked, kind=row.kind)
        for row in reversed(form.annotation_list.rows)
        if (row.ticked or get_metadata(row.layer, "drawing"))
        and row.layer is not result
        and (lazy or not is_lazy(row.layer))
    ]


class SessionWriter(QObject):
    """Write a session in a thread, which finishes even if the window is closed.

    Signals
    -------
    ended : (session, message)
        The written session, or None after an error.
    """

    ended = Signal(object, str)

    def __init__(self, folder: Path, session: Session, data: Any, parent: QObject) -> None:
        super().__init__(parent)
        self.folder = folder
        self._events: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._stop = threading.Event()
        self._bar: Any = None
        # Not a daemon thread: Python waits for it before it exits.
        threading.Thread(target=self._write, args=(session, data), name=THREAD_NAME).start()
        self._timer = single_shot_timer(self, POLL_MILLISECONDS, self._poll)
        self._timer.start()

    def detach(self) -> None:
        """Stop reporting; the thread continues."""
        self._timer.stop()
        if self._bar is not None:
            self._bar.close()

    def _write(self, session: Session, data: Any) -> None:
        try:
            self._events.put(write_session(self.folder, session, data, self._report))
        except (InputError, _WritingCancelledError) as error:
            self._events.put(str(error))
        except Exception as error:  # reported to the user by the GUI thread
            logger.exception("The session could not be written")
            self._events.put(
                "The session was not saved because of an unexpected error "
                f"({type(error).__name__}: {error}): please report it."
            )

    def _report(self, done: int, total: int) -> None:
        self._events.put((done, total))
        if self._stop.is_set():
            raise _WritingCancelledError("Saving was cancelled: nothing was changed.")

    def _poll(self) -> None:
        while not self._events.empty():
            event = self._events.get()
            if isinstance(event, tuple):
                self._show_progress(*event)
            else:
                self._end(event)
                return
        if self._bar is not None and self._bar.is_canceled:
            self._stop.set()
        self._timer.start()

    def _show_progress(self, done: int, total: int) -> None:
        if self._bar is None:
            self._bar = cancelable_progress(total=total, desc="Copy image into session")
        self._bar.update(done - self._bar.n)

    def _end(self, event: Session | str) -> None:
        self.detach()
        if isinstance(event, str):
            self.ended.emit(None, event)
            return
        text = f"Saved as {self.folder.name}."
        if event.image.source is None:
            text = (
                f"Saved as {self.folder.name}, with a copy of the image because it is not in a "
                "file."
            )
        self.ended.emit(event, f"{text} {event.obstacle}".strip())


class _WritingCancelledError(Exception):
    """Raised in the thread to cancel writing."""
