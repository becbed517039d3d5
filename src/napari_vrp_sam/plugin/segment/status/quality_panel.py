"""Expected quality of a result, by class and by frame."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QPushButton, QVBoxLayout, QWidget

from napari_vrp_sam.inference.prediction.confidence import expected_ious, least_confident
from napari_vrp_sam.plugin.layers.frame_view import frame_in_view, frame_number, show_frame
from napari_vrp_sam.plugin.layers.metadata import CLASSES, get_metadata
from napari_vrp_sam.plugin.layers.outputs.accepted import (
    accepted_frames,
    current_result_with_frames,
    result_events,
)
from napari_vrp_sam.plugin.layers.outputs.results import CONFIDENCE
from napari_vrp_sam.plugin.segment.status.confidence_plot import ConfidencePlot
from napari_vrp_sam.plugin.segment.status.run_state import Quality
from napari_vrp_sam.plugin.widgets.controls import pack, set_help

if TYPE_CHECKING:
    import napari
    from napari.layers import Labels

    from napari_vrp_sam.inference.frames import Frames
    from napari_vrp_sam.models.calibration import ClassCalibration
    from napari_vrp_sam.plugin.inputs.image_box import ImageBox

EXPECTED_IOU, CALIBRATIONS = "expected IoU", "calibrations"
"""Metadata keys of the `Quality` of a result, as values that sessions can store."""


def quality_metadata(
    calibrations: Mapping[int, ClassCalibration],
    class_ids: Iterable[int] = (),
    of_frames: Mapping[int, Mapping[int, float]] | None = None,
    annotated: Collection[int] = (),
) -> dict[str, Any]:
    """Return the metadata with which a result keeps its expected quality.

    Parameters
    ----------
    calibrations : mapping of int to ClassCalibration
    class_ids : iterable of int
        All classes; those without calibration have an expected IoU after the run.
    of_frames, annotated
        See `expected_ious`; given once frames are segmented.
    """
    held_out = dict.fromkeys(class_ids) | {c: one.expected_iou for c, one in calibrations.items()}
    return {
        EXPECTED_IOU: list(map(list, expected_ious(held_out, of_frames or {}, annotated).items())),
        CALIBRATIONS: [[class_id, f"{one}."] for class_id, one in calibrations.items()],
    }


class QualityPanel(QWidget):
    """Confidence plot of the image's current result and a button to the next frame to annotate."""

    refreshed = Signal()
    """Emitted when the current result, or its quality, may have changed."""
    asked = Signal(object, str)
    """Emits the result, and the number of its frame that the user wants to correct next."""

    def __init__(self, viewer: napari.viewer.Viewer, image_box: ImageBox) -> None:
        super().__init__()
        self._viewer = viewer
        self._image_box = image_box
        self.plot = ConfidencePlot()
        self.next_button = QPushButton("Next frame to annotate")
        set_help(
            self.next_button,
            "Go to the frame with the lowest confidence that is neither annotated nor accepted, "
            "where a correction helps most, and select the result with the brush.",
        )
        policy = self.sizePolicy()
        policy.setRetainSizeWhenHidden(True)  # the buttons below must not move
        self.setSizePolicy(policy)
        pack(QVBoxLayout(self), self.plot, self.next_button, spacing=4)
        self.plot.chosen.connect(self._show)
        self.next_button.clicked.connect(self._show_next)
        self._emitters = result_events(viewer)
        for emitter in self._emitters:
            emitter.connect(self.refresh)
        viewer.dims.events.current_step.connect(self._mark)
        image_box.chosen.connect(self.refresh)
        self.refresh()

    def refresh(self, _event: Any = None) -> None:
        """Update the panel from the current result; hide it without one."""
        current = self._current()
        self.setVisible(current is not None and len(current[1]) > 1)
        if current is None:
            self.refreshed.emit()
            return
        layer, frames = current
        self.plot.show_stack(len(frames), _confidence(layer), accepted_frames(layer))
        self.next_button.setEnabled(_next_frame(layer) is not None)
        self._mark()
        self.refreshed.emit()

    def quality(self) -> Quality:
        """Return the expected quality of the current result."""
        current = self._current()
        if current is None:
            return Quality()
        layer, frames = current
        frame = _next_frame(layer)
        lowest = None
        if frame is not None and len(frames) > 1:
            lowest = frame_number(frames.position(frame)), _confidence(layer)[frame]
        names = {entry["number"]: entry["name"] for entry in get_metadata(layer, CLASSES) or ()}
        # Earlier versions stored names instead of numbers, and sentences instead of pairs.
        expected = tuple(
            (str(names.get(class_id, class_id)), iou)
            for class_id, iou in get_metadata(layer, EXPECTED_IOU) or ()
        )
        details = tuple(
            one if isinstance(one, str) else f"{names.get(one[0], one[0])}: {one[1]}"
            for one in get_metadata(layer, CALIBRATIONS) or ()
        )
        return Quality(expected, details, lowest)

    def release(self) -> None:
        """Disconnect from the viewer, which is closing."""
        for emitter in self._emitters:
            emitter.disconnect(self.refresh)
        self._viewer.dims.events.current_step.disconnect(self._mark)

    def _current(self) -> tuple[Labels, Frames] | None:
        return current_result_with_frames(self._viewer, self._image_box.layer)

    def _show_next(self, _checked: Any = None) -> None:
        current = self._current()
        frame = _next_frame(current[0]) if current else None
        if current is not None and frame is not None:
            self._show(frame)
            self.asked.emit(current[0], frame_number(current[1].position(frame)))

    def _show(self, frame: int) -> None:
        current = self._current()
        if current is not None:
            show_frame(*current, self._viewer.dims, frame)

    def _mark(self, _event: Any = None) -> None:
        current = self._current()
        if current is not None:
            self.plot.mark(frame_in_view(*current, self._viewer.dims))


def _next_frame(layer: Labels) -> int | None:
    """Return the index of the next frame to annotate."""
    known = {*accepted_frames(layer), *(get_metadata(layer, "reference_frames") or [])}
    lowest = least_confident({i: c for i, c in _confidence(layer).items() if i not in known})
    return lowest.frame if lowest else None


def _confidence(layer: Labels) -> dict[int, float]:
    return dict(get_metadata(layer, CONFIDENCE) or {})
