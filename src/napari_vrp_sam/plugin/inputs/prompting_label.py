"""Tells what prompts SAM in the chosen model, and how to train it."""

from __future__ import annotations

from qtpy.QtWidgets import QWidget

from napari_vrp_sam.models.zoo.registry import prompting_note
from napari_vrp_sam.plugin.inputs.model_box import ModelBox
from napari_vrp_sam.plugin.widgets.controls import MessageLabel


class PromptingLabel(MessageLabel):
    """Follows a choice of model; hidden for `lite`, which has a way of its own."""

    def __init__(self, model_box: ModelBox, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._model_box = model_box
        model_box.currentIndexChanged.connect(self._follow)
        self._follow()

    def _follow(self, _row: int = 0) -> None:
        self.show_message(prompting_note(self._model_box.model))
