"""Section of the dock that changes the labels of a result without a new run."""

from __future__ import annotations

import weakref
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Signal

from napari_vrp_sam.inference.frames import Frames
from napari_vrp_sam.inference.objects.result_settings import AUTOMATIC, ResultSettings
from napari_vrp_sam.plugin.layers.frame_view import frame_in_view
from napari_vrp_sam.plugin.layers.metadata import CLASSES, get_metadata, unwrap
from napari_vrp_sam.plugin.layers.outputs.accepted import (
    accepted_frames,
    current_result_with_frames,
    result_events,
)
from napari_vrp_sam.plugin.layers.outputs.kept_probabilities import (
    KeptProbabilities,
    kept_probabilities,
)
from napari_vrp_sam.plugin.layers.outputs.result_settings import settings_of, take_opened_settings
from napari_vrp_sam.plugin.layers.undo import LAYER_DELETED
from napari_vrp_sam.plugin.segment.result.clean_up_form import CleanUpForm
from napari_vrp_sam.plugin.segment.result.relabelling import Relabelling
from napari_vrp_sam.plugin.widgets.controls import MessageLabel
from napari_vrp_sam.plugin.widgets.section import Section

if TYPE_CHECKING:
    import napari
    from napari.layers import Labels

    from napari_vrp_sam.inference.objects.settings import ObjectSettings
    from napari_vrp_sam.plugin.inputs.image_box import ImageBox
    from napari_vrp_sam.plugin.widgets.undo import UndoHistory

NOT_KEPT = "The probabilities of this result are not available: segment the stack again."
USED_LATER = "Later runs and Apply use these settings too."
KEPT_LABELS = "The frame in view is accepted and keeps its labels."
NAMES = {
    "thresholds": "threshold",
    "min_size": "minimum size",
    "fill_holes": "holes",
    "smoothing": "smoothing",
}


class _Change:
    """A step of the undo history, to which further changes of the same setting are added."""

    def __init__(self, text: str, before: ResultSettings) -> None:
        self.text, self.before, self.after = text, before, before


