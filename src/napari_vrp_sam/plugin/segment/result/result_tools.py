"""Section of the dock that changes the labels of a result without a new run."""

from __future__ import annotations

import weakref
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QCheckBox, QLabel, QSlider, QWidget

from napari_vrp_sam.inference.frames import Frames
from napari_vrp_sam.inference.relabelling.decision import DEFAULT_THRESHOLD
from napari_vrp_sam.plugin.classes.class_link import CLASSES
from napari_vrp_sam.plugin.layers.accepted import current_result_with_frames, result_events
from napari_vrp_sam.plugin.layers.kept_probabilities import KeptProbabilities, kept_probabilities
from napari_vrp_sam.plugin.layers.metadata import get_metadata, unwrap
from napari_vrp_sam.plugin.layers.undo import LAYER_DELETED
from napari_vrp_sam.plugin.segment.result.relabelling import Relabelling
from napari_vrp_sam.plugin.widgets.controls import (
    MessageLabel,
    NarrowComboBox,
    form_layout,
    set_help,
)
from napari_vrp_sam.plugin.widgets.section import Section
from napari_vrp_sam.plugin.widgets.spin_boxes import DoubleSpinBox, SpinBox
from napari_vrp_sam.plugin.widgets.wheel import WheelFilter

if TYPE_CHECKING:
    import napari
    from napari.layers import Labels

    from napari_vrp_sam.inference.relabelling.relabel import RelabelSettings
    from napari_vrp_sam.plugin.inputs.image_box import ImageBox
    from napari_vrp_sam.plugin.widgets.undo import UndoHistory

NOT_KEPT = "The probabilities of this result are not available: segment the stack again."
NO_RESULT = "Segment the stack first."


class _Change:
    """A step of the undo history, to which further changes of the same setting are added."""

    def __init__(self, text: str, before: RelabelSettings) -> None:
        self.text, self.before, self.after = text, before, before


