"""Opening of sessions: their layers, and their settings in the form."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import napari
from napari.layers import Image, Labels
from napari.utils.notifications import show_warning

from napari_vrp_sam.errors import InputError
from napari_vrp_sam.io.sessions.image import IMAGE_COPY, open_image
from napari_vrp_sam.io.sessions.session import (
    SUFFIX,
    ObjectOptions,
    Session,
    Settings,
    read_session,
)
from napari_vrp_sam.io.sessions.values import json_copy
from napari_vrp_sam.models.zoo.registry import missing_model_message
from napari_vrp_sam.plugin.classes.classes import ClassEntry
from napari_vrp_sam.plugin.layers.belonging import ANNOTATION_OF, SESSION_ID
from napari_vrp_sam.plugin.layers.calibration import SOURCE
from napari_vrp_sam.plugin.layers.frame_view import show_frame
from napari_vrp_sam.plugin.layers.metadata import get_metadata, set_metadata
from napari_vrp_sam.plugin.layers.outputs.result_settings import NEXT_RUN
from napari_vrp_sam.plugin.layers.outputs.results import RESULT_OF
from napari_vrp_sam.plugin.layers.stacks import frames_of
from napari_vrp_sam.plugin.reading.reader import NOTHING, read_folder
from napari_vrp_sam.plugin.session.layers import (
    LayerTuple,
    image_tuple,
    layer_tuple,
    restore_drawing_settings,
    result_tuple,
    take_kept_levels,
)

if TYPE_CHECKING:
    from napari_vrp_sam.plugin.inputs.segment_form import SegmentForm
    from napari_vrp_sam.plugin.objects.form import ObjectsForm

SESSION, CHOICES = "session", "choices"
"""Metadata keys of a session's image: the session's folder; settings that are not applied yet."""


def session_reader(path: Any) -> Callable[[Any], list[Any]] | None:
    """Return a napari reader if the path is a session, or another folder.

    napari offers this reader for all folders, whatever their names; those of pictures open as a
    stack.
    """
    if isinstance(path, list):
        return None
    if str(path).rstrip("/\\").endswith(SUFFIX):
        return _read_layers
    return read_folder if Path(path).is_dir() else None


def session_layers(folder: Path, image_path: Path | None = None) -> list[LayerTuple]:
    """Return the layers of a session: image (at `image_path` if moved), annotations and result.

    Raises
    ------
    InputError
        If the session or its image cannot be read.
    """
    session = read_session(folder)
    data = open_image(folder, session.image, image_path)
    image, token = session.image, uuid.uuid4().hex
    metadata: dict[str, Any] = {
        SESSION: str(folder.absolute()),
        SOURCE: str(image_path or image.source or folder.absolute() / IMAGE_COPY),
        SESSION_ID: token,
        CHOICES: _choices(session),
    }
    # With the result, whose own settings may be others, and which is added after the image.
    next_run = {NEXT_RUN: session.settings.clean_up}
    if session.result is None:
        metadata |= next_run
    layers = [image_tuple(data, image.attributes, metadata)]
    layers += [layer_tuple(layer, token) for layer in session.layers]
    if session.result is not None:
        layers.append(result_tuple(session.result, image.shape, image.axes, token, next_run))
    return layers


def apply_opened_sessions(
    viewer: napari.viewer.Viewer,
    form: SegmentForm,
    objects: ObjectsForm,
    warn: Callable[[str], None],
) -> bool:
    """Link results to images and apply settings of new sessions; return False if there are none."""
    changed = False
    for image in list(viewer.layers):
        token = get_metadata(image, SESSION_ID) if isinstance(image, Image) else None
        if not token:
            continue
        for layer in viewer.layers:
            restore_drawing_settings(layer)
            if isinstance(layer, Labels) and get_metadata(layer, RESULT_OF) == token:
                set_metadata(layer, **{RESULT_OF: image.unique_id})
                try:
                    take_kept_levels(layer)
                except InputError as error:  # the labels are shown without them
                    warn(str(error))
                changed = True
        choices = get_metadata(image, CHOICES)
        if choices is not None:
            set_metadata(image, **{CHOICES: None})
            _apply_choices(viewer, form, image, choices, warn)
            if choices["objects"] is not None:
                objects.set_options(ObjectOptions(**choices["objects"]))
            changed = True
    return changed


def apply_session(
    viewer: napari.viewer.Viewer,
    form: SegmentForm,
    image: Image,
    session: Session,
    warn: Callable[[str], None],
) -> None:
    """Apply the settings and classes of a session to the form, and choose an image."""
    _apply_choices(viewer, form, image, _choices(session), warn)


def _choices(session: Session) -> dict[str, Any]:
    classes = [item._asdict() for item in session.classes]
    return json_copy({"axes": session.image.axes, **asdict(session.settings), "classes": classes})


def _apply_choices(
    viewer: napari.viewer.Viewer,
    form: SegmentForm,
    image: Image,
    choices: dict[str, Any],
    warn: Callable[[str], None],
) -> None:
    axes, classes = choices.pop("axes"), choices.pop("classes")
    settings = Settings(**choices)
    form.image_box.choose(image)
    # Layers that the user added; those of the session, which may follow, keep their ticks.
    for row in form.annotation_list.rows:
        if get_metadata(row.layer, ANNOTATION_OF) != get_metadata(image, SESSION_ID):
            form.annotation_list.tick(row.layer, on=False)
    form.choose_axes(axes)
    missing = missing_model_message(settings.model)
    if missing:
        warn(missing)
    else:
        form.model_box.choose(settings.model)
    form.device_box.setCurrentText(settings.device)
    form.radius_box.setValue(settings.point_radius or 0)
    form.tile_box.setValue(settings.tile_size or 0)
    form.prompting_box.choose(settings.prompting)
    form.neighbours_box.setChecked(settings.neighbours)
    form.frame_range.choose(settings.frames)
    if settings.channels is not None:
        form.channel_box.choose(settings.channels)
    entries = [ClassEntry(**item) for item in classes]
    if entries:
        form.class_list.classes.replace_all(entries)
    if settings.frame_in_view is not None:
        show_frame(image, frames_of(image, axes), viewer.dims, settings.frame_in_view)


def _read_layers(path: Any) -> list[Any]:
    try:
        return session_layers(Path(path))
    except InputError as error:
        show_warning(str(error))
        return [NOTHING]
