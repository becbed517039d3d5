"""The "Objects" section of the dock."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import napari
from napari.layers import Layer
from napari.utils.notifications import show_error
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QFileDialog, QHBoxLayout, QPushButton, QVBoxLayout, QWidget

from napari_vrp_sam.errors import InputError
from napari_vrp_sam.inference.objects.find import Objects
from napari_vrp_sam.inference.runs.engine import Engine
from napari_vrp_sam.inference.runs.objects_job import ObjectsJob
from napari_vrp_sam.io.exports.tables import write_table
from napari_vrp_sam.plugin.layers.accepted import (
    current_result_with_frames,
    result_events,
    result_labels,
)
from napari_vrp_sam.plugin.layers.metadata import get_metadata, unwrap
from napari_vrp_sam.plugin.layers.objects import (
    add_objects_layer,
    current_objects,
    is_objects_layer,
    pixel_size,
    show_object,
    table_from_features,
)
from napari_vrp_sam.plugin.layers.results import CONFIDENCE
from napari_vrp_sam.plugin.layers.stacks import ImageLayout, stack_data
from napari_vrp_sam.plugin.objects.form import ObjectsForm
from napari_vrp_sam.plugin.objects.preview import ObjectsPreview
from napari_vrp_sam.plugin.objects.run import ObjectsRun
from napari_vrp_sam.plugin.widgets.controls import pack, set_help
from napari_vrp_sam.plugin.widgets.section import Section

if TYPE_CHECKING:
    from napari_vrp_sam.plugin.inputs.image_box import ImageBox


class ObjectsPanel(Section):
    """Find the objects of the current result, on request or after each run, and save their table.

    Signals
    -------
    added : (action, layers)
        Text for the undo history, and the new layers.
    reported : (message,)
        Progress or outcome.
    warned : (message,)
        An error that the user can fix.
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
            "objects.md",
            parent,
        )
        self._viewer = viewer
        self._image_box = image_box
        self._axes = axes
        self._engine = engine
        self._run: ObjectsRun | None = None
        self._locked = False
        # Weak references, so that layers that the user deletes are freed.
        self._watched: weakref.WeakSet[Layer] = weakref.WeakSet()
        self.form = ObjectsForm()
        self.find_button = QPushButton("Find objects")
        self.save_button = QPushButton("Save table…")
        self._lay_out()
        self.preview = ObjectsPreview(viewer, image_box, self.form, engine, self)
        self.form.changed.connect(self._update_buttons)
        self.form.edited.connect(self._preview_objects)
        self.toggled.connect(self._preview_objects)
        self.find_button.clicked.connect(self._find_or_cancel)
        self.save_button.clicked.connect(self._open_save_dialog)
        self._emitters = result_events(viewer)
        for emitter in self._emitters:
            emitter.connect(self.refresh)
        image_box.chosen.connect(self.refresh)
        self.refresh()

    @property
    def running(self) -> bool:
        """True while objects are being found."""
        return self._run is not None

    def find(self) -> None:
        """Find the objects of the current result; emit `warned` if that is impossible."""
        if self.running:
            return
        try:
            self._start()
        except InputError as error:
            self.warned.emit(str(error))

    def find_after_run(self) -> None:
        """Find the objects of a new result if the form requests objects."""
        if self.form.objects_requested:
            self.find()

    def save(self, path: Path) -> None:
        """Write the table of the current objects as CSV; emit `warned` if that is impossible."""
        layer = current_objects(self._viewer, self._image_box.layer)
        if layer is None:
            return
        path = path if path.suffix else path.with_suffix(".csv")
        try:
            write_table(path, table_from_features(layer))
        except InputError as error:
            self.warned.emit(str(error))
        else:
            self.reported.emit(f"Saved the table of '{layer.name}' to {path}.")

    def refresh(self, _event: Any = None) -> None:
        """Update settings and buttons to the selected image and its result."""
        self.form.set_axes(self._axes() if self._image_box.layer is not None else "")
        for layer in self._viewer.layers:
            if is_objects_layer(layer) and unwrap(layer) not in self._watched:
                layer.events.selected_label.connect(self._show_selected)
                self._watched.add(unwrap(layer))
        self.preview.follow()

    def lock(self, *, locked: bool) -> None:
        """Disable finding objects while a run changes the result."""
        self._locked = locked
        if locked:
            self.preview.stop()
        self.refresh()

    def abandon(self) -> None:
        """Stop the search and add no layer, because the dock is closing."""
        self.preview.stop()
        if self._run is not None:
            self._run.abandon()
            self._end("cancelled", "")

    def release(self) -> None:
        """Disconnect from the viewer, which is closing."""
        self.abandon()
        self.preview.release()
        for emitter in self._emitters:
            emitter.disconnect(self.refresh)
        for layer in self._watched:
            layer.events.selected_label.disconnect(self._show_selected)
        self._watched.clear()

    def _update_buttons(self) -> None:
        image = self._image_box.layer
        ready = (
            self.form.objects_requested
            and not self._locked
            and current_result_with_frames(self._viewer, image) is not None
        )
        self.find_button.setText("Cancel" if self.running else "Find objects")
        self.find_button.setEnabled(self.running or ready)
        self.save_button.setEnabled(current_objects(self._viewer, image) is not None)

    def _preview_objects(self, _value: Any = None) -> None:
        """Preview the objects while the section is open, and nothing changes the result."""
        if self.isExpanded() and not self._locked and not self.running:
            self.preview.start()
        else:
            self.preview.stop()

    def _start(self) -> None:
        image = self._image_box.layer
        result = current_result_with_frames(self._viewer, image)
        if image is None or result is None:
            raise InputError("There is no result to find objects in: segment the stack first.")
        layer, frames = result
        spacing, unit = pixel_size(layer, frames.axes)
        # Copies, because the user may edit or delete the layers meanwhile.
        job = ObjectsJob(
            stack_data(image),
            labels=result_labels(layer, frames),
            axes=frames.axes,
            settings=self.form.settings(),
            confidence=dict(get_metadata(layer, CONFIDENCE) or {}),
            spacing=spacing,
            unit=unit,
        )
        layout = ImageLayout(image, frames.axes)
        self._run = ObjectsRun(self._engine.submit(job), self)
        self._run.progressed.connect(self.reported)
        self._run.found.connect(lambda objects: self._add_layer(layout, objects))
        self._run.ended.connect(self._end)
        self.preview.stop()  # the objects take its place
        self.reported.emit("Finding objects…")
        self.refresh()

    def _add_layer(self, layout: ImageLayout, objects: Objects) -> None:
        layer = add_objects_layer(self._viewer, layout, objects)
        self.added.emit("find objects", [layer])
        count = len(objects.table)
        found = f"{count} object{'' if count == 1 else 's'}"
        self.reported.emit(f"Added {found} to '{layer.name}', with a table of features.")

    def _end(self, outcome: str, message: str) -> None:
        self._run = None
        self.refresh()
        if outcome == "refused":
            self.warned.emit(message)
        elif message:
            self.reported.emit(message)
        if outcome == "failed":
            show_error(message)

    def _find_or_cancel(self, _checked: Any = None) -> None:
        if self._run is None:
            self.find()
            return
        self.find_button.setEnabled(False)
        self.reported.emit("Cancelling…")
        self._run.cancel()

    def _open_save_dialog(self, _checked: Any = None) -> None:
        layer = current_objects(self._viewer, self._image_box.layer)
        if layer is None:
            return
        path, _ = QFileDialog.getSaveFileName(
            self, "Save table", f"{layer.name}.csv", "Tables (*.csv)"
        )
        if path:
            self.save(Path(path))

    def _show_selected(self, event: Any) -> None:
        """Show the object of the row that was selected in napari's features table."""
        layer = event.source
        if layer in self._viewer.layers:
            show_object(self._viewer, layer, int(layer.selected_label))

    def _lay_out(self) -> None:
        set_help(
            self.find_button,
            "Find the objects of the result in view, including your corrections, and add them as "
            "a new Labels layer. Its features list area, intensity, confidence and frames of each "
            "object (<b>Layers &gt; Visualize &gt; Features table widget</b>).",
        )
        set_help(self.save_button, "Save the table of the objects in view as CSV.")
        content, buttons = QWidget(), QWidget()
        pack(QHBoxLayout(buttons), self.find_button, self.save_button, spacing=3)
        pack(QVBoxLayout(content), self.form, buttons, spacing=5)
        self.addWidget(content)
