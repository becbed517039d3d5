"""Lists of annotations and boxes of images that choose the same in all docks of a viewer."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING

from qtpy.QtCore import QObject

if TYPE_CHECKING:
    import napari

    from napari_vrp_sam.plugin.classes.annotation_list import AnnotationList
    from napari_vrp_sam.plugin.inputs.image_box import ImageBox

_all: weakref.WeakSet[SharedSelection] = weakref.WeakSet()


class SharedSelection(QObject):
    """What is ticked or chosen in one dock is so in the others of the same viewer.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
    image_box : ImageBox
    annotation_list : AnnotationList
        Start with what is chosen elsewhere already.
    """

    def __init__(
        self,
        viewer: napari.viewer.Viewer,
        image_box: ImageBox,
        annotation_list: AnnotationList,
        parent: QObject,
    ) -> None:
        super().__init__(parent)
        self.viewer = viewer
        self.image_box = image_box
        self.annotation_list = annotation_list
        self._taking = False
        for other in self._others():
            self.take(other)
            break
        _all.add(self)
        image_box.chosen.connect(self._tell)
        annotation_list.changed.connect(self._tell)

    def release(self) -> None:
        """The dock is gone with its window."""
        _all.discard(self)

    def _others(self) -> list[SharedSelection]:
        return [one for one in _all if one is not self and one.viewer is self.viewer]

    def _tell(self) -> None:
        if not self._taking:
            for other in self._others():
                other.take(self)

    def take(self, other: SharedSelection) -> None:
        """Choose as the other does, where both follow the viewer's layers already."""
        self._taking = True
        image = other.image_box.layer
        if image is not None:
            self.image_box.choose(image)
        ours = {row.layer: row for row in self.annotation_list.rows}
        for row in other.annotation_list.rows:
            mine = ours.get(row.layer)
            if mine is None:
                continue
            if mine.ticked != row.ticked:
                self.annotation_list.tick(row.layer, on=row.ticked)
            if mine.sparse != row.sparse:
                self.annotation_list.set_sparse(row.layer, sparse=row.sparse)
        self._taking = False
