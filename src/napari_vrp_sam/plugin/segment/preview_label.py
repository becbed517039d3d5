"""Label beside the check box of the live preview."""

from __future__ import annotations

from napari_vrp_sam.plugin.segment.preview_state import PreviewState
from napari_vrp_sam.plugin.widgets.controls import ElidedLabel

COVERED = "hidden by the result"
"""Text while the result of the frame is visible."""


class PreviewLabel(ElidedLabel):
    """State of the live preview in a few words; the tooltip says why there is none."""

    def __init__(self) -> None:
        super().__init__()
        self._state, self._covered = PreviewState(), False
        self.setAccessibleName("State of the live preview")

    def show_state(self, state: PreviewState) -> None:
        """Show a state."""
        self._state = state
        covered = self._covered and state.outlined
        self.set_full_text(COVERED if covered else state.text, state.reason)

    def cover(self, *, covered: bool) -> None:
        """Say that the outlines are hidden, if there are any."""
        self._covered = covered
        self.show_state(self._state)
