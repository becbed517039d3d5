"""Synchronisation of the class list with the layers in which classes are drawn and shown."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any

from napari.layers import Labels, Layer, Points, Shapes
from napari.utils.colormaps import CyclicLabelColormap
from qtpy.QtCore import QObject, Signal

from napari_vrp_sam.errors import InputError
from napari_vrp_sam.plugin.classes.annotation_layers import drawing_class, set_drawing_class
from napari_vrp_sam.plugin.classes.class_keys import ClassKeys
from napari_vrp_sam.plugin.classes.classes import MAX_CLASS, ClassEntry, Classes
from napari_vrp_sam.plugin.layers.annotations import ANNOTATION_LAYERS
from napari_vrp_sam.plugin.layers.appearance.palette import default_colour
from napari_vrp_sam.plugin.layers.appearance.styles import style_of
from napari_vrp_sam.plugin.layers.belonging import image_of
from napari_vrp_sam.plugin.layers.colours import (
    apply_class_colours,
    contains_objects,
    drawn_classes,
    has_class,
    set_drawing_colour,
)
from napari_vrp_sam.plugin.layers.metadata import (
    CLASSES,
    NOT_THIS,
    background_label,
    get_metadata,
    set_metadata,
    unwrap,
)
from napari_vrp_sam.plugin.layers.outputs.outlines import is_preview_layer
from napari_vrp_sam.plugin.layers.outputs.results import is_result_layer

if TYPE_CHECKING:
    import napari

    from napari_vrp_sam.plugin.classes.annotation_list import AnnotationList

DRAWN = "paint", "data"
"""Layer events after which the layer may contain a class that is not in the list."""
CHOSEN = "selected_label", "feature_defaults"
"""Layer events after which another class may be current."""


class ClassLink(QObject):
    """Synchronise classes, colours and number keys with the layers of `class_layers`."""

    warned = Signal(str)
    """Emits a message if a class does not exist or cannot be drawn in the active layer."""

    followed = Signal(str)
    """Emits a message after the selection of an annotation layer has changed the current class."""

    def __init__(
        self,
        viewer: napari.viewer.Viewer,
        annotation_list: AnnotationList,
        classes: Classes,
        parent: QObject | None = None,
    ) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._annotation_list = annotation_list
        self._classes = classes
        self._keys = ClassKeys(self._choose_by_key)
        self._keys_enabled = False
        self._active: Any = None
        # By the unique id of the image, because a layer may annotate several images.
        self._known: dict[Any, weakref.WeakSet[Layer]] = {}
        self._selected: weakref.WeakSet[Layer] = weakref.WeakSet()
        self._colours = classes.colours()
        classes.switched.connect(self._switch)
        classes.chosen.connect(self._draw_chosen)
        classes.changed.connect(self._show_classes)
        annotation_list.changed.connect(self._follow_layers)
        viewer.layers.selection.events.active.connect(self._follow_active)
        self._follow_layers()

    def enable_keys(self, *, enabled: bool) -> None:
        """Bind the number keys to classes, or restore napari's bindings."""
        self._keys_enabled = enabled
        self._keys.bind(self._active if enabled else None)

    def release(self) -> None:
        """Disconnect from the viewer, which is closing."""
        self._viewer.layers.selection.events.active.disconnect(self._follow_active)
        self._follow(None)

    def _switch(self) -> None:
        """Follow the choice of another image, whose layers have their colours already."""
        self._colours = self._classes.colours()
        self._follow(None)  # a layer of the image before, whose class stays

    def _follow_layers(self) -> None:
        image = self._annotation_list.image
        image_id = None if image is None else image.unique_id
        self._classes.follow(image_id)
        known = self._known.setdefault(image_id, weakref.WeakSet())
        for layer in self._coloured():
            if layer not in known:
                known.add(layer)
                self._add_layer(layer)
        self._follow_active()

    def _add_layer(self, layer: Labels | Points | Shapes) -> None:
        """Add the classes of a new layer to the list, and apply the list's colours to it."""
        if is_result_layer(layer):
            # Read the metadata, because a search of all labels would be slow.
            entries = [ClassEntry(**item) for item in get_metadata(layer, CLASSES) or []]
            self._classes.include(entries)
            numbers = {entry.number for entry in entries}
            # The result becomes the active layer, but must not change the current class.
            if self._classes.current in numbers:
                layer.selected_label = self._classes.current
        else:
            numbers = drawn_classes(layer)
        self._classes.include(map(ClassEntry.default, numbers))
        # Keep colours that the user gave to a layer until a colour changes in the list.
        default = isinstance(layer, Labels) and isinstance(layer.colormap, CyclicLabelColormap)
        if default or style_of(layer) or get_metadata(layer, "drawing"):
            self._colour(layer)

    def _follow_active(self, _event: Any = None) -> None:
        active = self._viewer.layers.selection.active
        layers = class_layers(self._viewer, self._annotation_list)
        before = self._active
        self._follow(unwrap(active) if active in layers else None)
        if self._active in (None, before):
            self._show_class()
            return
        if is_result_layer(self._active):
            # Looking at a result must not change what is drawn next.
            self._draw_chosen(self._classes.current)
            return
        current = self._classes.current
        self._show_class()
        number = self._classes.current
        returned = self._active in self._selected
        self._selected.add(self._active)
        # A layer that was just added, or opened with a session, is no surprise.
        if returned and number not in (current, NOT_THIS):
            name = self._classes.name(number)
            self.followed.emit(f"Drawing {name} now, as in '{self._active.name}'.")

    def _follow(self, layer: Any) -> None:
        self._keys.bind(layer if self._keys_enabled else None)
        if layer is self._active:
            return
        for followed, connected in ((self._active, False), (layer, True)):
            for names, callback in ((DRAWN, self._show_drawn), (CHOSEN, self._show_class)):
                for name in names if followed is not None else ():
                    emitter = followed.events.emitters.get(name)
                    if emitter is not None:
                        (emitter.connect if connected else emitter.disconnect)(callback)
        self._active = layer

    def _show_class(self, _event: Any = None) -> None:
        """Make the class that the active layer draws the current one."""
        number = _drawing_class(self._active)
        # Label 0 erases and does not change the current class.
        if 1 <= number <= MAX_CLASS or number == NOT_THIS:
            self._classes.choose(number)

    def _show_drawn(self, _event: Any = None) -> None:
        """Add classes that were just drawn to the list."""
        layer = self._active
        if not isinstance(layer, Labels):
            numbers = drawn_classes(layer)
        elif str(layer.mode) != "erase" and layer.selected_label > 0:
            numbers = {int(layer.selected_label)} - {background_label(layer)}
        else:
            return
        self._classes.include(map(ClassEntry.default, numbers))
        if is_result_layer(layer):
            self._name_classes(layer, numbers)

    def _draw_chosen(self, number: int) -> None:
        """Draw the current class in the active layer."""
        layer = self._active
        if layer is None or _drawing_class(layer) == number:
            return
        try:
            set_drawing_class(layer, number, self._colours.get(number))
        except InputError as error:
            self.warned.emit(str(error))
            return
        except ValueError:  # napari's message is about dtypes
            self.warned.emit(
                f"'{layer.name}' cannot hold class {number}: convert it to another data type."
            )
            return
        if number == NOT_THIS or not isinstance(layer, Labels):
            apply_class_colours(layer, self._colours)

    def _choose_by_key(self, number: int) -> None:
        if number == 0:
            self._classes.choose(NOT_THIS)
        elif number in self._classes:
            self._classes.choose(number)
        else:
            self.warned.emit(f"Class {number} does not exist: press + to add a class.")

    def _show_classes(self) -> None:
        """Apply the list's colours to all layers, and its names to results."""
        before, self._colours = self._colours, self._classes.colours()
        recoloured = any(
            _colour(before, number) != _colour(self._colours, number)
            for number in {*before, *self._colours}
        )
        for layer in self._coloured():
            if is_result_layer(layer):
                self._name_classes(layer)
            if recoloured:
                self._colour(layer)

    def _coloured(self) -> list[Labels | Points | Shapes]:
        """Return the layers that show classes, previews of classes included."""
        # Previews of objects have no style.
        previews = [
            layer for layer in self._viewer.layers if is_preview_layer(layer) and style_of(layer)
        ]
        return [*class_layers(self._viewer, self._annotation_list), *previews]

    def _colour(self, layer: Labels | Points | Shapes) -> None:
        """Apply the list's colours to existing and new drawings of a layer."""
        if contains_objects(layer) is False:
            apply_class_colours(layer, self._colours)
            if not isinstance(layer, Labels):
                set_drawing_colour(layer, _colour(self._colours, _drawing_class(layer)))

    def _name_classes(self, layer: Labels, more: set[int] | None = None) -> None:
        known = {item["number"]: item for item in get_metadata(layer, CLASSES) or []}
        listed = self._classes.as_dicts({*known, *(more or ())})
        known.update({item["number"]: item for item in listed})
        set_metadata(layer, **{CLASSES: [known[number] for number in sorted(known)]})


