"""A guided first run on sample data, which goes on by itself as the user does what it says."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from napari.layers import Labels
from qtpy.QtCore import QTimer, Signal
from qtpy.QtWidgets import QHBoxLayout, QLabel, QPushButton, QVBoxLayout, QWidget

from napari_vrp_sam.plugin.layers.accepted import accepted_frames, shown_result
from napari_vrp_sam.plugin.layers.metadata import noted
from napari_vrp_sam.plugin.widgets.controls import SEVERITY_COLOURS, MessageLabel, set_help
from napari_vrp_sam.plugin.widgets.outline import Outline

if TYPE_CHECKING:
    import napari

    from napari_vrp_sam.plugin.segment.widget import SegmentStackWidget

SAMPLE = "nuclei"
"""One stroke on it gives a result worth looking at."""
LOOK_MILLISECONDS = 200


@dataclass(frozen=True, eq=False)
class Step:
    """What to do, the control to do it with, and how to see that it was done."""

    text: str
    done: Callable[[], bool]
    control: QWidget | None = None


class Tour(QWidget):
    """Says one step at a time in the dock, and points at its control; it stops nobody.

    Signals
    -------
    shown : (on,)
        The tour began, or ended.
    """

    shown = Signal(bool)

    def __init__(self, viewer: napari.viewer.Viewer, dock: SegmentStackWidget) -> None:
        super().__init__(dock)
        self._viewer = viewer
        self._dock = dock
        self._at = 0
        self._steps: list[Step] = []
        self._sliders_before: tuple[int, ...] = ()
        self._count = QLabel()
        self.text = MessageLabel()
        self.text.setAccessibleName("Tour")
        self.end_button = QPushButton()
        set_help(self.end_button, "End the tour; all that is open stays as it is.")
        self.end_button.clicked.connect(self.end)
        self._pointer = Outline(SEVERITY_COLOURS["warning"], dock.scroll.content)
        foot = QHBoxLayout()
        foot.addWidget(self._count, 1)
        foot.addWidget(self.end_button)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(3, 0, 3, 0)  # as the controls below
        layout.setSpacing(4)
        layout.addWidget(self.text)
        layout.addLayout(foot)
        # Looking is simpler than listening to all that a user may do, and leaves nothing behind.
        self._timer = QTimer(self)
        self._timer.setInterval(LOOK_MILLISECONDS)
        self._timer.timeout.connect(self._look)
        self.hide()

    @property
    def running(self) -> bool:
        """Whether a step is shown."""
        return self._timer.isActive()

    def start(self, _checked: Any = None) -> None:
        """Open the sample, and show the first step."""
        self._viewer.open_sample("napari-vrp-sam", SAMPLE)
        self._steps = self._make_steps()
        self._timer.start()
        self.show()
        self.shown.emit(True)  # noqa: FBT003 # Qt's signal
        self._go_to(0)

    def end(self, _checked: Any = None) -> None:
        """Point at nothing any more."""
        if not self.running:
            return
        self._timer.stop()
        self._pointer.point_at(None)
        self.hide()
        self.shown.emit(False)  # noqa: FBT003

    def _make_steps(self) -> list[Step]:
        dock, form = self._dock, self._dock.form
        return [
            Step(
                "Moving cells, at 20 time points. Press <b>Scribble</b>: you get a layer to draw "
                "in, with the brush ready.",
                lambda: bool(form.annotation_list.annotations),
                form.draw_buttons["scribble"],
            ),
            Step(
                "<b>Draw</b> a stroke through one nucleus in the picture, as with a pen. Two or "
                "three nuclei are better still.",
                self._is_drawn,
            ),
            Step(
                "Press <b>Segment stack</b>. The frames fill from yours outwards; scroll and zoom "
                "meanwhile.",
                lambda: not dock.running and self._result() is not None,
                dock.segment_button,
            ),
            Step(
                "Each bar is the <b>confidence</b> in one frame. Click on a low one, or move "
                "the slider below the picture.",
                lambda: self._viewer.dims.current_step != self._sliders_before,
                dock.quality_panel.plot,
            ),
            Step(
                "Select the result in the list of layers, and paint or erase what is wrong here. "
                "Then press <b>Accept</b>.",
                self._is_accepted,
                dock.accept_button,
            ),
            Step(
                "<b>That is all.</b> The next run learns from the accepted frame, and leaves it "
                "alone. Now open a stack of yours.",
                lambda: False,
            ),
        ]

    def _look(self) -> None:
        if self._steps[self._at].done():
            self._go_to(self._at + 1)
        self._point()

    def _go_to(self, at: int) -> None:
        self._at = at
        self._sliders_before = self._viewer.dims.current_step
        last = len(self._steps) - 1
        self.text.show_message(self._steps[at].text)
        control = self._steps[at].control
        if control is not None:
            self._dock.scroll.ensureWidgetVisible(control)
        self._count.setText(f"Step {at + 1} of {last}" if at < last else "")
        self.end_button.setText("Skip tour" if at < last else "Close tour")
        self._point()

    def _point(self) -> None:
        self._pointer.point_at(self._steps[self._at].control)

    def _is_drawn(self) -> bool:
        for annotation in self._dock.form.annotation_list.annotations:
            layer = annotation.layer
            if not isinstance(layer, Labels):
                drawn = len(layer.data) > 0
            else:  # of the user's own, it may be large
                drawn = noted(layer, "drawing") is None or bool(layer.data.any())
            if drawn:
                return True
        return False

    def _result(self) -> Labels | None:
        at = shown_result(self._viewer, self._dock.form.image_box.layer)
        return at[0] if at is not None else None

    def _is_accepted(self) -> bool:
        result = self._result()
        return result is not None and bool(accepted_frames(result))
