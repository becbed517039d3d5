"""Button beside the model box that opens the gallery of models."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from qtpy.QtWidgets import QToolButton, QWidget

from napari_vrp_sam.inference.runs.engine import Run
from napari_vrp_sam.plugin.gallery.dialog import GalleryDialog
from napari_vrp_sam.plugin.widgets.controls import set_help


class GalleryButton(QToolButton):
    """Open the gallery, which is created when it is first needed.

    Parameters
    ----------
    suggestion : callable
        Returns one sentence on models for the chosen image.
    model : callable
        Returns the name of the chosen model.
    choose : callable
        Chooses a model by its name.
    """

    def __init__(
        self,
        suggestion: Callable[[], str],
        model: Callable[[], str],
        choose: Callable[[str], object],
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self._suggestion, self._model, self._choose = suggestion, model, choose
        self.dialog: GalleryDialog | None = None
        self.compare: Callable[[Sequence[str]], Run] | None = None
        self.setText("…")
        self.setAccessibleName("Gallery of models")
        set_help(self, "All models: what they are for, downloads, and a comparison on your image.")
        self.clicked.connect(self.open)

    def open(self) -> GalleryDialog:
        """Show the gallery, with the chosen model selected."""
        if self.dialog is None:
            self.dialog = GalleryDialog(self._suggestion, self.window())
            self.dialog.chosen.connect(self._choose)
        self.dialog.compare = self.compare
        self.dialog.refresh()
        self.dialog.select(self._model())
        self.dialog.show()
        self.dialog.raise_()
        return self.dialog

    def release(self) -> None:
        """Stop everything, because the dock is closing."""
        if self.dialog is not None:
            self.dialog.abandon()
            self.dialog.deleteLater()
            self.dialog = None
