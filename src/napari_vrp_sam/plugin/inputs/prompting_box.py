"""Combo box of promptings of a full-size model, and a note on the chosen one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import Qt

from napari_vrp_sam.models.sam.prompting import PROMPTINGS
from napari_vrp_sam.models.zoo.registry import describe_prompting, offered_promptings
from napari_vrp_sam.plugin.widgets.controls import MessageLabel, NarrowComboBox

if TYPE_CHECKING:
    from napari_vrp_sam.models.sam.prompting import Prompting
    from napari_vrp_sam.plugin.inputs.model_box import ModelBox

AUTOMATIC = "automatic"


class PromptingBox(NarrowComboBox):
    """Combo box of the promptings that the chosen model offers; empty for other models than SAMs.

    A choice that the model does not offer comes back with a model that does.
    """

    def __init__(self, model_box: ModelBox) -> None:
        super().__init__(elided=False)
        self._model_box = model_box
        self._choice: str | None = None
        self.activated.connect(lambda _: self.choose(self.currentData()))
        model_box.currentIndexChanged.connect(self._refresh)
        self._refresh()

    @property
    def prompting(self) -> Prompting | None:
        """Chosen prompting; None for the default of the model."""
        return self.currentData() if self.count() else None

    def choose(self, prompting: str | None) -> None:
        """Choose a prompting by its name; None or "automatic" for the default of the model."""
        self._choice = None if prompting == AUTOMATIC else prompting
        self._show_choice()

    def _refresh(self, _row: int = 0) -> None:
        offered = offered_promptings(self._model_box.model)
        if [self.itemData(row) for row in range(1, self.count())] != [*offered]:
            self.clear()
            if offered:
                self.addItem(AUTOMATIC, None)
            for prompting in offered:
                self.addItem(prompting, prompting)
                tip = f"SAM is prompted by {PROMPTINGS[prompting]}."
                self.setItemData(self.count() - 1, tip, Qt.ItemDataRole.ToolTipRole)
        self._show_choice()

    def _show_choice(self) -> None:
        if self.count():
            self.setCurrentIndex(max(self.findData(self._choice), 0))


class PromptingLabel(MessageLabel):
    """Note on how SAM is prompted in the chosen model; hidden for `lite`."""

    def __init__(self, model_box: ModelBox, prompting_box: PromptingBox) -> None:
        super().__init__()
        self._model_box = model_box
        self._prompting_box = prompting_box
        model_box.currentIndexChanged.connect(self._refresh)
        prompting_box.currentIndexChanged.connect(self._refresh)
        self._refresh()

    def _refresh(self, _row: int = 0) -> None:
        self.show_message(describe_prompting(self._model_box.model, self._prompting_box.prompting))
