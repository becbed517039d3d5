"""Menu of the class list: take over the classes of another image."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QMenu, QToolButton

from napari_vrp_sam.plugin.layers.belonging import user_images
from napari_vrp_sam.plugin.widgets.controls import set_help

if TYPE_CHECKING:
    from collections.abc import Hashable

    import napari

    from napari_vrp_sam.plugin.classes.annotation_list import AnnotationList
    from napari_vrp_sam.plugin.classes.classes import Classes


class ClassMenu(QToolButton):
    """Button with one entry for each image whose classes can be copied.

    These are the other images of the viewer, and the images that were closed.

    Signals
    -------
    copied : (text,)
        The classes of an image were copied.
    """

    copied = Signal(str)

    def __init__(
        self, viewer: napari.viewer.Viewer, annotation_list: AnnotationList, classes: Classes
    ) -> None:
        super().__init__()
        self._viewer = viewer
        self._annotation_list = annotation_list
        self._classes = classes
        self._names: dict[Hashable, str] = {}
        self.setText("…")
        self.setAccessibleName("Copy classes")
        self.setPopupMode(QToolButton.ToolButtonPopupMode.InstantPopup)
        set_help(
            self,
            "Copy the classes of another image: their numbers, names, colours and keys. Classes "
            "that are drawn on this image stay.",
        )
        self.menu_of_images = QMenu(self)
        self.menu_of_images.aboutToShow.connect(self.refresh)
        self.setMenu(self.menu_of_images)
        # The arrow would cover the dots.
        self.setStyleSheet("QToolButton::menu-indicator { image: none; }")
        annotation_list.changed.connect(self._remember)
        self._remember()

    def refresh(self) -> None:
        """List the images."""
        self._remember()
        self.menu_of_images.clear()
        # The image that was in view last is the most likely one.
        for image in reversed(self._classes.other_images()):
            name = self._names.get(image)
            if name is not None:
                text = f"Copy classes from '{name}'".replace("&", "&&")
                self.menu_of_images.addAction(text, partial(self._copy, image))
        if self.menu_of_images.isEmpty():
            self.menu_of_images.addAction("No other image has classes").setEnabled(False)

    def _copy(self, image: Hashable, _checked: bool = False) -> None:  # noqa: FBT001, FBT002
        self._classes.copy_from(image, self._names[image])
        self.copied.emit(f"The classes of '{self._names[image]}' were copied.")

    def _remember(self) -> None:
        """Remember the names of images, which may be closed later."""
        if self._annotation_list.image is not None:
            self._names |= {image.unique_id: image.name for image in user_images(self._viewer)}
