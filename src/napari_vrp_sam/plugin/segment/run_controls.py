"""The button that starts a segmentation, with its options and its progress."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtGui import QKeySequence
from qtpy.QtWidgets import (
    QHBoxLayout,
    QProgressBar,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from napari_vrp_sam.plugin.widgets.controls import PRIMARY_STYLE, keep_place, pack, set_help

if TYPE_CHECKING:
    from napari_vrp_sam.plugin.segment.preview import PreviewBox
    from napari_vrp_sam.plugin.segment.status.panel_view import PanelView

RUN_KEYS = QKeySequence("Ctrl+Shift+Return")
BUTTON_HEIGHT, PROGRESS_HEIGHT = 34, 8


class RunControls(QWidget):
    """*Segment stack* button, with the live preview above and progress below.

    Parameters
    ----------
    preview_box : PreviewBox
    """

    def __init__(self, preview_box: PreviewBox) -> None:
        super().__init__()
        self.segment_button = QPushButton("Segment stack")
        self.cancel_button = QPushButton("Cancel")
        self.progress = QProgressBar()
        self.segment_button.setMinimumHeight(BUTTON_HEIGHT)
        self.segment_button.setStyleSheet(PRIMARY_STYLE)
        self.segment_button.setShortcut(RUN_KEYS)
        self._set_help()
        preview, buttons = QWidget(), QWidget()
        pack(QHBoxLayout(preview), preview_box, preview_box.state_label)
        row = QHBoxLayout(buttons)
        pack(row, self.segment_button, self.cancel_button, spacing=3)
        row.setStretch(0, 2)
        row.setStretch(1, 1)
        self.cancel_button.setMinimumHeight(BUTTON_HEIGHT)
        self.progress.setTextVisible(False)  # the status says the same
        self.progress.setFixedHeight(PROGRESS_HEIGHT)
        keep_place(self.progress)
        pack(QVBoxLayout(self), preview, buttons, self.progress, spacing=6)

    def show_view(self, view: PanelView) -> None:
        """Enable the buttons and move the progress bar as the state of the panel requires."""
        self.segment_button.setEnabled(view.can_segment)
        self.cancel_button.setEnabled(view.can_cancel)
        self.progress.setVisible(view.running)
        self.progress.setRange(0, view.maximum)
        self.progress.setValue(view.value)
        self.progress.setFormat(view.progress)

    def _set_help(self) -> None:
        set_help(
            self.segment_button,
            "Segment every frame, from the frame in view and the annotated frames outwards. The "
            "result is a new Labels layer; earlier results are kept but hidden. Keys: "
            + RUN_KEYS.toString(QKeySequence.SequenceFormat.NativeText),
        )
        set_help(self.cancel_button, "Cancel the run; finished frames are kept.")
        set_help(self.progress, "Number of segmented frames.")
