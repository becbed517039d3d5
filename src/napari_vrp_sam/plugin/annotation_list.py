"""The annotation layers of a viewer, each to be ticked; Labels layers as masks or scribbles."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari.layers import Labels, Points, Shapes
from qtpy.QtCore import QSize, Qt, Signal
from qtpy.QtWidgets import (
    QComboBox,
    QHeaderView,
    QSizePolicy,
    QTreeWidget,
    QTreeWidgetItem,
    QWidget,
)

from napari_vrp_sam.plugin.controls import explain
from napari_vrp_sam.plugin.layers import ANNOTATION_LAYERS, Annotation
from napari_vrp_sam.plugin.notes import noted
from napari_vrp_sam.plugin.results import is_result

if TYPE_CHECKING:
    import napari

ROW_HEIGHT = 28
VISIBLE_ROWS = 4


class AnnotationList(QTreeWidget):
    """Follows the viewer's Labels, Points and Shapes layers and keeps the user's ticks."""

    changed = Signal()

    def __init__(self, viewer: napari.viewer.Viewer, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._layers: list[Labels | Points | Shapes] = []
        self.setColumnCount(2)
        self.setHeaderHidden(True)
        self.setRootIsDecorated(False)
        self.setIndentation(0)
        self.setSelectionMode(self.SelectionMode.NoSelection)
        self.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        self.setTextElideMode(Qt.TextElideMode.ElideMiddle)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        header = self.header()
        header.setStretchLastSection(False)
        header.setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)
        header.setSectionResizeMode(1, QHeaderView.ResizeMode.Fixed)
        header.resizeSection(1, 104)
        self.itemChanged.connect(lambda *_: self.changed.emit())
        self.follow()

    @property
    def annotations(self) -> list[Annotation]:
        """The ticked layers, and how to read them."""
        return [
            Annotation(layer, sparse=self._is_sparse(row))
            for row, layer in enumerate(self._layers)
            if self.topLevelItem(row).checkState(0) == Qt.CheckState.Checked
        ]

    def follow(self) -> None:
        """Take over the viewer's annotation layers; what was chosen for a layer stays."""
        before = {
            layer: (self.topLevelItem(row).checkState(0), self._is_sparse(row))
            for row, layer in enumerate(self._layers)
        }
        blocked = self.blockSignals(True)  # noqa: FBT003
        self.clear()
        # Topmost first, as in napari's own list of layers.
        self._layers = [
            layer for layer in reversed(self._viewer.layers) if isinstance(layer, ANNOTATION_LAYERS)
        ]
        for layer in self._layers:
            check, sparse = before.get(layer) or (_default_check(layer), _default_sparse(layer))
            self._add_row(layer, check, sparse=sparse)
        self.setFixedHeight(max(1, min(len(self._layers), VISIBLE_ROWS)) * ROW_HEIGHT + 6)
        self.blockSignals(blocked)
        self.changed.emit()

    def tick(self, layer: Labels | Points | Shapes, *, on: bool = True) -> None:
        """Tick or untick a layer."""
        state = Qt.CheckState.Checked if on else Qt.CheckState.Unchecked
        self.topLevelItem(self._layers.index(layer)).setCheckState(0, state)

    def set_sparse(self, layer: Labels, *, sparse: bool) -> None:
        """Read a Labels layer as scribbles, or as masks."""
        box = self._kind_box(self._layers.index(layer))
        assert box is not None
        box.setCurrentIndex(int(sparse))

    def _add_row(
        self, layer: Labels | Points | Shapes, check: Qt.CheckState, *, sparse: bool
    ) -> None:
        item = QTreeWidgetItem(self, [layer.name, ""])
        item.setSizeHint(0, QSize(0, ROW_HEIGHT))
        item.setFlags(Qt.ItemFlag.ItemIsEnabled | Qt.ItemFlag.ItemIsUserCheckable)
        item.setCheckState(0, check)
        item.setToolTip(0, f"<qt>Tick '{layer.name}' to use what is drawn in it.</qt>")
        if not isinstance(layer, Labels):
            item.setText(1, "points" if isinstance(layer, Points) else "shapes")
            return
        box = QComboBox()
        box.addItems(["mask", "scribble"])
        box.setCurrentIndex(int(sparse))
        explain(
            box,
            "<b>mask</b>: every object of the class on an annotated frame is filled; what is not "
            "labelled is background. <b>scribble</b>: only parts are marked; the rest is unknown.",
        )
        self.setItemWidget(item, 1, box)

    def _kind_box(self, row: int) -> QComboBox | None:
        box = self.itemWidget(self.topLevelItem(row), 1)
        return box if isinstance(box, QComboBox) else None

    def _is_sparse(self, row: int) -> bool:
        box = self._kind_box(row)
        return box is not None and box.currentIndex() == 1


def _default_check(layer: Labels | Points | Shapes) -> Qt.CheckState:
    # Hidden layers are often ground truth, and a result annotates every frame.
    wanted = layer.visible and not is_result(layer)
    return Qt.CheckState.Checked if wanted else Qt.CheckState.Unchecked


def _default_sparse(layer: Labels | Points | Shapes) -> bool:
    return noted(layer, "drawing") == "scribble" or "scribble" in layer.name.lower()
