"""A list of the annotation layers of an image, with a check box and a kind for each."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from napari.layers import Labels, Layer, Points, Shapes
from qtpy.QtCore import QEvent, QObject, QSize, Qt, Signal
from qtpy.QtGui import QResizeEvent
from qtpy.QtWidgets import (
    QCheckBox,
    QHeaderView,
    QSizePolicy,
    QTreeWidget,
    QTreeWidgetItem,
    QWidget,
)

from napari_vrp_sam.annotations.reference import AnnotationKind
from napari_vrp_sam.plugin.classes.annotation_ticks import (
    can_annotate,
    is_ticked,
    note_layer,
    remember_tick,
)
from napari_vrp_sam.plugin.classes.kind_box import (
    LONGEST_KINDS,
    KindBox,
    default_kind,
    has_only_boxes,
)
from napari_vrp_sam.plugin.layers.annotations import Annotation
from napari_vrp_sam.plugin.layers.belonging import candidate_images
from napari_vrp_sam.plugin.layers.drawing import EditWatch
from napari_vrp_sam.plugin.widgets.background.watched_run import single_shot_timer
from napari_vrp_sam.plugin.widgets.controls import set_help

if TYPE_CHECKING:
    import napari
    from napari.layers import Image

    from napari_vrp_sam.plugin.inputs.image_box import ImageBox

ROW_HEIGHT = 30
VISIBLE_ROWS = 2
BOX_PADDING = 56
"""Pixels of a combo box besides its text, in napari's style."""
TICK, NAME, KIND = range(3)
"""Columns of a row. The checkbox is a widget because napari does not style those of items."""


class Row(NamedTuple):
    """State of a layer in the list."""

    layer: Labels | Points | Shapes
    ticked: bool
    kind: AnnotationKind


class AnnotationList(QTreeWidget):
    """Rows for the Labels, Points and Shapes layers that may annotate an image, topmost first.

    Layers of other images, results, objects and previews are not listed. Each image has its own
    ticks.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
    image_box : ImageBox
        Its image is the one to annotate.
    """

    changed = Signal()

    def __init__(self, viewer: napari.viewer.Viewer, image_box: ImageBox) -> None:
        super().__init__()
        self._viewer = viewer
        self._image_box = image_box
        self._layers: list[Labels | Points | Shapes] = []
        self._shapes = EditWatch()
        self._refresh_later = single_shot_timer(self, 0, self.refresh)
        self.setColumnCount(3)
        self.setHeaderHidden(True)
        self.setRootIsDecorated(False)
        self.setIndentation(0)
        self.setSelectionMode(self.SelectionMode.NoSelection)
        self.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.setTextElideMode(Qt.TextElideMode.ElideMiddle)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        # Always the same, so that a new layer does not move the buttons below.
        self.setFixedHeight(VISIBLE_ROWS * ROW_HEIGHT + 6)
        header = self.header()
        header.setStretchLastSection(False)
        header.setMinimumSectionSize(0)
        for column, width in ((TICK, 26), (KIND, 126)):
            header.setSectionResizeMode(column, QHeaderView.ResizeMode.Fixed)
            header.resizeSection(column, width)
        header.setSectionResizeMode(NAME, QHeaderView.ResizeMode.Stretch)
        self.itemClicked.connect(self._toggle)
        image_box.chosen.connect(self.refresh)
        self.refresh()

    @property
    def image(self) -> Image | None:
        """Image to annotate."""
        return self._image_box.layer

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
        kinds = {row.layer: row.kind for row in self.rows}
        image = self._image_box.layer
        self.clear()
        layers = [layer for layer in reversed(self._viewer.layers) if can_annotate(layer)]
        candidates = {layer: candidate_images(self._viewer, layer) for layer in layers}
        self._layers = [layer for layer in layers if image is None or image in candidates[layer]]
        for layer in layers:
            note_layer(layer, image)
        for layer in self._layers:
            unique = len(candidates[layer]) == 1
            ticked = is_ticked(self._viewer, layer, image, unique=unique)
            self._remember(layer, ticked)
            self._add_row(Row(layer, ticked, kinds.get(layer) or default_kind(layer)))
        self._watch_shapes()
        self.changed.emit()

    def release(self) -> None:
        """Disconnect from the layers, because the viewer is closing."""
        self._refresh_later.stop()
        self._shapes.release()

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
        tick.toggled.connect(partial(self._remember, layer))
        tick.toggled.connect(self.changed)
        tick.installEventFilter(self)
        self.setItemWidget(item, TICK, tick)
        if isinstance(layer, Points) or has_only_boxes(layer):
            item.setText(KIND, "points" if isinstance(layer, Points) else "box")
            return
        box = KindBox(layer, row.kind)
        box.currentIndexChanged.connect(self.changed)
        box.installEventFilter(self)
        self.setItemWidget(item, KIND, box)

    def resizeEvent(self, event: QResizeEvent) -> None:  # noqa: N802
        """Keep the column of the kinds as wide as its longest text."""
        self._fit_kinds()
        super().resizeEvent(event)

    def _fit_kinds(self) -> None:
        """Make the column of the kinds wide enough for the font and the style of its boxes."""
        boxes = [box for row in range(len(self._layers)) if (box := self.kind_box(row)) is not None]
        texts = map(self.fontMetrics().horizontalAdvance, LONGEST_KINDS)
        width = max(BOX_PADDING + max(texts), *(box.needed_width for box in boxes), 0)
        if width != self.header().sectionSize(KIND):
            self.header().resizeSection(KIND, width)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:  # noqa: N802
        """Scroll to the row that gets the focus; fit the column to another font or style."""
        if event.type() in (QEvent.Type.FontChange, QEvent.Type.StyleChange, QEvent.Type.Show):
            self._fit_kinds()
        if event.type() == QEvent.Type.FocusIn and isinstance(watched, QWidget):
            self.scrollTo(self.indexAt(watched.geometry().center()))
        return super().eventFilter(watched, event)

    def _watch_shapes(self) -> None:
        """Follow the drawing of shapes, because the kind of boxes cannot be chosen."""
        self._shapes.release()
        shapes = [layer for layer in self._layers if isinstance(layer, Shapes)]
        self._shapes = EditWatch(shapes, self._refresh_kinds)

    def _refresh_kinds(self) -> None:
        """Offer the kinds of the shapes, after a change from or to boxes alone."""
        for row, layer in enumerate(self._layers):
            if isinstance(layer, Shapes) and has_only_boxes(layer) != (self.kind_box(row) is None):
                # Later, as the layer still informs others of the new shape.
                self._refresh_later.start()
                return

    def _remember(self, layer: Layer, ticked: bool) -> None:  # noqa: FBT001 # Qt's signal
        remember_tick(layer, self.image, ticked=ticked)

    def _toggle(self, item: QTreeWidgetItem, _column: int) -> None:
        """Let a click on the name toggle the checkbox."""
        self.tick_box(self.indexOfTopLevelItem(item)).toggle()

    def tick_box(self, row: int) -> QCheckBox:
        """Return the check box of a row."""
        box = self.itemWidget(self.topLevelItem(row), TICK)
        assert isinstance(box, QCheckBox)
        return box

    def kind_box(self, row: int) -> KindBox | None:
        """Return the choice of the kind of a row; None for points and boxes."""
        box = self.itemWidget(self.topLevelItem(row), KIND)
        return box if isinstance(box, KindBox) else None

    def _kind(self, row: int) -> AnnotationKind:
        box = self.kind_box(row)
        return "mask" if box is None else box.kind
