"""Controls for threshold and clean-up."""

from __future__ import annotations

from collections.abc import Sequence

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QHBoxLayout, QLabel, QPushButton, QSlider, QVBoxLayout, QWidget

from napari_vrp_sam.inference.objects.result_settings import AUTOMATIC, ResultSettings
from napari_vrp_sam.plugin.widgets.controls import NarrowComboBox, form_layout, set_help
from napari_vrp_sam.plugin.widgets.spin_boxes import DoubleSpinBox, SpinBox
from napari_vrp_sam.plugin.widgets.wheel import WheelFilter

AUTO = -1
"""Value of the box for the minimum size that stands for "auto"."""
HOLES = {"auto": None, "fill": True, "keep": False}


class CleanUpForm(QWidget):
    """Threshold of each class, minimum size, holes, smoothing, and a button to reset them.

    Signals
    -------
    threshold_moved : (class_id, threshold)
    drag_started : ()
        Emitted when the user takes the slider of the threshold.
    edited : (name, value)
        A field of `ResultSettings` and its new value.
    reset : ()
    """

    threshold_moved = Signal(int, float)
    drag_started = Signal()
    edited = Signal(str, object)
    reset = Signal()

    def __init__(self) -> None:
        super().__init__()
        self._settings = AUTOMATIC
        self.class_box = NarrowComboBox()
        self.threshold_label = QLabel()
        self.threshold_slider = QSlider(Qt.Orientation.Horizontal)
        self.size_box = SpinBox()
        self.holes_box = NarrowComboBox(elided=False)
        self.smoothing_box = DoubleSpinBox()
        self.reset_button = QPushButton("Reset")
        self._set_ranges()
        self._set_help()
        self._lay_out()
        self.class_box.currentIndexChanged.connect(self._show_threshold)
        self.threshold_slider.sliderPressed.connect(self.drag_started)
        self.threshold_slider.valueChanged.connect(
            lambda percent: self.threshold_moved.emit(self.class_box.currentData(), percent / 100)
        )
        self.size_box.valueChanged.connect(
            lambda size: self.edited.emit("min_size", "auto" if size == AUTO else size)
        )
        self.holes_box.currentIndexChanged.connect(
            lambda _: self.edited.emit("fill_holes", HOLES[self.holes_box.currentText()])
        )
        self.smoothing_box.valueChanged.connect(lambda sigma: self.edited.emit("smoothing", sigma))
        self.reset_button.clicked.connect(lambda _: self.reset.emit())
        self.show_classes([])

    def show_classes(self, classes: Sequence[tuple[str, int]]) -> None:
        """Offer the thresholds of classes, given by name and number; none: of no class."""
        shown = [
            (self.class_box.itemText(at), self.class_box.itemData(at))
            for at in range(self.class_box.count())
        ]
        if list(classes) != shown:
            blocked = self.class_box.blockSignals(True)  # noqa: FBT003
            self.class_box.clear()
            for name, number in classes:
                self.class_box.addItem(name, number)
            self.class_box.blockSignals(blocked)
        self.class_box.setVisible(len(classes) > 1)
        for widget in (self.threshold_label, self.threshold_slider):
            widget.setEnabled(bool(classes))

    def show_settings(self, settings: ResultSettings) -> None:
        """Show settings, without a signal."""
        self._settings = settings
        controls: tuple[QWidget, ...] = (self.size_box, self.holes_box, self.smoothing_box)
        blocked = [control.blockSignals(True) for control in controls]  # noqa: FBT003
        self.size_box.setValue(AUTO if settings.min_size == "auto" else settings.min_size)
        self.holes_box.setCurrentIndex(list(HOLES.values()).index(settings.fill_holes))
        self.smoothing_box.setValue(settings.smoothing)
        for control, was in zip(controls, blocked, strict=True):
            control.blockSignals(was)
        self.reset_button.setEnabled(settings != AUTOMATIC)
        self._show_threshold()

    def _show_threshold(self, _index: int = 0) -> None:
        threshold = self._settings.threshold(self.class_box.currentData())
        blocked = self.threshold_slider.blockSignals(True)  # noqa: FBT003
        self.threshold_slider.setValue(round(100 * threshold))
        self.threshold_slider.blockSignals(blocked)
        self.threshold_label.setText(f"Threshold {threshold:.2f}")

    def _set_ranges(self) -> None:
        self.threshold_slider.setRange(1, 99)
        self.threshold_slider.setMinimumWidth(60)
        self.threshold_slider.setAccessibleName("Threshold")
        self.class_box.setAccessibleName("Class of the threshold")
        self.size_box.setRange(AUTO, 1_000_000)
        self.size_box.setSpecialValueText("auto")
        self.size_box.setSuffix(" px")
        self.holes_box.addItems(list(HOLES))
        self.smoothing_box.setRange(0, 20)
        self.smoothing_box.setDecimals(1)
        self.smoothing_box.setSingleStep(0.5)
        self.smoothing_box.setSuffix(" px")
        WheelFilter(self.threshold_slider)

    def _set_help(self) -> None:
        set_help(self.class_box, "Class whose threshold the slider sets.")
        set_help(
            self.threshold_slider,
            "A pixel can belong to the class if its probability is above the threshold. A lower "
            "threshold gives larger objects, and more of them.",
        )
        set_help(
            self.size_box,
            "Remove smaller regions of a class, and smaller objects, from each frame. auto: keep "
            "all regions; remove objects with fewer than a 20th of the pixels of the typical "
            "object of the class.",
        )
        set_help(
            self.holes_box,
            "<b>fill</b>: fill holes that contain no other class. <b>keep</b>: fill none. "
            "<b>auto</b>: fill holes of up to a quarter of an object, in objects only.",
        )
        set_help(
            self.smoothing_box,
            "Standard deviation of the Gaussian filter that smooths the probabilities and thus "
            "the outlines.",
        )
        set_help(self.reset_button, "Return to the automatic values: threshold 0.50, no clean-up.")

    def _lay_out(self) -> None:
        form = form_layout()
        form.addRow(self.class_box)
        form.addRow(self.threshold_label, self.threshold_slider)
        form.addRow("Minimum size", self.size_box)
        form.addRow("Smoothing", self.smoothing_box)
        form.addRow("Holes", self.holes_box)
        # In a row of its own, because a narrow dock has no room for it beside another control.
        last = QHBoxLayout()
        last.addStretch()
        last.addWidget(self.reset_button)
        form.addRow(last)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addLayout(form)
