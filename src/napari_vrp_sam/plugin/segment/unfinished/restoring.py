"""Inputs of an interrupted run, as they were when it started."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari.layers import Image, Layer

from napari_vrp_sam.plugin.layers.metadata import set_metadata
from napari_vrp_sam.plugin.layers.outputs.result_settings import NEXT_RUN
from napari_vrp_sam.plugin.session.layers import NOTES, layer_tuple, restore_drawing_settings
from napari_vrp_sam.plugin.session.opening import apply_session

if TYPE_CHECKING:
    from collections.abc import Callable

    import napari

    from napari_vrp_sam.io.sessions.session import Session
    from napari_vrp_sam.plugin.inputs.segment_form import SegmentForm


def restore_inputs(
    viewer: napari.viewer.Viewer,
    form: SegmentForm,
    image: Image,
    session: Session,
    warn: Callable[[str], None],
) -> None:
    """Apply the settings and classes of a run, and add its annotation layers.

    Layers that are still in the viewer, because only the dock was closed, stay as they are.
    """
    set_metadata(image, **{NEXT_RUN: session.settings.clean_up})
    apply_session(viewer, form, image, session, warn)
    present = {row.layer.name: row.layer for row in form.annotation_list.rows}
    for stored in session.layers:
        layer = present.get(stored.attributes["name"])
        if layer is None:
            layer = Layer.create(*layer_tuple(stored, image.unique_id))
            viewer.add_layer(layer)
            restore_drawing_settings(layer)
        form.annotation_list.tick(layer, on=bool(stored.attributes[NOTES]["ticked"]))
