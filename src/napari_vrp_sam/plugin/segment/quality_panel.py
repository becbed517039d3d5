"""What the result is worth, frame by frame, and where to annotate next."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtWidgets import QPushButton, QVBoxLayout, QWidget

from napari_vrp_sam.inference.prediction.confidence import least_confident
from napari_vrp_sam.plugin.layers.accepted import accepted_frames, result_events, shown_result
from napari_vrp_sam.plugin.layers.frame_view import frame_in_view, show_frame
from napari_vrp_sam.plugin.layers.metadata import noted
from napari_vrp_sam.plugin.layers.results import CONFIDENCE
from napari_vrp_sam.plugin.segment.confidence_plot import ConfidencePlot
from napari_vrp_sam.plugin.widgets.controls import set_help

if TYPE_CHECKING:
    import napari
    from napari.layers import Labels

    from napari_vrp_sam.inference.frames import Frames
    from napari_vrp_sam.plugin.inputs.image_box import ImageBox


class QualityPanel(QWidget):
    """Follows the current result of the chosen image; hidden where there is none."""

    def __init__(
        self, viewer: napari.viewer.Viewer, image_box: ImageBox, parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._image_box = image_box
        self.plot = ConfidencePlot()
        self.next_button = QPushButton("Next frame to annotate")
        set_help(
            self.next_button,
            "Go to the frame that the model is least sure of, among those that are neither "
            "annotated nor accepted: an annotation or a correction helps most there.",
        )
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(4)
        layout.addWidget(self.plot)
        layout.addWidget(self.next_button)
        self.plot.chosen.connect(self._show)
        self.next_button.clicked.connect(self._show_next)
        self._emitters = result_events(viewer)
        for emitter in self._emitters:
            emitter.connect(self.refresh)
        viewer.dims.events.current_step.connect(self._mark)
        image_box.chosen.connect(self.refresh)
        self.refresh()

    def refresh(self, _event: Any = None) -> None:
        """Take over what is known of the current result."""
        at = self._current()
        self.setVisible(at is not None and len(at[1]) > 1)
        if at is None:
            return
        layer, frames = at
        self.plot.show_stack(len(frames), _confidence(layer), accepted_frames(layer))
        self.next_button.setEnabled(self._next(layer) is not None)
        self._mark()

    def least_confident(self) -> tuple[str, float] | None:
        """The frame to annotate next as the sliders number it, and its confidence."""
        at = self._current()
        frame = self._next(at[0]) if at else None
        if at is None or frame is None:
            return None
        layer, frames = at
        return ", ".join(map(str, frames.position(frame))), _confidence(layer)[frame]

    def release(self) -> None:
        """Let go of the viewer, which is closing."""
        for emitter in self._emitters:
            emitter.disconnect(self.refresh)
        self._viewer.dims.events.current_step.disconnect(self._mark)

    def _current(self) -> tuple[Labels, Frames] | None:
        return shown_result(self._viewer, self._image_box.layer)

    def _next(self, layer: Labels) -> int | None:
        """The frame to annotate next, by index."""
        known = {*accepted_frames(layer), *(noted(layer, "reference_frames") or [])}
        lowest = least_confident({i: c for i, c in _confidence(layer).items() if i not in known})
        return lowest.frame if lowest else None

    def _show_next(self, _checked: Any = None) -> None:
        at = self._current()
        frame = self._next(at[0]) if at else None
        if frame is not None:
            self._show(frame)

    def _show(self, frame: int) -> None:
        at = self._current()
        if at is not None:
            show_frame(*at, self._viewer.dims, frame)

    def _mark(self, _event: Any = None) -> None:
        at = self._current()
        if at is not None:
            self.plot.mark(frame_in_view(*at, self._viewer.dims))


def _confidence(layer: Labels) -> dict[int, float]:
    return dict(noted(layer, CONFIDENCE) or {})
