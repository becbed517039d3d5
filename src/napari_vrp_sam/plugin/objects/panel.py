"""The section 'Objects' of the dock: what a result is to show, and a table of it."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari.utils.notifications import show_error
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QFileDialog, QHBoxLayout, QPushButton, QVBoxLayout, QWidget

from napari_vrp_sam.errors import InputError
from napari_vrp_sam.inference.objects.find import Objects
from napari_vrp_sam.inference.runs.objects_job import ObjectsJob
from napari_vrp_sam.io.exports.tables import write_table
from napari_vrp_sam.plugin.layers.accepted import result_events, result_labels, shown_result
from napari_vrp_sam.plugin.layers.metadata import noted
from napari_vrp_sam.plugin.layers.objects import (
    NewObjects,
    current_objects,
    is_objects,
    pixel_size,
    show_object,
    table_of,
)
from napari_vrp_sam.plugin.layers.results import CONFIDENCE
from napari_vrp_sam.plugin.layers.stacks import stack_data
from napari_vrp_sam.plugin.layers.undo import unwrapped
from napari_vrp_sam.plugin.objects.form import ObjectsForm
from napari_vrp_sam.plugin.objects.run import ObjectsRun
from napari_vrp_sam.plugin.widgets.controls import set_help
from napari_vrp_sam.plugin.widgets.section import Section

if TYPE_CHECKING:
    import napari
    from napari.layers import Layer

    from napari_vrp_sam.inference.runs.engine import Engine
    from napari_vrp_sam.plugin.inputs.image_box import ImageBox


class ObjectsPanel(Section):
    """Finds the objects of the current result, when asked to and, if chosen, after each run.

    Signals
    -------
    added : (text, layers)
        What was done, and the layers that came by it.
    reported : (message,)
        How far it is, or what was found.
    warned : (message,)
        One sentence on what the user cannot do.
    """

    added = Signal(str, list)
    reported = Signal(str)
    warned = Signal(str)

    def __init__(
        self,
        viewer: napari.viewer.Viewer,
        image_box: ImageBox,
        axes: Callable[[], str],
        engine: Engine,
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(
            "Objects",
            "Split the classes of the result into objects, link them through the stack, and list "
            "them in a table.",
            parent,
        )
        self._viewer = viewer
        self._image_box = image_box
        self._axes = axes
        self._engine = engine
        self._run: ObjectsRun | None = None
        self._locked = False
        # Weakly: objects that the user deletes are to leave the memory.
        self._watched: weakref.WeakSet[Layer] = weakref.WeakSet()
        self.form = ObjectsForm()
        self.find_button = QPushButton("Find objects")
        self.save_button = QPushButton("Save table…")
        self._lay_out()
        self.form.changed.connect(self._enable)
        self.find_button.clicked.connect(self._find_or_cancel)
        self.save_button.clicked.connect(self._save)
        self._emitters = result_events(viewer)
        for emitter in self._emitters:
            emitter.connect(self.refresh)
        image_box.chosen.connect(self.refresh)
        self.refresh()

    @property
    def running(self) -> bool:
        """Whether objects are being found."""
        return self._run is not None

    def find(self) -> None:
        """Find the objects of the current result, with the user's corrections."""
        if self.running:
            return
        try:
            self._start()
        except InputError as mistake:
            self.warned.emit(str(mistake))

    def find_after_run(self) -> None:
        """A result is complete: find its objects if that was chosen."""
        if self.form.wanted:
            self.find()

    def save(self, path: Path) -> None:
        """Write the table of the current objects as CSV; a mistake ends in one sentence."""
        layer = current_objects(self._viewer, self._image_box.layer)
        if layer is None:
            return
        path = path if path.suffix else path.with_suffix(".csv")
        try:
            write_table(path, table_of(layer))
        except InputError as mistake:
            self.warned.emit(str(mistake))
        else:
            self.reported.emit(f"The table of '{layer.name}' is in {path}.")

    def refresh(self, _event: Any = None) -> None:
        """Offer what can be done with the chosen image and its result."""
        self.form.offer(self._axes() if self._image_box.layer is not None else "")
        for layer in self._viewer.layers:
            if is_objects(layer) and unwrapped(layer) not in self._watched:
                layer.events.selected_label.connect(self._show_selected)
                self._watched.add(unwrapped(layer))

    def _enable(self) -> None:
        image = self._image_box.layer
        ready = (
            self.form.wanted and not self._locked and shown_result(self._viewer, image) is not None
        )
        self.find_button.setText("Cancel" if self.running else "Find objects")
        self.find_button.setEnabled(self.running or ready)
        self.save_button.setEnabled(current_objects(self._viewer, image) is not None)

    def lock(self, *, locked: bool) -> None:
        """Start nothing while a run changes the result."""
        self._locked = locked
        self.refresh()

    def abandon(self) -> None:
        """The dock closes: stop, and show nothing."""
        if self._run is not None:
            self._run.abandon()
            self._end("cancelled", "")

    def release(self) -> None:
        """Let go of the viewer, which is closing."""
        self.abandon()
        for emitter in self._emitters:
            emitter.disconnect(self.refresh)
        for layer in self._watched:
            layer.events.selected_label.disconnect(self._show_selected)
        self._watched.clear()

    def _start(self) -> None:
        image = self._image_box.layer
        at = shown_result(self._viewer, image)
        if image is None or at is None:
            raise InputError("There is no result to find objects in: segment the stack first.")
        layer, frames = at
        # The user may go on correcting, and delete what it is about: copies of all that is needed.
        spacing, unit = pixel_size(layer, frames.axes)
        job = ObjectsJob(
            stack_data(image),
            labels=result_labels(layer, frames),
            axes=frames.axes,
            settings=self.form.settings(),
            confidence=dict(noted(layer, CONFIDENCE) or {}),
            spacing=spacing,
            unit=unit,
        )
        target = NewObjects(self._viewer, image, frames.axes)
        self._run = ObjectsRun(self._engine.submit(job), self)
        self._run.progressed.connect(self.reported)
        self._run.found.connect(lambda objects: self._show(target, objects))
        self._run.ended.connect(self._end)
        self.reported.emit("Finding objects…")
        self.refresh()

    def _show(self, target: NewObjects, objects: Objects) -> None:
        layer = target.show(objects)
        self.added.emit("find objects", [layer])
        count = len(objects.table)
        found = "1 object is" if count == 1 else f"{count} objects are"
        self.reported.emit(f"{found} in '{layer.name}', with a table of features.")

    def _end(self, outcome: str, message: str) -> None:
        self._run = None
        self.refresh()
        if outcome == "refused":
            self.warned.emit(message)
        elif outcome == "failed":
            self.reported.emit(message)
            show_error(message)
        elif message:
            self.reported.emit(message)

    def _find_or_cancel(self, _checked: Any = None) -> None:
        if self._run is None:
            self.find()
            return
        self.find_button.setEnabled(False)
        self.reported.emit("Cancelling…")
        self._run.cancel()

    def _save(self, _checked: Any = None) -> None:
        layer = current_objects(self._viewer, self._image_box.layer)
        if layer is None:
            return
        path, _ = QFileDialog.getSaveFileName(
            self, "Save table", f"{layer.name}.csv", "Tables (*.csv)"
        )
        if path:
            self.save(Path(path))

    def _show_selected(self, event: Any) -> None:
        """A row of the table was chosen: go where that object is."""
        layer = event.source
        if layer in self._viewer.layers:
            show_object(self._viewer, layer, int(layer.selected_label))

    def _lay_out(self) -> None:
        set_help(
            self.find_button,
            "Find the objects of the result in view, with your corrections. Each time makes a new "
            "Labels layer; its features list area, intensity, confidence and frames of each "
            "object (<b>Layers &gt; Visualize &gt; Features table widget</b>).",
        )
        set_help(self.save_button, "Save the table of the objects in view as CSV.")
        content = QWidget()
        layout = QVBoxLayout(content)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(5)
        layout.addWidget(self.form)
        buttons = QHBoxLayout()
        buttons.setSpacing(3)
        buttons.addWidget(self.find_button, 1)
        buttons.addWidget(self.save_button, 1)
        layout.addLayout(buttons)
        self.addWidget(content)
