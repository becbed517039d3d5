"""Keeps the classes in step with the viewer's layers: which is drawn, where, in what colour."""

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
from napari_vrp_sam.plugin.layers.colours import (
    choose_colour,
    default_colour,
    drawn_classes,
    has_class,
    show_colours,
    takes_colours,
)
from napari_vrp_sam.plugin.layers.metadata import note, noted
from napari_vrp_sam.plugin.layers.outlines import is_preview
from napari_vrp_sam.plugin.layers.results import is_result
from napari_vrp_sam.plugin.layers.undo import unwrapped

if TYPE_CHECKING:
    import napari

    from napari_vrp_sam.plugin.classes.annotation_list import AnnotationList

CLASSES = "classes"
"""What a result notes: its classes as dicts of number, name and colour."""
DRAWN = "paint", "data"
"""Events of a layer after which a class may be drawn that is not in the list."""
CHOSEN = "selected_label", "feature_defaults"
"""Events of a layer after which another class may be the one that is drawn next."""


class ClassLink(QObject):
    """Follows the layers in which classes are drawn; see `class_layers`.

    Signals
    -------
    warned : (sentence,)
        A class that cannot be drawn.
    """

    warned = Signal(str)

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
        self._held = False
        self._followed: Any = None
        self._seen: weakref.WeakSet[Layer] = weakref.WeakSet()
        self._colours = classes.colours()
        classes.chosen.connect(self._draw_chosen)
        classes.changed.connect(self._show_classes)
        annotation_list.changed.connect(self._follow_layers)
        viewer.layers.selection.events.active.connect(self._follow_active)
        self._follow_layers()

    def enable_keys(self, *, held: bool) -> None:
        """Let the number keys choose classes, or give them back to napari."""
        self._held = held
        self._keys.bind(self._followed if held else None)

    def release(self) -> None:
        """Let go of the viewer, which is closing."""
        self._viewer.layers.selection.events.active.disconnect(self._follow_active)
        self._follow(None)

    def _follow_layers(self) -> None:
        for layer in self._coloured():
            if layer not in self._seen:
                self._seen.add(layer)
                self._take_in(layer)
        self._follow_active()

    def _take_in(self, layer: Labels | Points | Shapes) -> None:
        """A layer that is new here: its classes into the list, their colours onto the layer."""
        if is_result(layer):
            facts = noted(layer, CLASSES) or []
            self._classes.include(ClassEntry(**fact) for fact in facts)
            # Searching a whole result would take long: a result knows its classes.
            numbers = {fact["number"] for fact in facts}
            # It becomes the active layer, and would change the choice of the user.
            if self._classes.current in numbers:
                layer.selected_label = self._classes.current
        else:
            numbers = drawn_classes(layer)
        self._classes.include(ClassEntry.of(number) for number in numbers)
        # Colours that the user gave to a layer of his own stay until he changes one in the list.
        plain = isinstance(layer, Labels) and isinstance(layer.colormap, CyclicLabelColormap)
        if plain or noted(layer, "drawing"):
            self._colour(layer)

    def _follow_active(self, _event: Any = None) -> None:
        active = self._viewer.layers.selection.active
        layers = class_layers(self._viewer, self._annotation_list)
        self._follow(unwrapped(active) if active in layers else None)
        self._show_class()

    def _follow(self, layer: Any) -> None:
        self._keys.bind(layer if self._held else None)
        if layer is self._followed:
            return
        for followed, connected in ((self._followed, False), (layer, True)):
            for names, callback in ((DRAWN, self._show_drawn), (CHOSEN, self._show_class)):
                for name in names if followed is not None else ():
                    emitter = followed.events.emitters.get(name)
                    if emitter is not None:
                        (emitter.connect if connected else emitter.disconnect)(callback)
        self._followed = layer

    def _show_class(self, _event: Any = None) -> None:
        """The active layer draws a class: so does the list."""
        number = _drawing_class(self._followed)
        # Label 0 erases: that is no class, and the choice stays.
        if 1 <= number <= MAX_CLASS:
            self._classes.choose(number)

    def _show_drawn(self, _event: Any = None) -> None:
        """What is drawn now may be of a class that is not in the list."""
        layer = self._followed
        if not isinstance(layer, Labels):
            numbers = drawn_classes(layer)
        elif str(layer.mode) != "erase" and layer.selected_label > 0:
            numbers = {int(layer.selected_label)}
        else:
            return
        self._classes.include(ClassEntry.of(number) for number in numbers)
        if is_result(layer):
            self._name_classes(layer, numbers)

    def _draw_chosen(self, number: int) -> None:
        """The list has another class: so has what the active layer draws next."""
        layer = self._followed
        if layer is None or _drawing_class(layer) == number:
            return
        try:
            set_drawing_class(layer, number, self._colours.get(number))
        except ValueError:  # napari's own sentence tells of data types
            self.warned.emit(
                f"'{layer.name}' cannot hold class {number}: convert it to another data type."
            )
            return
        if not isinstance(layer, Labels):
            show_colours(layer, self._colours)

    def _choose_by_key(self, number: int) -> None:
        if number in self._classes:
            self._classes.choose(number)
        else:
            self.warned.emit(f"There is no class {number} yet: press + to add one.")

    def _show_classes(self) -> None:
        """The list has changed: so do colours in all layers, and names in results."""
        before, self._colours = self._colours, self._classes.colours()
        recoloured = any(
            _colour(before, number) != _colour(self._colours, number)
            for number in {*before, *self._colours}
        )
        for layer in self._coloured():
            if is_result(layer):
                self._name_classes(layer)
            if recoloured:
                self._colour(layer)

    def _coloured(self) -> list[Labels | Points | Shapes]:
        """Layers that show classes; in the preview nobody draws."""
        previews = [layer for layer in self._viewer.layers if is_preview(layer)]
        return [*class_layers(self._viewer, self._annotation_list), *previews]

    def _colour(self, layer: Labels | Points | Shapes) -> None:
        """Give a layer the colours of the list, for what is drawn and what will be."""
        if takes_colours(layer):
            show_colours(layer, self._colours)
            if not isinstance(layer, Labels):
                choose_colour(layer, _colour(self._colours, _drawing_class(layer)))

    def _name_classes(self, layer: Labels, more: set[int] | None = None) -> None:
        known = {fact["number"]: fact for fact in noted(layer, CLASSES) or []}
        listed = self._classes.facts({*known, *(more or ())})
        known.update({fact["number"]: fact for fact in listed})
        note(layer, **{CLASSES: [known[number] for number in sorted(known)]})


def class_layers(
    viewer: napari.viewer.Viewer, annotation_list: AnnotationList
) -> list[Labels | Points | Shapes]:
    """Layers that the plugin made, its results, and those that are ticked as annotations.

    Other layers of the user keep their colours and their keys.
    """
    ticked = [annotation.layer for annotation in annotation_list.annotations]
    return [
        layer
        for layer in viewer.layers
        if isinstance(layer, ANNOTATION_LAYERS)
        and (layer in ticked or noted(layer, "drawing") or is_result(layer))
    ]


def layer_showing(
    viewer: napari.viewer.Viewer, annotation_list: AnnotationList, number: int
) -> str | None:
    """Name of an annotation layer in which a class is drawn, else None."""
    for layer in class_layers(viewer, annotation_list):
        if not is_result(layer) and has_class(layer, number):
            return str(layer.name)
    return None


def _drawing_class(layer: Labels | Points | Shapes | None) -> int:
    """The class that a layer draws next; 0 if none can be told."""
    try:
        return drawing_class(layer) if layer is not None else 0
    except InputError:  # the run will say what is wrong with it
        return 0


def _colour(colours: dict[int, str], number: int) -> str:
    return colours.get(number) or default_colour(number)
