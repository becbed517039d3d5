"""The steps of the tour through a first segmentation."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from napari.layers import Labels

from napari_vrp_sam.plugin.layers.accepted import accepted_frames, current_result_with_frames
from napari_vrp_sam.plugin.layers.metadata import get_metadata
from napari_vrp_sam.plugin.segment.tour import Step

if TYPE_CHECKING:
    import napari
    from qtpy.QtWidgets import QWidget

    from napari_vrp_sam.plugin.inputs.segment_form import SegmentForm


def tour_steps(
    viewer: napari.viewer.Viewer,
    form: SegmentForm,
    is_running: Callable[[], bool],
    *,
    segment_button: QWidget,
    confidence_plot: QWidget,
    accept_button: QWidget,
) -> list[Step]:
    """Return the steps from the first stroke to an accepted frame."""

    def result() -> Labels | None:
        current = current_result_with_frames(viewer, form.image_box.layer)
        return current[0] if current is not None else None

    def is_accepted() -> bool:
        layer = result()
        return layer is not None and bool(accepted_frames(layer))

    return [
        Step(
            "This sample shows moving nuclei at 20 time points. Press <b>Scribble</b> to add a "
            "layer to draw in.",
            lambda _: bool(form.annotation_list.annotations),
            form.draw_buttons["scribble"],
        ),
        Step(
            "<b>Draw</b> a stroke through a nucleus in the image with the mouse button pressed. "
            "Two or three nuclei are even better.",
            lambda _: _is_drawn(form),
        ),
        Step(
            "Press <b>Segment stack</b>. The frames are filled from yours outwards; you can scroll "
            "and zoom meanwhile.",
            lambda _: not is_running() and result() is not None,
            segment_button,
        ),
        Step(
            "Each bar is the <b>confidence</b> of one frame. Click a low bar, or move the slider "
            "below the image.",
            lambda sliders: viewer.dims.current_step != sliders,
            confidence_plot,
        ),
        Step(
            "Select the result in the layer list, and paint or erase what is wrong on this frame. "
            "Then press <b>Accept</b>.",
            lambda _: is_accepted(),
            accept_button,
        ),
        Step(
            "<b>Done.</b> The next run learns from the accepted frame and does not change it. Now "
            "open your own stack.",
            lambda _: False,
        ),
    ]


def _is_drawn(form: SegmentForm) -> bool:
    for annotation in form.annotation_list.annotations:
        layer = annotation.layer
        if not isinstance(layer, Labels):
            drawn = len(layer.data) > 0
        else:  # a user's own layer counts as drawn, as searching it may be slow
            drawn = get_metadata(layer, "drawing") is None or bool(layer.data.any())
        if drawn:
            return True
    return False
