"""Synchronisation of image and annotations between the docks of a viewer."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, ClassVar

from qtpy.QtCore import QObject

if TYPE_CHECKING:
    import napari

    from napari_vrp_sam.plugin.classes.annotation_list import AnnotationList
    from napari_vrp_sam.plugin.inputs.image_box import ImageBox


class SharedSelection(QObject):
    """Keep image and ticked annotations the same in all docks of a viewer.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
    image_box : ImageBox
    annotation_list : AnnotationList
        Both take the selection of an open dock at the start.
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
        self._image_box = image_box
        self._annotation_list = annotation_list
        self._copying = False
        for other in self._others()[:1]:
            self.copy(other)
        self.instances.add(self)
        image_box.chosen.connect(self._update_others)
        annotation_list.changed.connect(self._update_others)

    def release(self) -> None:
        """Stop the synchronisation; the dock is closing with its window."""
        self.instances.discard(self)

    def copy(self, other: SharedSelection) -> None:
        """Take the selection of another dock, for layers that both docks list already."""
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