class ResultTools(Section):
    """Threshold of each class and clean-up: of the current result, later runs and objects.

    Signals
    -------
    changed : ()
        The settings have changed.
    """

    changed = Signal()

    def __init__(
        self, viewer: napari.viewer.Viewer, image_box: ImageBox, history: UndoHistory
    ) -> None:
        super().__init__(
            "Threshold and clean-up",
            "Change the labels of the result without a new run. Accepted frames and pixels that "
            "you have changed stay as they are. Later runs and objects use the same settings.",
            "getting-started/napari.md#threshold-and-clean-up",
        )
        self._viewer = viewer
        self._image_box = image_box
        self._history = history
        self._change: _Change | None = None
        self._changed_layer: weakref.ref[Labels] | None = None
        self._locked = False
        self._settings = AUTOMATIC
        self._seen: tuple[int, ResultSettings] | None = None
        self.relabelling = Relabelling(viewer, self)
        self.note = MessageLabel()
        self.form = CleanUpForm()
        self.addWidget(self.form)
        self.addWidget(self.note)
        self.form.drag_started.connect(self._begin)
        self.form.threshold_moved.connect(
            lambda class_id, threshold: self._apply(
                "change the threshold", self.settings.with_threshold(class_id, threshold)
            )
        )
        self.form.edited.connect(
            lambda name, value: self._apply(
                f"change the {NAMES[name]}", replace(self.settings, **{name: value})
            )
        )
        self.form.reset.connect(lambda: self._apply("reset threshold and clean-up", AUTOMATIC))
        self._emitters = [*result_events(viewer)]
        for emitter in self._emitters:
            emitter.connect(self.refresh)
        viewer.dims.events.current_step.connect(self._scrolled)
        image_box.chosen.connect(self.refresh)
        self.refresh()

    @property
    def settings(self) -> ResultSettings:
        """The settings that are shown: those of the current result, and of the next run."""
        return self._settings

    def set_settings(self, settings: ResultSettings) -> None:
        """Use other settings, as if the user had chosen them."""
        self._apply("change threshold and clean-up", settings)

    def object_settings(self, settings: ObjectSettings) -> ObjectSettings:
        """Return settings of the objects of the current result with the clean-up."""
        return self.settings.of_objects(settings, smoothed=self._current() is not None)

    def refresh(self, _event: Any = None) -> None:
        """Show the settings of the current result, or else those of the next run."""
        layer, current = self._result(), self._current()
        entries = get_metadata(layer, CLASSES) or () if layer is not None else ()
        names = {entry["number"]: entry["name"] for entry in entries}
        if layer is not None:
            # Only once, so that a change for the next run stays if the labels cannot follow.
            seen = id(unwrap(layer)), settings_of(layer)
            if seen != self._seen:
                self._seen = seen
                self._set(self.settings.shown_by(seen[1], names.keys()))
        for opened in (self._image_box.layer, layer):
            settings = take_opened_settings(opened)
            if settings is not None:
                self._set(settings)
        class_ids = () if current is None else current[2].class_ids
        self.form.show_classes([(names.get(c) or f"class {c}", c) for c in class_ids])
        self.form.setEnabled(not self._locked)
        self._show()

    def lock(self, *, locked: bool) -> None:
        """Disable the section during a run."""
        self._locked = locked
        self.refresh()

    def release(self) -> None:
        """Disconnect from the viewer, which is closing."""
        for emitter in self._emitters:
            emitter.disconnect(self.refresh)
        self._viewer.dims.events.current_step.disconnect(self._scrolled)
        self.relabelling.release()

    def _result(self) -> Labels | None:
        current = current_result_with_frames(self._viewer, self._image_box.layer)
        return None if current is None else current[0]

    def _current(self) -> tuple[Labels, Frames, KeptProbabilities] | None:
        current = current_result_with_frames(self._viewer, self._image_box.layer)
        kept = None if current is None else kept_probabilities(current[0])
        return None if current is None or kept is None else (*current, kept)

    def _set(self, settings: ResultSettings) -> None:
        if settings != self._settings:
            self._settings = settings
            self.changed.emit()

    def _scrolled(self, _event: Any = None) -> None:
        if self.settings != AUTOMATIC:  # or there is no note
            self._show()

    def _show(self) -> None:
        """Show the settings, and where they apply."""
        self.form.show_settings(self.settings)
        in_words = str(self.settings)
        self.set_remark("changed" if in_words else "")
        if self._result() is None:
            text = f"The next run uses these settings: {in_words}." if in_words else ""
        elif self._current() is None:
            text = NOT_KEPT
        else:
            kept = f" {KEPT_LABELS}" if self._shows_accepted_frame() else ""
            text = f"{USED_LATER}{kept}" if in_words else ""
        self.note.show_message(text)

    def _shows_accepted_frame(self) -> bool:
        current = current_result_with_frames(self._viewer, self._image_box.layer)
        if current is None:
            return False
        return frame_in_view(*current, self._viewer.dims) in accepted_frames(current[0])

    def _begin(self) -> None:
        """Begin a new step of the undo history with each drag of the slider."""
        self._change = None

    def _apply(self, text: str, after: ResultSettings) -> None:
        """Use other settings from now on, and for the current result if that is possible."""
        if self._locked:
            return
        before = self.settings
        self._set(after)
        current = self._current()
        if current is None:
            self._show()
            return
        layer, frames, kept = current
        self.relabelling.start(layer, frames, kept, after)
        self._seen = id(unwrap(layer)), after
        self._show()
        change = self._change
        same = self._changed_layer is not None and self._changed_layer() is unwrap(layer)
        continued = change is not None and change.text == text and change.after == before
        if change is not None and same and continued and self._history.undo_text == text:
            change.after = after
            return
        self._change = change = _Change(text, before)
        change.after = after
        self._changed_layer = ref = weakref.ref(unwrap(layer))
        self._history.push(
            text,
            lambda: self._restore(ref, change.before),
            lambda: self._restore(ref, change.after),
        )

    def _restore(self, ref: weakref.ref[Labels], settings: ResultSettings) -> str | None:
        layer = ref()
        kept = None if layer is None else kept_probabilities(layer)
        if layer is None or kept is None or layer not in self._viewer.layers:
            return LAYER_DELETED
        frames = Frames(layer.data, get_metadata(layer, "axes").replace("S", ""))
        self.relabelling.start(layer, frames, kept, settings)
        self._change = None
        self.refresh()
        return None
