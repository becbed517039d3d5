"""A guided tour that advances by itself when the user has done a step."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from napari.layers import Labels
from qtpy.QtCore import QTimer, Signal
from qtpy.QtWidgets import QHBoxLayout, QLabel, QPushButton, QScrollArea, QVBoxLayout, QWidget

from napari_vrp_sam.plugin.layers.metadata import get_metadata
from napari_vrp_sam.plugin.layers.outputs.accepted import (
    accepted_frames,
    current_result_with_frames,
)
from napari_vrp_sam.plugin.widgets.controls import SEVERITY_COLOURS, MessageLabel, set_help
from napari_vrp_sam.plugin.widgets.focus.outline import Outline

if TYPE_CHECKING:
    import napari

    from napari_vrp_sam.plugin.inputs.segment_form import SegmentForm

SAMPLE = "nuclei"
"""Sample image in which one stroke already gives a good result."""
POLL_MILLISECONDS = 200


@dataclass(frozen=True, eq=False)
class Step:
    """One step of the tour.

    Attributes
    ----------
    text : str
        Instruction.
    done : callable
        Returns True when the step is done; called with the slider positions at its start.
    control : QWidget, optional
        Control to outline.
    """

    text: str
    done: Callable[[tuple[int, ...]], bool]
    control: QWidget | None = None


class Tour(QWidget):
    """Panel that shows one step at a time and outlines its control, without blocking the user.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
    steps : sequence of Step
    scroll : QScrollArea
        Contains the controls of the steps.
    """

    shown = Signal(bool)
    """Emits True when the tour starts, and False when it ends."""

    def __init__(
        self,
        viewer: napari.viewer.Viewer,
        steps: Sequence[Step],
        scroll: QScrollArea,
    ) -> None:
        super().__init__()
        self._viewer = viewer
        self._steps = steps
        self._scroll = scroll
        self._index = 0
        self._sliders_at_start: tuple[int, ...] = ()
        self.count_label = QLabel()
        self.text = MessageLabel()
        self.text.setAccessibleName("Tour")
        self.end_button = QPushButton()
        set_help(self.end_button, "End the tour; all layers stay open.")
        self.end_button.clicked.connect(self.end)
        self.outline = Outline(SEVERITY_COLOURS["warning"], scroll.widget())
        foot = QHBoxLayout()
        foot.addWidget(self.count_label, 1)
        foot.addWidget(self.end_button)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(3, 0, 3, 0)  # as the controls below
        layout.setSpacing(4)
        layout.addWidget(self.text)
        layout.addLayout(foot)
        # Polling is simpler than connecting to everything that a user may do.
        self._timer = QTimer(self)
        self._timer.setInterval(POLL_MILLISECONDS)
        self._timer.timeout.connect(self._poll)
        self.hide()

    @property
    def running(self) -> bool:
        """True while a step is shown."""
        return self._timer.isActive()

    def start(self, _checked: Any = None) -> None:
        """Open the sample and show the first step."""
        self._viewer.open_sample("napari-vrp-sam", SAMPLE)
        self._timer.start()
        self.show()
        self.shown.emit(True)  # noqa: FBT003 # Qt's signal
        self._show_step(0)

    def end(self, _checked: Any = None) -> None:
        """Hide the tour and its outline."""
        if not self.running:
            return
        self._timer.stop()
        self.outline.point_at(None)
        self.hide()
        self.shown.emit(False)  # noqa: FBT003

    def _poll(self) -> None:
        if self._steps[self._index].done(self._sliders_at_start):
            self._show_step(self._index + 1)
        self.outline.point_at(self._steps[self._index].control)

    def _show_step(self, index: int) -> None:
        self._index = index
        self._sliders_at_start = self._viewer.dims.current_step
        last = len(self._steps) - 1
        step = self._steps[index]
        self.text.show_message(step.text)
        if step.control is not None:
            self._scroll.ensureWidgetVisible(step.control)
        self.count_label.setText(f"Step {index + 1} of {last}" if index < last else "")
        self.end_button.setText("Skip tour" if index < last else "Close tour")
        self.outline.point_at(step.control)


def tour_steps(
    viewer: napari.viewer.Viewer,
    form: SegmentForm,
    is_running: Callable[[], bool],
    *,
    segment_button: QWidget,
    confidence_plot: QWidget,
    accept_button: QWidget,
) -> list[Step]:
    """Return the steps from the first stroke to an accepted frame."""

    def result() -> Labels | None:
        current = current_result_with_frames(viewer, form.image_box.layer)
        return current[0] if current is not None else None

    def is_accepted() -> bool:
        layer = result()
        return layer is not None and bool(accepted_frames(layer))

    return [
        Step(
            "This sample shows moving nuclei at 20 time points. Press <b>Scribble</b> to add a "
            "layer to draw in.",
            lambda _: bool(form.annotation_list.annotations),
            form.draw_buttons["scribble"],
        ),
        Step(
            "<b>Draw</b> a stroke through a nucleus in the image with the mouse button pressed. "
            "Two or three nuclei are even better.",
            lambda _: _is_drawn(form),
        ),
        Step(
            "Press <b>Segment stack</b>. The frames are filled from yours outwards; you can scroll "
            "and zoom meanwhile.",
            lambda _: not is_running() and result() is not None,
            segment_button,
        ),
        Step(
            "Each bar is the <b>confidence</b> of one frame. Click a low bar, or move the slider "
            "below the image.",
            lambda sliders: viewer.dims.current_step != sliders,
            confidence_plot,
        ),
        Step(
            "Select the result in the layer list, and paint or erase what is wrong on this frame. "
            "Then press <b>Accept frame</b>.",
            lambda _: is_accepted(),
            accept_button,
        ),
        Step(
            "<b>Done.</b> The next run learns from the accepted frame and does not change it. Now "
            "open your own stack.",
            lambda _: False,
        ),
    ]


def _is_drawn(form: SegmentForm) -> bool:
    for annotation in form.annotation_list.annotations:
        layer = annotation.layer
        if not isinstance(layer, Labels):
            drawn = len(layer.data) > 0
        else:  # a user's own layer counts as drawn, as searching it may be slow
            drawn = get_metadata(layer, "drawing") is None or bool(layer.data.any())
        if drawn:
            return True
    return False