def class_layers(
    viewer: napari.viewer.Viewer, annotation_list: AnnotationList
) -> list[Labels | Points | Shapes]:
    """Return the chosen image's layers that the plugin created, and its ticked annotations.

    All other layers keep their colours and key bindings.
    """
    image = annotation_list.image
    ticked = [annotation.layer for annotation in annotation_list.annotations]
    return [
        layer
        for layer in viewer.layers
        if isinstance(layer, ANNOTATION_LAYERS)
        and (layer in ticked or get_metadata(layer, "drawing") or is_result_layer(layer))
        and (image is None or image_of(viewer, layer) in (None, image))
    ]


def layer_with_class(
    viewer: napari.viewer.Viewer, annotation_list: AnnotationList, number: int
) -> str | None:
    """Return the name of an annotation layer in which a class is drawn, or None."""
    for layer in class_layers(viewer, annotation_list):
        if not is_result_layer(layer) and has_class(layer, number):
            return str(layer.name)
    return None


def _drawing_class(layer: Labels | Points | Shapes | None) -> int:
    """Return the class of new drawings in a layer; 0 if there is none."""
    try:
        return drawing_class(layer) if layer is not None else 0
    except InputError:  # invalid class values; a run will report them
        return 0


def _colour(colours: dict[int, str], number: int) -> str:
    return colours.get(number) or default_colour(number)
