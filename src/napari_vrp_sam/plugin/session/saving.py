"""What the window holds -> a session, and its writing while the window stays quick."""

from __future__ import annotations

import logging
import queue
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari.layers import Image
from napari.utils import cancelable_progress
from qtpy.QtCore import QObject, Signal

from napari_vrp_sam.errors import InputError
from napari_vrp_sam.io.sessions.image import SessionImage
from napari_vrp_sam.io.sessions.references import StoredReference
from napari_vrp_sam.io.sessions.session import Session, SessionClass, Settings, write_session
from napari_vrp_sam.plugin.layers.accepted import shown_result
from napari_vrp_sam.plugin.layers.frame_view import frame_in_view
from napari_vrp_sam.plugin.layers.metadata import noted
from napari_vrp_sam.plugin.layers.stacks import frames_of, stack_data
from napari_vrp_sam.plugin.session.layers import image_attributes, stored_layer, stored_result
from napari_vrp_sam.plugin.widgets.watched_run import POLL_MILLISECONDS, single_shot_timer

if TYPE_CHECKING:
    import napari

    from napari_vrp_sam.plugin.inputs.segment_form import SegmentForm

logger = logging.getLogger(__name__)

SOURCE = "source"
"""What an image out of a session notes: the path of its file."""


def gather(form: SegmentForm, viewer: napari.viewer.Viewer) -> tuple[Session, Any]:
    """A session as the window stands, and the array of its image; copies of all that may change.

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
    except InputError as mistake:
        # What is drawn is worth keeping even where no run could take it.
        references, obstacle = [], str(mistake)
    result = shown_result(viewer, image)
    data = stack_data(image)
    session = Session(
        image=SessionImage(
            name=image.name,
            shape=tuple(int(size) for size in data.shape),
            dtype=data.dtype.str,
            axes=frames.axes,
            source=image_source(image),
            attributes=image_attributes(image),
        ),
        settings=Settings(
            model=form.model_box.model,
            device=form.device_box.currentText(),
            frames=form.frame_range.value(),
            channels=form.channels,
            tile=form.tile,
            point_radius=form.radius_box.value() or None,
            frame_in_view=frame_in_view(image, frames, viewer.dims),
        ),
        references=[StoredReference.of(reference) for reference in references],
        obstacle=obstacle,
        accepted=accepted,
        classes=classes_of(form),
        layers=[
            stored_layer(row.layer, ticked=row.ticked, sparse=row.sparse)
            for row in reversed(form.annotation_list.rows)
            if (row.ticked or noted(row.layer, "drawing"))
            and (result is None or row.layer is not result[0])
        ],
        result=stored_result(*result) if result is not None else None,
    )
    return session, data


def classes_of(form: SegmentForm) -> list[SessionClass]:
    """The classes as the form lists them."""
    return [
        SessionClass(entry.number, entry.name, entry.colour) for entry in form.class_list.classes
    ]


def image_source(image: Image) -> Path | None:
    """The file or folder that an image came from."""
    path = noted(image, SOURCE) or image.source.path
    return Path(path).absolute() if path else None


class SessionWriting(QObject):
    """Writes a session in a thread; the session is whole even if the window closes meanwhile.

    Signals
    -------
    ended : (session, message)
        What was written, else None; and one sentence.
    """

    ended = Signal(object, str)

    def __init__(self, folder: Path, session: Session, data: Any, parent: QObject) -> None:
        super().__init__(parent)
        self.folder = folder
        self._events: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._stop = threading.Event()
        self._bar: Any = None
        # No daemon: Python waits at its end, so that what the user asked to save is saved.
        self.thread = threading.Thread(
            target=self._write, args=(session, data), name="vrp-sam-save"
        )
        self.thread.start()
        self._timer = single_shot_timer(self, POLL_MILLISECONDS, self._poll)
        self._timer.start()

    def leave(self) -> None:
        """Tell nobody any more; the writing goes on."""
        self._timer.stop()
        if self._bar is not None:
            self._bar.close()

    def _write(self, session: Session, data: Any) -> None:
        try:
            self._events.put(write_session(self.folder, session, data, self._report))
        except (InputError, _StopWritingError) as mistake:
            self._events.put(str(mistake))
        except Exception as error:  # the window has to hear of anything
            logger.exception("The session could not be written")
            self._events.put(
                "Something went wrong on our side, nothing was saved "
                f"({type(error).__name__}: {error})."
            )

    def _report(self, done: int, total: int) -> None:
        self._events.put((done, total))
        if self._stop.is_set():
            raise _StopWritingError("Saving was cancelled: nothing was changed.")

    def _poll(self) -> None:
        while not self._events.empty():
            event = self._events.get()
            if isinstance(event, tuple):
                self._show(*event)
            else:
                self._end(event)
                return
        if self._bar is not None and self._bar.is_canceled:  # in the activity dock
            self._stop.set()
        self._timer.start()

    def _show(self, done: int, total: int) -> None:
        if self._bar is None:
            self._bar = cancelable_progress(total=total, desc="Copy image into session")
        self._bar.update(done - self._bar.n)

    def _end(self, event: Session | str) -> None:
        self.leave()
        if isinstance(event, str):
            self.ended.emit(None, event)
            return
        text = f"Saved as {self.folder.name}."
        if event.image.source is None:
            text = f"Saved as {self.folder.name}, with a copy of the image: no file holds it."
        self.ended.emit(event, f"{text} {event.obstacle}".strip())


class _StopWritingError(Exception):
    """Carries a cancellation out of the writing."""
