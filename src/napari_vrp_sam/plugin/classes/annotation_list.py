"""A list of the annotation layers in the viewer, with a checkbox and a kind for each."""

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

from napari_vrp_sam.annotations.reference import AnnotationKind
from napari_vrp_sam.plugin.layers.annotations import ANNOTATION_LAYERS, KIND_KEY, Annotation
from napari_vrp_sam.plugin.layers.colours import contains_objects
from napari_vrp_sam.plugin.layers.metadata import get_metadata
from napari_vrp_sam.plugin.layers.objects import is_objects_layer
from napari_vrp_sam.plugin.layers.outlines import is_preview_layer
from napari_vrp_sam.plugin.layers.results import is_result_layer
from napari_vrp_sam.plugin.layers.undo import unwrap
from napari_vrp_sam.plugin.widgets.controls import set_help

if TYPE_CHECKING:
    import napari

ROW_HEIGHT = 30
VISIBLE_ROWS = 4
TICK, NAME, KIND = range(3)
"""Columns of a row. The checkbox is a widget because napari does not style those of items."""
KINDS: dict[type, tuple[AnnotationKind, ...]] = {
    Labels: ("mask", "partial", "scribble"),
    Shapes: ("mask", "partial"),
}
"""Kinds of annotation that a layer may contain."""
KIND_TEXTS: dict[AnnotationKind, str] = {
    "mask": "mask",
    "partial": "some masks",
    "scribble": "scribble",
}


class Row(NamedTuple):
    """State of a layer in the list."""

    layer: Labels | Points | Shapes
    ticked: bool
    kind: AnnotationKind


class AnnotationList(QTreeWidget):
    """Rows for the viewer's Labels, Points and Shapes layers, topmost first."""

    changed = Signal()

    def __init__(self, viewer: napari.viewer.Viewer) -> None:
        super().__init__()
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
        """Ticked layers, topmost first."""
        return [Annotation(row.layer, row.kind) for row in self.rows if row.ticked]

    @property
    def rows(self) -> list[Row]:
        """All annotation layers, topmost first."""
        return [
            Row(layer, self.tick_box(row).isChecked(), self._kind(row))
            for row, layer in enumerate(self._layers)
        ]

    def refresh(self) -> None:
        """Update the rows from the viewer's layers; keep the state of layers that stay."""
        before = {row.layer: row for row in self.rows}
        self.clear()
        self._layers = [
            layer
            for layer in reversed(self._viewer.layers)
            if isinstance(layer, ANNOTATION_LAYERS) and not is_preview_layer(layer)
        ]
        for layer in self._layers:
            self._add_row(
                before.get(layer) or Row(layer, _default_tick(layer), _default_kind(layer))
            )
        self.setFixedHeight(max(1, min(len(self._layers), VISIBLE_ROWS)) * ROW_HEIGHT + 6)
        self.changed.emit()

    def tick(self, layer: Labels | Points | Shapes, *, on: bool = True) -> None:
        """Tick or untick a layer."""
        self.tick_box(self._layers.index(layer)).setChecked(on)

    def set_kind(self, layer: Labels | Points | Shapes, kind: AnnotationKind) -> None:
        """Read a Labels or Shapes layer as complete masks, as some of the masks or as scribbles."""
        box = self.kind_box(self._layers.index(layer))
        if box is not None:
            box.setCurrentIndex(box.findData(kind))

    def _add_row(self, row: Row) -> None:
        layer = row.layer
        item = QTreeWidgetItem(self, ["", layer.name, ""])
        item.setSizeHint(TICK, QSize(0, ROW_HEIGHT))
        item.setFlags(Qt.ItemFlag.ItemIsEnabled)
        tip = f"Tick to use '{layer.name}' as annotation."
        item.setToolTip(NAME, f"<qt>{tip}</qt>")
        tick = QCheckBox()
        tick.setChecked(row.ticked)
        tick.setAccessibleName(layer.name)
        set_help(tick, tip)
        tick.toggled.connect(self.changed)
        tick.installEventFilter(self)
        self.setItemWidget(item, TICK, tick)
        if isinstance(layer, Points):
            item.setText(KIND, "points")
            return
        box = QComboBox()
        for kind in KINDS[type(unwrap(layer))]:
            box.addItem(KIND_TEXTS[kind], kind)
        box.setCurrentIndex(box.findData(row.kind))
        box.currentIndexChanged.connect(self.changed)
        box.setStyleSheet("QComboBox { margin: 2px 0; }")  # a gap between rows
        set_help(
            box,
            "<b>mask</b>: every object of the class on an annotated frame is filled; unmarked "
            "pixels are background. <b>some masks</b>: only some are marked; unmarked pixels are "
            "unknown."
            + (
                " <b>scribble</b>: strokes on parts of the objects; unmarked pixels are unknown."
                if isinstance(layer, Labels)
                else " Boxes, lines and paths keep their meaning."
            ),
        )
        box.setAccessibleName(f"Kind of annotation in {layer.name}")
        box.installEventFilter(self)
        self.setItemWidget(item, KIND, box)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:  # noqa: N802
        """Scroll to the row that gets the focus."""
        if event.type() == QEvent.Type.FocusIn and isinstance(watched, QWidget):
            self.scrollTo(self.indexAt(watched.geometry().center()))
        return super().eventFilter(watched, event)

    def _toggle(self, item: QTreeWidgetItem, _column: int) -> None:
        """Let a click on the name toggle the checkbox."""
        self.tick_box(self.indexOfTopLevelItem(item)).toggle()

    def tick_box(self, row: int) -> QCheckBox:
        """Return the check box of a row."""
        box = self.itemWidget(self.topLevelItem(row), TICK)
        assert isinstance(box, QCheckBox)
        return box

    def kind_box(self, row: int) -> QComboBox | None:
        """Return the choice of the kind of a row; None for points."""
        box = self.itemWidget(self.topLevelItem(row), KIND)
        return box if isinstance(box, QComboBox) else None

    def _kind(self, row: int) -> AnnotationKind:
        box = self.kind_box(row)
        kind: AnnotationKind = "mask" if box is None else box.currentData()
        return kind


def _default_tick(layer: Labels | Points | Shapes) -> bool:
    saved = get_metadata(layer, "ticked")
    if saved is not None:
        return bool(saved)
    # Hidden layers are often ground truth, results would annotate every frame, and object labels
    # are not classes.
    annotates = bool(layer.visible) and not is_result_layer(layer) and not is_objects_layer(layer)
    return annotates and not contains_objects(layer)


def _default_kind(layer: Labels | Points | Shapes) -> AnnotationKind:
    saved: AnnotationKind | None = get_metadata(layer, KIND_KEY)
    if saved in KINDS.get(type(unwrap(layer)), ()):
        return saved
    sparse = get_metadata(layer, "sparse")  # sessions of earlier versions
    if sparse is None:
        sparse = get_metadata(layer, "drawing") == "scribble" or "scribble" in layer.name.lower()
    return "scribble" if sparse and isinstance(layer, Labels) else "mask"
