"""The annotation layers of a viewer, each to be ticked; Labels layers as masks or scribbles."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from napari.layers import Labels, Points, Shapes
from qtpy.QtCore import QEvent, QObject, QSize, Qt, Signal
from qtpy.QtWidgets import (
    QCheckBox,
    QComboBox,
    QHeaderView,
    QSizePolicy,
    QTreeWidget,
    QTreeWidgetItem,
    QWidget,
)

from napari_vrp_sam.plugin.layers.annotations import ANNOTATION_LAYERS, Annotation
from napari_vrp_sam.plugin.layers.colours import shows_objects
from napari_vrp_sam.plugin.layers.metadata import noted
from napari_vrp_sam.plugin.layers.objects import is_objects
from napari_vrp_sam.plugin.layers.outlines import is_preview
from napari_vrp_sam.plugin.layers.results import is_result
from napari_vrp_sam.plugin.widgets.controls import set_help

if TYPE_CHECKING:
    import napari

ROW_HEIGHT = 30
VISIBLE_ROWS = 4
TICK, NAME, KIND = range(3)
"""Columns of a row. The tick is a widget of its own: napari styles those, but not an item's."""


class Row(NamedTuple):
    """A layer, and what was chosen for it."""

    layer: Labels | Points | Shapes
    ticked: bool
    sparse: bool


class AnnotationList(QTreeWidget):
    """Follows the viewer's Labels, Points and Shapes layers and keeps the user's ticks."""

    changed = Signal()

    def __init__(self, viewer: napari.viewer.Viewer, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._layers: list[Labels | Points | Shapes] = []
        self.setColumnCount(3)
        self.setHeaderHidden(True)
        self.setRootIsDecorated(False)
        self.setIndentation(0)
        self.setSelectionMode(self.SelectionMode.NoSelection)
        self.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.setTextElideMode(Qt.TextElideMode.ElideMiddle)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        header = self.header()
        header.setStretchLastSection(False)
        header.setMinimumSectionSize(0)
        for column, width in ((TICK, 26), (KIND, 104)):
            header.setSectionResizeMode(column, QHeaderView.ResizeMode.Fixed)
            header.resizeSection(column, width)
        header.setSectionResizeMode(NAME, QHeaderView.ResizeMode.Stretch)
        self.itemClicked.connect(self._toggle)
        self.refresh()

    @property
    def annotations(self) -> list[Annotation]:
        """The ticked layers, and how to read them."""
        return [Annotation(row.layer, sparse=row.sparse) for row in self.rows if row.ticked]

    @property
    def rows(self) -> list[Row]:
        """All layers, topmost first."""
        return [
            Row(layer, self._tick_box(at).isChecked(), self._is_sparse(at))
            for at, layer in enumerate(self._layers)
        ]

    def refresh(self) -> None:
        """Take over the viewer's annotation layers; what was chosen for a layer stays."""
        before = {
            layer: (self._tick_box(row).isChecked(), self._is_sparse(row))
            for row, layer in enumerate(self._layers)
        }
        self.clear()
        # Topmost first, as in napari's own list of layers.
        self._layers = [
            layer
            for layer in reversed(self._viewer.layers)
            if isinstance(layer, ANNOTATION_LAYERS) and not is_preview(layer)
        ]
        for layer in self._layers:
            ticked, sparse = before.get(layer) or (_default_tick(layer), _default_sparse(layer))
            self._add_row(layer, ticked=ticked, sparse=sparse)
        self.setFixedHeight(max(1, min(len(self._layers), VISIBLE_ROWS)) * ROW_HEIGHT + 6)
        self.changed.emit()

    def tick(self, layer: Labels | Points | Shapes, *, on: bool = True) -> None:
        """Tick or untick a layer."""
        self._tick_box(self._layers.index(layer)).setChecked(on)

    def set_sparse(self, layer: Labels, *, sparse: bool) -> None:
        """Read a Labels layer as scribbles, or as masks."""
        box = self._kind_box(self._layers.index(layer))
        assert box is not None
        box.setCurrentIndex(int(sparse))

    def _add_row(self, layer: Labels | Points | Shapes, *, ticked: bool, sparse: bool) -> None:
        item = QTreeWidgetItem(self, ["", layer.name, ""])
        item.setSizeHint(TICK, QSize(0, ROW_HEIGHT))
        item.setFlags(Qt.ItemFlag.ItemIsEnabled)
        tip = f"Tick '{layer.name}' to use what is drawn in it."
        item.setToolTip(NAME, f"<qt>{tip}</qt>")
        tick = QCheckBox()
        tick.setChecked(ticked)
        tick.setAccessibleName(layer.name)
        set_help(tick, tip)
        tick.toggled.connect(self.changed)
        tick.installEventFilter(self)
        self.setItemWidget(item, TICK, tick)
        if not isinstance(layer, Labels):
            item.setText(KIND, "points" if isinstance(layer, Points) else "shapes")
            return
        box = QComboBox()
        box.addItems(["mask", "scribble"])
        box.setCurrentIndex(int(sparse))
        box.currentIndexChanged.connect(self.changed)
        box.setStyleSheet("QComboBox { margin: 2px 0; }")  # rows do not touch
        set_help(
            box,
            "<b>mask</b>: every object of the class on an annotated frame is filled; what is not "
            "labelled is background. <b>scribble</b>: only parts are marked; the rest is unknown.",
        )
        box.setAccessibleName(f"How to read {layer.name}")
        box.installEventFilter(self)
        self.setItemWidget(item, KIND, box)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:  # noqa: N802
        """Bring the row into view that the keys went to."""
        if event.type() == QEvent.Type.FocusIn and isinstance(watched, QWidget):
            self.scrollTo(self.indexAt(watched.geometry().center()))
        return super().eventFilter(watched, event)

    def _toggle(self, item: QTreeWidgetItem, _column: int) -> None:
        """The name of a layer is as good to click as its tick."""
        self._tick_box(self.indexOfTopLevelItem(item)).toggle()

    def _tick_box(self, row: int) -> QCheckBox:
        box = self.itemWidget(self.topLevelItem(row), TICK)
        assert isinstance(box, QCheckBox)
        return box

    def _kind_box(self, row: int) -> QComboBox | None:
        box = self.itemWidget(self.topLevelItem(row), KIND)
        return box if isinstance(box, QComboBox) else None

    def _is_sparse(self, row: int) -> bool:
        box = self._kind_box(row)
        return box is not None and box.currentIndex() == 1


def _default_tick(layer: Labels | Points | Shapes) -> bool:
    chosen = noted(layer, "ticked")
    if chosen is not None:  # in a session
        return bool(chosen)
    # Hidden layers are often ground truth, a result annotates every frame, and objects are no
    # classes, be they of this panel or of another program.
    annotates = bool(layer.visible) and not is_result(layer) and not is_objects(layer)
    return annotates and not shows_objects(layer)


def _default_sparse(layer: Labels | Points | Shapes) -> bool:
    chosen = noted(layer, "sparse")
    if chosen is not None:
        return bool(chosen)
    return noted(layer, "drawing") == "scribble" or "scribble" in layer.name.lower()
