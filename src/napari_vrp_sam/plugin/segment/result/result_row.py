"""Row of controls for the display of the current result."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any

from napari.layers import Labels
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QCheckBox, QComboBox, QHBoxLayout, QSlider, QWidget

from napari_vrp_sam.plugin.layers.appearance.contour_widths import ContourWidths
from napari_vrp_sam.plugin.layers.appearance.styles import Style, set_style, style_of
from napari_vrp_sam.plugin.layers.metadata import get_metadata, unwrap
from napari_vrp_sam.plugin.layers.outputs.accepted import current_result, result_events
from napari_vrp_sam.plugin.layers.outputs.results import is_result_layer
from napari_vrp_sam.plugin.preferences import get_preference, set_preference
from napari_vrp_sam.plugin.segment.result.hidden_results import HiddenResults
from napari_vrp_sam.plugin.segment.result.result_in_view import ResultInView
from napari_vrp_sam.plugin.session.layers import PEN
from napari_vrp_sam.plugin.widgets.background.watched_run import single_shot_timer
from napari_vrp_sam.plugin.widgets.controls import pack, set_help
from napari_vrp_sam.plugin.widgets.wheel import WheelFilter

if TYPE_CHECKING:
    import napari

    from napari_vrp_sam.plugin.inputs.segment_form import SegmentForm

KEY = "H"
"""Viewer key binding; napari does not use it in any layer."""
STYLES: dict[str, Style] = {"contour": "contour", "fill": "hatched"}
"""Style by the value of the preference."""
PAUSE_MILLISECONDS = 500
"""Delay before the opacity is saved, so that dragging the slider does not write many files."""


class ResultRow(QWidget):
    """Show or hide the current result of the image, as contours or filled, with an opacity.

    The choices are remembered as preferences, for the results of later runs.
    """

    def __init__(self, viewer: napari.viewer.Viewer, form: SegmentForm) -> None:
        super().__init__()
        self._viewer = viewer
        self._image_box = form.image_box
        self.hidden_results = HiddenResults(viewer, form, self)
        self.in_view = ResultInView(viewer, form, self)
        self._widths = ContourWidths(viewer, self)
        self._layer: Labels | None = None
        self._last: weakref.ref[Labels] | None = None
        self._look = {"result_style": "contour", "result_opacity": 100}
        self.show_box = QCheckBox("Result")
        self.style_box = QComboBox()
        self.opacity_slider = QSlider(Qt.Orientation.Horizontal)
        for control in (self.style_box, self.opacity_slider):
            WheelFilter(control)
        self._lay_out()
        self._save = single_shot_timer(self, PAUSE_MILLISECONDS, self._save_opacity)
        self.show_box.clicked.connect(self._show)
        self.style_box.activated.connect(self._choose_style)
        self.opacity_slider.valueChanged.connect(self._choose_opacity)
        self._emitters = result_events(viewer)
        viewer.layers.events.inserted.connect(self._on_inserted)
        for emitter in self._emitters:
            emitter.connect(self.refresh)
        form.image_box.chosen.connect(self.refresh)
        self.refresh()

    def toggle(self, _viewer: Any = None) -> None:
        """Show the current result, or hide it."""
        self.refresh()
        if self._layer is not None:
            self._show(shown=not self._layer.visible)

    def enable_key(self, *, enabled: bool) -> None:
        """Bind the key in the viewer, or unbind it."""
        self._viewer.bind_key(KEY, self.toggle if enabled else None, overwrite=True)

    def lock(self, *, locked: bool) -> None:
        """Show the results that are hidden for drawing; keep results visible during a run."""
        self.hidden_results.restore()
        self.hidden_results.locked = locked

    def release(self) -> None:
        """Disconnect from the viewer, which is closing."""
        self.enable_key(enabled=False)
        self._follow(None)
        self._save.stop()
        self._viewer.layers.events.inserted.disconnect(self._on_inserted)
        for emitter in self._emitters:
            emitter.disconnect(self.refresh)
        self._widths.release()
        self.hidden_results.release()
        self.in_view.release()

    def refresh(self, _event: Any = None) -> None:
        """Update the controls from the current result; disable them without one."""
        self._follow(self._current())
        layer = self._layer
        self.setEnabled(layer is not None)
        self.show_box.setChecked(layer is not None and layer.visible)
        if layer is None:
            return
        filled = not layer.contour or style_of(layer) != "contour"
        self.style_box.setCurrentIndex(int(filled))
        blocked = self.opacity_slider.blockSignals(True)  # noqa: FBT003
        self.opacity_slider.setValue(round(100 * layer.opacity))
        self.opacity_slider.blockSignals(blocked)

    def _current(self) -> Labels | None:
        image = self._image_box.layer
        if image is None:
            return None
        layer: Labels | None = unwrap(current_result(self._viewer, image))
        last = self._last() if self._last is not None else None
        hidden = layer is not None and not layer.visible
        if hidden and last in self._viewer.layers and is_result_layer(last, image.unique_id):
            return last  # so that the box shows what it has hidden
        return layer

    def _lay_out(self) -> None:
        self.style_box.addItems(["Contour", "Fill"])
        self.opacity_slider.setRange(0, 100)
        self.opacity_slider.setMinimumWidth(40)
        self.style_box.setAccessibleName("Style of the result")
        self.opacity_slider.setAccessibleName("Opacity of the result")
        set_help(
            self.show_box,
            f"Show the result of the chosen image. It is hidden while you draw. Key: {KEY}.",
        )
        set_help(self.style_box, "Show the result as contours, or filled with hatching.")
        set_help(self.opacity_slider, "Opacity of the result.")
        layout = QHBoxLayout(self)
        pack(layout, self.show_box, spacing=4)
        layout.addWidget(self.style_box)
        layout.addWidget(self.opacity_slider, 1)

    def _follow(self, layer: Labels | None) -> None:
        if layer is self._layer:
            return
        for followed, connected in ((self._layer, False), (layer, True)):
            if followed is not None:
                events = followed.events
                for emitter in (events.visible, events.opacity, events.contour):
                    (emitter.connect if connected else emitter.disconnect)(self.refresh)
        self._layer = layer
        if layer is not None:
            self._last = weakref.ref(layer)

    def _on_inserted(self, event: Any) -> None:
        """Give a new result the look of the previous one; those of sessions keep their own."""
        layer = event.value
        if is_result_layer(layer) and get_metadata(layer, PEN) is None:
            look = {name: get_preference(name, value) for name, value in self._look.items()}
            layer.opacity = look["result_opacity"] / 100
            set_style(layer, STYLES[look["result_style"]])
        self.refresh()

    def _show(self, shown: bool) -> None:  # noqa: FBT001 # Qt's signal
        if self._layer is not None:
            self._layer.visible = shown

    def _choose_style(self, index: int) -> None:
        if self._layer is not None:
            name = list(STYLES)[index]
            set_style(self._layer, STYLES[name])
            self._remember("result_style", name)

    def _choose_opacity(self, percent: int) -> None:
        if self._layer is not None:
            self._layer.opacity = percent / 100
            self._save.start()

    def _save_opacity(self) -> None:
        self._remember("result_opacity", self.opacity_slider.value())

    def _remember(self, name: str, value: Any) -> None:
        self._look[name] = value
        set_preference(name, value)
