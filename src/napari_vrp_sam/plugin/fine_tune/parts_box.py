"""Combo box of the parts of a model to train."""

from __future__ import annotations

from pathlib import Path

from qtpy.QtCore import Qt

from napari_vrp_sam.errors import InputError
from napari_vrp_sam.fine_tuning.job import TrainableParts
from napari_vrp_sam.models.weights.catalogue import (
    BUILT_IN,
    TIMM_PREFIX,
    base_model_name,
    is_probe_model,
)
from napari_vrp_sam.models.weights.headers import read_header
from napari_vrp_sam.models.zoo.registry import weights_file
from napari_vrp_sam.plugin.widgets.controls import NarrowComboBox, set_help

CHOICES: dict[TrainableParts, tuple[str, str]] = {
    "head": (
        "Dense head (U-Net)",
        (
            "Trains a dense head for these classes only, similar to a U-Net, and combines it with "
            "the model: for 'lite' with a copy of its backbone, for a probe model on its frozen "
            "backbone. Best for images of one kind."
        ),
    ),
    "decoder": (
        "Decoder and VRP encoder",
        (
            "Trains everything except the backbone or image encoder; the model can still segment "
            "other classes."
        ),
    ),
    "vrp-encoder": (
        "VRP encoder only",
        "Trains the VRP encoder as in the paper: the smallest change of the model.",
    ),
    "lora": (
        "LoRA",
        "Also trains low-rank adapters in the image encoder of a SAM model; needs a GPU.",
    ),
}
NO_HEAD = "Not for SAM models: a dense head is trained beside 'lite' or a probe model."
NO_LORA = "Not for models based on 'lite': they have no image encoder that LoRA can adapt."
ONLY_HEAD = "Not for probe models: only a dense head can be trained beside them."


class PartsBox(NarrowComboBox):
    """Choice of the parts to train, limited to those that the base model has."""

    def __init__(self) -> None:
        super().__init__(elided=False)
        for parts, (text, _) in CHOICES.items():
            self.addItem(text, parts)
        choices = (f"<b>{text}</b>: {tip}" for text, tip in CHOICES.values())
        set_help(self, "Parts of the model to train.<br>" + "<br>".join(choices))
        self.refresh("lite")

    @property
    def parts(self) -> TrainableParts:
        """Chosen parts."""
        parts: TrainableParts = self.currentData()
        return parts

    def refresh(self, model: str) -> None:
        """Enable the parts of a base model, given by its name or path."""
        base = base_model(model)
        disabled: dict[TrainableParts, str] = {"head": NO_HEAD}
        if base == "lite":
            disabled = {"lora": NO_LORA}
        elif is_probe_model(base):
            disabled = {"decoder": ONLY_HEAD, "vrp-encoder": ONLY_HEAD, "lora": ONLY_HEAD}
        for row, (parts, (_, tip)) in enumerate(CHOICES.items()):
            self.model().item(row).setEnabled(parts not in disabled)
            self.setItemData(row, disabled.get(parts, tip), Qt.ItemDataRole.ToolTipRole)
        if self.parts in disabled:
            self.setCurrentIndex(list(CHOICES).index("decoder" if "head" in disabled else "head"))


def base_model(model: str) -> str:
    """Return the built-in model that a model, given by its name or path, is based on."""
    if any(spec.name == model for spec in BUILT_IN) or model.startswith(TIMM_PREFIX):
        return model
    path = weights_file(model) or Path(model)
    try:
        metadata = read_header(path).metadata if path.suffix == ".safetensors" else {}
        return base_model_name(metadata, path)
    except InputError:  # reported when the run loads the model
        return "lite"
