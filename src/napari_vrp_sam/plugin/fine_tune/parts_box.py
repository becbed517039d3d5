"""The choice of what learns."""

from __future__ import annotations

from pathlib import Path

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QWidget

from napari_vrp_sam.errors import InputError
from napari_vrp_sam.fine_tuning.job import TrainableParts
from napari_vrp_sam.models.weights.catalogue import BUILT_IN, base_model_name
from napari_vrp_sam.models.weights.headers import read_header
from napari_vrp_sam.models.zoo.registry import weights_file
from napari_vrp_sam.plugin.widgets.controls import NarrowComboBox, set_help

CHOICES: dict[TrainableParts, tuple[str, str]] = {
    "head": (
        "A new head",
        (
            "A copy of the backbone of 'lite' and a head learn these classes alone, as a U-Net "
            "would, and 'lite' stays beside them: what is best on images of one kind."
        ),
    ),
    "decoder": (
        "All but the backbone",
        "VRP encoder, neck and mask decoder learn: stays a model for any class.",
    ),
    "vrp-encoder": (
        "VRP encoder only",
        "As in the paper: least can be lost, least can be gained.",
    ),
    "lora": (
        "LoRA",
        "The image encoder of a SAM model learns too, by low-rank additions; takes a GPU.",
    ),
}
ONLY_LITE = "Only for models made from 'lite': the others have no small backbone to copy."
NO_LORA = (
    "Not for models made from 'lite': they have no image encoder of the kind that LoRA adds to."
)


class PartsBox(NarrowComboBox):
    """Offers what the base model can learn."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        for part, (text, _) in CHOICES.items():
            self.addItem(text, part)
        reported = (f"<b>{text}</b>: {tip}" for text, tip in CHOICES.values())
        set_help(self, "Which parts of the model learn.<br>" + "<br>".join(reported))
        self.refresh("lite")

    @property
    def part(self) -> TrainableParts:
        """The chosen one."""
        part: TrainableParts = self.currentData()
        return part

    def refresh(self, model: str) -> None:
        """Offer what this base model, a name or a path, can learn."""
        lite = base_model(model) == "lite"
        barred: dict[TrainableParts, str] = {"lora": NO_LORA} if lite else {"head": ONLY_LITE}
        for row, (part, (_, tip)) in enumerate(CHOICES.items()):
            item = self.model().item(row)
            item.setEnabled(part not in barred)
            self.setItemData(row, barred.get(part, tip), Qt.ItemDataRole.ToolTipRole)
        if self.part in barred:
            self.setCurrentIndex(list(CHOICES).index("head" if lite else "decoder"))


def base_model(model: str) -> str:
    """The built-in model that a model, given by name or path, is made from."""
    if any(spec.name == model for spec in BUILT_IN):
        return model
    path = weights_file(model) or Path(model)
    try:
        metadata = read_header(path).metadata if path.suffix == ".safetensors" else {}
        return base_model_name(metadata, path)
    except InputError:  # the run will say what is wrong with it
        return "lite"
