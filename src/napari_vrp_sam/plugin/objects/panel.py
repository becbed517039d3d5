"""The "Objects" section of the dock."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import napari
from napari.layers import Labels, Layer
from napari.utils.notifications import show_error
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QPushButton, QVBoxLayout, QWidget

from napari_vrp_sam.errors import InputError
from napari_vrp_sam.inference.objects.find import Objects
from napari_vrp_sam.inference.objects.settings import ObjectSettings
from napari_vrp_sam.inference.runs.engine import Engine
from napari_vrp_sam.inference.runs.objects_job import ObjectsJob
from napari_vrp_sam.plugin.layers.calibration import image_metadata
from napari_vrp_sam.plugin.layers.frame_view import frame_in_view
from napari_vrp_sam.plugin.layers.metadata import CLASSES, get_metadata, unwrap
from napari_vrp_sam.plugin.layers.outputs.accepted import (
    current_result_with_frames,
    result_events,
    result_labels,
)
from napari_vrp_sam.plugin.layers.outputs.objects import (
    add_objects_layer,
    current_objects,
    is_objects_layer,
    show_object,
)
from napari_vrp_sam.plugin.layers.outputs.result_settings import settings_of
from napari_vrp_sam.plugin.layers.outputs.results import CONFIDENCE
from napari_vrp_sam.plugin.layers.stacks import ImageLayout, stack_data
from napari_vrp_sam.plugin.objects.form import ObjectsForm
from napari_vrp_sam.plugin.objects.origin import Origin, checksum
from napari_vrp_sam.plugin.objects.preview import ObjectsPreview
from napari_vrp_sam.plugin.objects.run import ObjectsRun
from napari_vrp_sam.plugin.widgets.controls import pack, set_help
from napari_vrp_sam.plugin.widgets.section import Section
from napari_vrp_sam.wording import count

if TYPE_CHECKING:
    from napari_vrp_sam.plugin.inputs.image_box import ImageBox


class ObjectsPanel(Section):
    """Find the objects of the current result, on request or after each run.

    Signals
    -------
    added : (action, layers)
        Text for the undo history, and the new layers.
    reported : (message,)
        Progress or outcome.
    warned : (message,)
        An error that the user can fix.
    checked : (outdated,)
        True if the result has changed since its objects were found.
    """

    added = Signal(str, list)
    reported = Signal(str)
    warned = Signal(str)
    checked = Signal(bool)

    def __init__(
        self,
        viewer: napari.viewer.Viewer,
        image_box: ImageBox,
        axes: Callable[[], str],
        engine: Engine,
        clean_up: Callable[[ObjectSettings], ObjectSettings],
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(
            "Objects",
            "Split the classes of the result into objects, link them through the stack, and list "
            "them in a table (<b>Export</b>). The clean-up is that of the result.",
            "objects.md",
            parent,
        )
        self._viewer = viewer
        self._image_box = image_box
        self._axes = axes
        self._engine = engine
        self._clean_up = clean_up
        self._run: ObjectsRun | None = None
        self._locked = False
        # Weak references, so that layers that the user deletes are freed.
        self._watched: weakref.WeakSet[Layer] = weakref.WeakSet()
        self._origins: weakref.WeakKeyDictionary[Layer, Origin] = weakref.WeakKeyDictionary()
        self._changed_frames: weakref.WeakKeyDictionary[Layer, set[int]] = (
            weakref.WeakKeyDictionary()
        )
        self.form = ObjectsForm()
        self.find_button = QPushButton("Find objects")
        self._lay_out()
        self.preview = ObjectsPreview(viewer, image_box, self.form, engine, self.settings, self)
        self.form.changed.connect(self._update_buttons)
        self.form.edited.connect(self._preview_objects)
        self.toggled.connect(self._preview_objects)
        self.find_button.clicked.connect(self._find_or_cancel)
        self._emitters = result_events(viewer)
        for emitter in self._emitters:
            emitter.connect(self.refresh)
        image_box.chosen.connect(self.refresh)
        self.refresh()

    @property
    def running(self) -> bool:
        """True while objects are being found."""
        return self._run is not None

    def settings(self) -> ObjectSettings:
        """Return the settings of the section, with the clean-up of the result."""
        return self._clean_up(self.form.settings())

    def on_clean_up(self) -> None:
        """Update the preview after a change of the clean-up, and check the objects."""
        self.check()
        if self.preview.on:
            self.preview.start()

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

    def refresh(self, _event: Any = None) -> None:
        """Update settings and buttons to the selected image and its result."""
        self.form.set_axes(self._axes() if self._image_box.layer is not None else "")
        for layer in self._viewer.layers:
            if is_objects_layer(layer) and unwrap(layer) not in self._watched:
                layer.events.selected_label.connect(self._show_selected)
                self._watched.add(unwrap(layer))
        self.preview.follow()
        self.check()

    def check(self) -> None:
        """Compare the objects with the result; of its labels, only those of the frame in view."""
        objects = current_objects(self._viewer, self._image_box.layer)
        outdated = not (self._locked or self.running) and objects is not None
        outdated = outdated and self._is_outdated(objects, every_frame=False)
        self.set_remark("out of date" if outdated else "")
        self.checked.emit(outdated)

    def is_outdated(self, objects: Labels) -> bool:
        """Return True if the result has changed since these objects were found in it."""
        outdated = self._is_outdated(objects, every_frame=True)
        self.check()
        return outdated

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

    def _is_outdated(self, objects: Labels, *, every_frame: bool) -> bool:
        origin = self._origins.get(unwrap(objects))
        current = current_result_with_frames(self._viewer, self._image_box.layer)
        if origin is None or current is None:  # nothing to compare
            return False
        layer, frames = current
        if origin.is_other(layer, self._clean_up(ObjectSettings())):
            return True
        in_view = frame_in_view(layer, frames, self._viewer.dims)
        indices = range(len(frames)) if every_frame else [] if in_view is None else [in_view]
        changed = self._changed_frames.setdefault(unwrap(objects), set())
        changed -= set(indices)
        changed |= origin.changed_frames(layer, frames, indices)
        return bool(changed)

    def _update_buttons(self) -> None:
        image = self._image_box.layer
        ready = (
            self.form.objects_requested
            and not self._locked
            and current_result_with_frames(self._viewer, image) is not None
        )
        self.find_button.setText("Cancel" if self.running else "Find objects")
        self.find_button.setEnabled(self.running or ready)

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
        # Copies, because the user may edit or delete the layers meanwhile.
        job = ObjectsJob(
            stack_data(image),
            labels=result_labels(layer, frames),
            axes=frames.axes,
            settings=self.settings(),
            confidence=dict(get_metadata(layer, CONFIDENCE) or {}),
            metadata=image_metadata(image, frames.axes),
        )
        layout = ImageLayout(image, frames.axes)
        shape = len(frames), *frames.frame_shape
        origin = Origin(
            layer.unique_id,
            settings_of(layer),
            self._clean_up(ObjectSettings()),
            [checksum(labels) for labels in job.labels.reshape(shape)],
        )
        classes = get_metadata(layer, CLASSES) or []
        self._run = ObjectsRun(self._engine.submit(job), self)
        self._run.progressed.connect(self.reported)
        self._run.found.connect(lambda objects: self._add_layer(layout, objects, classes, origin))
        self._run.ended.connect(self._end)
        self.preview.stop()  # the objects take its place
        self.reported.emit("Finding objects…")
        self.refresh()

    def _add_layer(
        self,
        layout: ImageLayout,
        objects: Objects,
        classes: list[dict[str, Any]],
        origin: Origin,
    ) -> None:
        layer = add_objects_layer(self._viewer, layout, objects, classes)
        self._origins[unwrap(layer)] = origin
        self.added.emit("find objects", [layer])
        found = count(len(objects.table), "object")
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
        content = QWidget()
        pack(QVBoxLayout(content), self.form, self.find_button, spacing=5)
        self.addWidget(content)
