"""A session -> layers, and the choices that its image brings to the panel."""

from __future__ import annotations

import uuid
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari.layers import Image, Labels
from napari.utils.notifications import show_warning

from napari_vrp_sam.errors import InputError
from napari_vrp_sam.io.sessions.image import COPY, open_image
from napari_vrp_sam.io.sessions.session import SUFFIX, Session, SessionClass, Settings, read_session
from napari_vrp_sam.io.sessions.values import as_kept
from napari_vrp_sam.models.zoo.registry import missing_model
from napari_vrp_sam.plugin.classes.classes import ClassEntry
from napari_vrp_sam.plugin.layers.frame_view import show_frame
from napari_vrp_sam.plugin.layers.metadata import note, noted
from napari_vrp_sam.plugin.layers.results import RESULT_OF
from napari_vrp_sam.plugin.layers.stacks import frames_of
from napari_vrp_sam.plugin.session.layers import (
    LayerTuple,
    image_tuple,
    layer_tuple,
    result_tuple,
    take_up_pen,
)
from napari_vrp_sam.plugin.session.saving import SOURCE

if TYPE_CHECKING:
    from collections.abc import Callable

    import napari

    from napari_vrp_sam.plugin.inputs.segment_form import SegmentForm

SESSION, CHOICES, TOKEN = "session", "choices", "token"
"""What an image out of a session notes: its folder; what is to be chosen in the panel; and what
its result notes as its image until both have an id in the window."""


def session_reader(path: Any) -> Callable[[Any], list[Any]] | None:
    """Reader for napari: opens a folder that is a session."""
    if isinstance(path, list) or not str(path).rstrip("/\\").endswith(SUFFIX):
        return None
    return _read_layers


def session_layers(folder: Path, given: Path | None = None) -> list[LayerTuple]:
    """Layers of a session: its image, what was drawn on it, and the result.

    Parameters
    ----------
    folder : Path
    given : Path, optional
        Where the image is now.

    Raises
    ------
    InputError
        If the session or its image cannot be read.
    """
    session = read_session(folder)
    data = open_image(folder, session.image, given)
    image, token = session.image, uuid.uuid4().hex
    facts = {
        SESSION: str(folder.absolute()),
        SOURCE: str(given or image.source or folder.absolute() / COPY),
        TOKEN: token,
        CHOICES: _choices(session),
    }
    layers = [image_tuple(data, image.attributes, facts)]
    layers += [layer_tuple(layer) for layer in session.layers]
    if session.result is not None:
        layers.append(result_tuple(session.result, image.shape, image.axes, token))
    return layers


def settle_in(viewer: napari.viewer.Viewer, form: SegmentForm) -> bool:
    """Make what was opened the business of the panel; whether there was anything new."""
    images = [layer for layer in viewer.layers if isinstance(layer, Image) and noted(layer, TOKEN)]
    news = False
    for image in images:
        for layer in viewer.layers:
            take_up_pen(layer)
            if isinstance(layer, Labels) and noted(layer, RESULT_OF) == noted(image, TOKEN):
                note(layer, **{RESULT_OF: image.unique_id})
                news = True
        calibrations = noted(image, CHOICES)
        if calibrations is not None:
            note(image, **{CHOICES: None})
            _choose(viewer, form, image, calibrations)
            news = True
    return news


def _choices(session: Session) -> dict[str, Any]:
    classes = [item._asdict() for item in session.classes]
    return as_kept({"axes": session.image.axes, **asdict(session.settings), "classes": classes})


def _choose(
    viewer: napari.viewer.Viewer, form: SegmentForm, image: Image, calibrations: dict[str, Any]
) -> None:
    axes, classes = calibrations.pop("axes"), calibrations.pop("classes")
    settings = Settings(**calibrations)
    form.image_box.choose(image)
    # What is ticked now lies on other images; layers of the session follow, with their own ticks.
    for row in form.annotation_list.rows:
        form.annotation_list.tick(row.layer, on=False)
    form.axes_box.setCurrentText(axes)
    missing = missing_model(settings.model)
    if missing:
        form.warned.emit(missing)
    else:
        form.model_box.choose(settings.model)
    form.device_box.setCurrentText(settings.device)
    form.radius_box.setValue(settings.point_radius or 0)
    form.tile_box.setValue(settings.tile or 0)
    form.frame_range.choose(settings.frames)
    if settings.channels is not None:
        form.channel_box.choose(settings.channels)
    list_classes(form, [SessionClass(**item) for item in classes])
    if settings.frame_in_view is not None:
        show_frame(image, frames_of(image, axes), viewer.dims, settings.frame_in_view)


def list_classes(form: SegmentForm, classes: list[SessionClass]) -> None:
    """Let the form list the classes of a session, before its other classes of the same numbers."""
    numbers = {item.number for item in classes}
    others = [entry for entry in form.class_list.classes if entry.number not in numbers]
    form.class_list.set_classes([*(ClassEntry(*item) for item in classes), *others])


def _read_layers(path: Any) -> list[Any]:
    try:
        return session_layers(Path(path))
    except InputError as mistake:
        show_warning(str(mistake))
        return [(None,)]  # napari's word for: read, and there is nothing to show
