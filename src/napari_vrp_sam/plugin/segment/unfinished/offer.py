"""Offer to resume the interrupted run of the chosen image."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QHBoxLayout, QPushButton, QWidget

from napari_vrp_sam.io.sessions.unfinished.folder import any_runs, find_run
from napari_vrp_sam.plugin.layers.stacks import stack_data
from napari_vrp_sam.plugin.widgets.controls import pack, set_help
from napari_vrp_sam.wording import count

if TYPE_CHECKING:
    from napari.layers import Image

    from napari_vrp_sam.io.sessions.unfinished.run import UnfinishedRun
    from napari_vrp_sam.plugin.inputs.image_box import ImageBox

INTERRUPTED = "Segmenting this image was interrupted after {done} of {total}."
THREAD_NAME = "vrp-sam-unfinished"


class UnfinishedOffer(QWidget):
    """Buttons *Resume* and *Discard* for the interrupted run of the chosen image.

    The status shows what was interrupted, and when the buttons are visible.

    Attributes
    ----------
    run : UnfinishedRun, optional
        The run that is offered.

    Signals
    -------
    found : (text,)
        One sentence on the run of the chosen image; empty without one.
    resumed : (image, run)
    discarded : ()
    """

    found = Signal(str)
    resumed = Signal(object, object)
    discarded = Signal()
    _searched = Signal(object, object)

    def __init__(self, image_box: ImageBox) -> None:
        super().__init__()
        self.run: UnfinishedRun | None = None
        self._released = False
        self._image_box = image_box
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=THREAD_NAME)
        self.resume_button, self.discard_button = QPushButton("Resume"), QPushButton("Discard")
        set_help(
            self.resume_button,
            "Show the finished frames and the annotation of the interrupted run, and segment the "
            "remaining frames with its settings.",
        )
        set_help(self.discard_button, "Delete the finished frames of the interrupted run.")
        for button in (self.resume_button, self.discard_button):
            button.setAccessibleName(f"{button.text()} interrupted run")
        self.resume_button.clicked.connect(self._resume)
        self.discard_button.clicked.connect(self._discard)
        pack(QHBoxLayout(self), self.resume_button, self.discard_button, spacing=3)
        self._searched.connect(self._show)
        image_box.chosen.connect(self.search)
        self.hide()

    def search(self) -> None:
        """Look for a run of the chosen image in the background."""
        self._withdraw()
        image = self._image_box.layer
        if self._released or image is None or not any_runs():
            return
        search = self._thread.submit(find_run, stack_data(image))
        search.add_done_callback(partial(self._searched.emit, image))

    def release(self) -> None:
        """End the thread, because the viewer is closing."""
        self._released = True
        self._searched.disconnect(self._show)
        self._image_box.chosen.disconnect(self.search)
        self._thread.shutdown(wait=False, cancel_futures=True)

    def _show(self, image: Image, search: Future[UnfinishedRun | None]) -> None:
        if search.cancelled() or image is not self._image_box.layer:
            return
        self.run = run = search.result()
        if run is not None:
            done, total = len(run.indices), count(run.total, "frame")
            self.found.emit(INTERRUPTED.format(done=done, total=total))

    def _withdraw(self) -> None:
        self.run = None
        self.found.emit("")

    def _resume(self) -> None:
        image, run = self._image_box.layer, self.run
        if image is not None and run is not None:
            self._withdraw()
            self.resumed.emit(image, run)

    def _discard(self) -> None:
        if self.run is not None:
            self.run.discard()
            self._withdraw()
            self.discarded.emit()
