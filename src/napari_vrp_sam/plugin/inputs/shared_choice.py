"""Synchronisation of image and annotations between the forms of a viewer and its selection."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any, ClassVar

from qtpy.QtCore import QObject

from napari_vrp_sam.plugin.layers.belonging import image_of

if TYPE_CHECKING:
    import napari

    from napari_vrp_sam.plugin.classes.annotation_list import AnnotationList
    from napari_vrp_sam.plugin.inputs.image_box import ImageBox


class SharedSelection(QObject):
    """Keep image and ticked annotations the same in all forms, and follow the selected layer.

    Selecting an image, or a layer that the plugin added for an image, chooses this image, unless a
    form is locked by a run.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
    image_box : ImageBox
    annotation_list : AnnotationList
        Both take the selection of an open form at the start.
    """

    instances: ClassVar[weakref.WeakSet[SharedSelection]] = weakref.WeakSet()

    def __init__(
        self,
        viewer: napari.viewer.Viewer,
        image_box: ImageBox,
        annotation_list: AnnotationList,
        parent: QObject,
    ) -> None:
        super().__init__(parent)
        self.viewer = viewer
        self.locked = False
        self._image_box = image_box
        self._annotation_list = annotation_list
        self._copying = False
        for other in self._others()[:1]:
            self.copy(other)
        self.instances.add(self)
        image_box.chosen.connect(self._on_chosen)
        annotation_list.changed.connect(self._update_others)
        viewer.layers.selection.events.active.connect(self._follow)

    def release(self) -> None:
        """Stop the synchronisation; the dock is closing with its window."""
        self.instances.discard(self)
        self.viewer.layers.selection.events.active.disconnect(self._follow)

    def copy(self, other: SharedSelection) -> None:
        """Take the selection of another form, for layers that both forms list already."""
        self._copying = True
        image = other._image_box.layer
        if image is not None:
            self._image_box.choose(image)
        rows = {row.layer: row for row in self._annotation_list.rows}
        for row in other._annotation_list.rows:
            own = rows.get(row.layer)
            if own is None:
                continue
            if own.ticked != row.ticked:
                self._annotation_list.tick(row.layer, on=row.ticked)
            if own.kind != row.kind:
                self._annotation_list.set_kind(row.layer, row.kind)
        self._copying = False

    def _others(self) -> list[SharedSelection]:
        return [one for one in self.instances if one is not self and one.viewer is self.viewer]

    def _update_others(self) -> None:
        if not self._copying:
            for other in self._others():
                other.copy(self)

    def _follow(self, _event: Any = None) -> None:
        """Choose the image of the selected layer."""
        image = image_of(self.viewer, self.viewer.layers.selection.active)
        if image is not None and not any(one.locked for one in (self, *self._others())):
            self._image_box.choose(image)

    def _on_chosen(self) -> None:
        self._update_others()
        # A layer of another image must not stay selected: the plugin selects the active layer
        # again after it has added a layer, and the choice would follow it.
        selection, image = self.viewer.layers.selection, self._image_box.layer
        if image is not None and image_of(self.viewer, selection.active) not in (None, image):
            selection.active = image
