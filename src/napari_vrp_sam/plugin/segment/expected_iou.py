"""The sentence that tells what a result is worth."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import TYPE_CHECKING

from napari_vrp_sam.plugin.widgets.controls import MessageLabel, set_help

if TYPE_CHECKING:
    from napari_vrp_sam.models.calibration import ClassCalibration


class ExpectedIoULabel(MessageLabel):
    """Says what to expect before the first frame comes, and where to look after the last one."""

    _expected = ""

    def forget(self) -> None:
        """A run starts, of which nothing is known yet."""
        self._expected = ""
        self.show_message("")

    def show_choices(
        self, calibrations: Mapping[int, ClassCalibration], names: Mapping[int, str]
    ) -> None:
        """Expected IoU of each class, where the annotation tells it."""
        expected = {
            class_id: "unknown" if choice.expected_iou is None else f"{choice.expected_iou:.2f}"
            for class_id, choice in calibrations.items()
        }
        if any(choice.expected_iou is not None for choice in calibrations.values()):
            texts = [f"{names[class_id]} {iou}" for class_id, iou in expected.items()]
            self._expected = f"Expected IoU: {', '.join(texts)}"
            self.show_message(self._expected)
        details = [
            f"{escape(names[class_id])}: {choice}." for class_id, choice in calibrations.items()
        ]
        set_help(
            self,
            "Measured by holding back half of the mask annotation and segmenting it by the other "
            "half.<br>" + "<br>".join(details),
        )

    def show_least_confident(self, least: tuple[str, float] | None) -> None:
        """Where to look first: a frame and its confidence, if there is one left to look at."""
        if least is None:
            self.show_message(self._expected)
            return
        frame, confidence = least
        expected = f"{self._expected}. " if self._expected else ""
        self.show_message(
            f"{expected}Least sure of frame {frame} ({confidence:.2f}): if it went wrong, "
            "annotate it too."
        )
