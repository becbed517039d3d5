"""The sentence that tells what a result is worth."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import TYPE_CHECKING

from napari_vrp_sam.plugin.controls import MessageLabel, explain

if TYPE_CHECKING:
    from napari_vrp_sam.models.choice import Choice


class ExpectationLabel(MessageLabel):
    """Says what to expect before the first frame comes, and where to look after the last one."""

    def show_choices(self, choices: Mapping[int, Choice], names: Mapping[int, str]) -> None:
        """Expected IoU of each class, where the annotation tells it."""
        expected = {
            class_id: "unknown" if choice.expected_iou is None else f"{choice.expected_iou:.2f}"
            for class_id, choice in choices.items()
        }
        if any(choice.expected_iou is not None for choice in choices.values()):
            texts = [f"{names[class_id]} {iou}" for class_id, iou in expected.items()]
            self.say(f"Expected IoU: {', '.join(texts)}")
        details = [f"{escape(names[class_id])}: {choice}." for class_id, choice in choices.items()]
        explain(
            self,
            "Measured by holding back half of the mask annotation and segmenting it by the other "
            "half.<br>" + "<br>".join(details),
        )

    def show_least_sure(self, frame: str, confidence: float) -> None:
        """Where to look first."""
        expected = f"{self.text()}. " if self.text() else ""
        self.say(
            f"{expected}Least sure of frame {frame} ({confidence:.2f}): if it went wrong, "
            "annotate it too."
        )