class ResultTools(Section):
    """Threshold of each class and clean-up of the current result."""

    def __init__(
        self, viewer: napari.viewer.Viewer, image_box: ImageBox, history: UndoHistory
    ) -> None:
        super().__init__(
            "Threshold and clean-up",
            "Change the labels of the result without a new run. Accepted frames and pixels that "
            "you have changed stay as they are.",
            "getting-started/napari.md#threshold-and-clean-up",
        )
        self._viewer = viewer
        self._image_box = image_box
        self._history = history
        self._change: _Change | None = None
        self._changed_layer: weakref.ref[Labels] | None = None
        self._locked = False
        self.relabelling = Relabelling(viewer, self)
        self.note = MessageLabel()
        self.class_box = NarrowComboBox()
        self.threshold_label = QLabel()
        self.threshold_slider = QSlider(Qt.Orientation.Horizontal)
        self.size_box = SpinBox()
        self.holes_check = QCheckBox("Fill holes")
        self.smoothing_box = DoubleSpinBox()
        self._lay_out()
        self.class_box.currentIndexChanged.connect(self._show_threshold)
        self.threshold_slider.sliderPressed.connect(self._begin)
        self.threshold_slider.valueChanged.connect(self._change_threshold)
        self.size_box.valueChanged.connect(
            lambda size: self._apply("change the minimum size", min_size=size)
        )
        self.holes_check.toggled.connect(
            lambda fill: self._apply("change the hole filling", fill_holes=fill)
        )
        self.smoothing_box.valueChanged.connect(
            lambda sigma: self._apply("change the smoothing", smoothing=sigma)
        )
        self._emitters = [*result_events(viewer)]
        for emitter in self._emitters:
            emitter.connect(self.refresh)
        image_box.chosen.connect(self.refresh)
        self.refresh()

    def refresh(self, _event: Any = None) -> None:
        """Show the settings of the current result; disable them without its probabilities."""
        current = self._current()
        layer = self._result()
        text = NO_RESULT if layer is None else NOT_KEPT if current is None else ""
        self.note.show_message(text)
        self._rows.setEnabled(current is not None and not self._locked)
        if current is None:
            return
        layer, _, kept = current
        names = {entry["number"]: entry["name"] for entry in get_metadata(layer, CLASSES) or ()}
        entries = [(names.get(number) or f"class {number}", number) for number in kept.class_ids]
        shown = [
            (self.class_box.itemText(at), self.class_box.itemData(at))
            for at in range(self.class_box.count())
        ]
        controls = self.class_box, self.size_box, self.holes_check, self.smoothing_box
        blocked = [control.blockSignals(True) for control in controls]  # noqa: FBT003
        if entries != shown:
            self.class_box.clear()
            for name, number in entries:
                self.class_box.addItem(name, number)
        self.size_box.setValue(kept.settings.min_size)
        self.holes_check.setChecked(kept.settings.fill_holes)
        self.smoothing_box.setValue(kept.settings.smoothing)
        for control, was in zip(controls, blocked, strict=True):
            control.blockSignals(was)
        self.class_box.setVisible(len(entries) > 1)
        self._show_threshold()

    def lock(self, *, locked: bool) -> None:
        """Disable the section during a run."""
        self._locked = locked
        self.refresh()

    def release(self) -> None:
        """Disconnect from the viewer, which is closing."""
        for emitter in self._emitters:
            emitter.disconnect(self.refresh)
        self.relabelling.release()

    def _result(self) -> Labels | None:
        current = current_result_with_frames(self._viewer, self._image_box.layer)
        return None if current is None else current[0]

    def _current(self) -> tuple[Labels, Frames, KeptProbabilities] | None:
        current = current_result_with_frames(self._viewer, self._image_box.layer)
        kept = None if current is None else kept_probabilities(current[0])
        return None if current is None or kept is None else (*current, kept)

    def _show_threshold(self, _index: int = 0) -> None:
        current = self._current()
        if current is None:
            return
        settings = current[2].settings
        threshold = settings.thresholds.get(self.class_box.currentData(), DEFAULT_THRESHOLD)
        blocked = self.threshold_slider.blockSignals(True)  # noqa: FBT003
        self.threshold_slider.setValue(round(100 * threshold))
        self.threshold_slider.blockSignals(blocked)
        self.threshold_label.setText(f"Threshold {threshold:.2f}")

    def _begin(self) -> None:
        """Begin a new step of the undo history with each drag of the slider."""
        self._change = None

    def _change_threshold(self, percent: int) -> None:
        current = self._current()
        if current is not None:
            thresholds = {
                **current[2].settings.thresholds,
                self.class_box.currentData(): percent / 100,
            }
            self._apply("change the threshold", thresholds=thresholds)
            self._show_threshold()

    def _apply(self, text: str, **values: Any) -> None:
        current = self._current()
        if current is None or self._locked:
            return
        layer, frames, kept = current
        before = kept.settings
        after = replace(before, **values)
        self.relabelling.start(layer, frames, kept, after)
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

    def _restore(self, ref: weakref.ref[Labels], settings: RelabelSettings) -> str | None:
        layer = ref()
        kept = None if layer is None else kept_probabilities(layer)
        if layer is None or kept is None or layer not in self._viewer.layers:
            return LAYER_DELETED
        frames = Frames(layer.data, get_metadata(layer, "axes").replace("S", ""))
        self.relabelling.start(layer, frames, kept, settings)
        self._change = None
        self.refresh()
        return None

    def _lay_out(self) -> None:
        self.threshold_slider.setRange(1, 99)
        self.threshold_slider.setMinimumWidth(60)
        self.threshold_slider.setAccessibleName("Threshold")
        self.size_box.setRange(0, 1_000_000)
        self.size_box.setSuffix(" px")
        self.smoothing_box.setRange(0, 20)
        self.smoothing_box.setDecimals(1)
        self.smoothing_box.setSingleStep(0.5)
        self.smoothing_box.setSuffix(" px")
        set_help(self.class_box, "Class whose threshold the slider sets.")
        set_help(
            self.threshold_slider,
            "A pixel can belong to the class if its probability is above the threshold. A lower "
            "threshold gives larger objects, and more of them.",
        )
        set_help(self.size_box, "Remove connected regions of a class with fewer pixels on a frame.")
        set_help(self.holes_check, "Fill holes of a class that contain no other class.")
        set_help(
            self.smoothing_box,
            "Standard deviation of the Gaussian filter that smooths the probabilities and thus "
            "the outlines.",
        )
        for control in (
            self.class_box,
            self.threshold_slider,
            self.size_box,
            self.smoothing_box,
        ):
            WheelFilter(control)
        form = form_layout()
        form.addRow(self.class_box)
        form.addRow(self.threshold_label, self.threshold_slider)
        form.addRow("Minimum size", self.size_box)
        form.addRow(self.holes_check)
        form.addRow("Smoothing", self.smoothing_box)
        self._rows = QWidget()
        self._rows.setLayout(form)
        self.addWidget(self.note)
        self.addWidget(self._rows)
