"""A list of the annotation layers of an image, with a check box and a kind for each."""

from __future__ import annotations

import weakref
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from napari.layers import Labels, Layer, Points, Shapes
from qtpy.QtCore import QEvent, QObject, QSize, Qt, Signal
from qtpy.QtGui import QResizeEvent
from qtpy.QtWidgets import (
    QCheckBox,
    QComboBox,
    QHeaderView,
    QSizePolicy,
    QStyle,
    QStyleOptionComboBox,
    QTreeWidget,
    QTreeWidgetItem,
    QWidget,
)

from napari_vrp_sam.annotations.reference import AnnotationKind
from napari_vrp_sam.plugin.layers.annotations import ANNOTATION_LAYERS, KIND_KEY, Annotation
from napari_vrp_sam.plugin.layers.appearance.outlines import is_preview_layer
from napari_vrp_sam.plugin.layers.belonging import candidate_images, image_of, user_images
from napari_vrp_sam.plugin.layers.colours import contains_objects
from napari_vrp_sam.plugin.layers.drawing import EditWatch
from napari_vrp_sam.plugin.layers.metadata import get_metadata, unwrap
from napari_vrp_sam.plugin.layers.objects import is_objects_layer
from napari_vrp_sam.plugin.layers.results import is_result_layer
from napari_vrp_sam.plugin.widgets.controls import TEXT_MARGIN, set_help
from napari_vrp_sam.plugin.widgets.watched_run import single_shot_timer
from napari_vrp_sam.plugin.widgets.wheel import WheelFilter

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
KINDS: dict[type, tuple[AnnotationKind, ...]] = {
    Labels: ("mask", "partial", "scribble"),
    Shapes: ("mask", "partial"),
}
"""Kinds of annotation that a layer may contain."""
KIND_TEXTS: dict[AnnotationKind, str] = {
    "mask": "mask",
    "partial": "partial",
    "scribble": "scribble",
}


_ticks: weakref.WeakKeyDictionary[Layer, dict[Any, bool]] = weakref.WeakKeyDictionary()
"""Ticks of each layer by the unique id of the image, the same in all lists."""
_first_images: weakref.WeakKeyDictionary[Layer, Any] = weakref.WeakKeyDictionary()
"""Unique id of the chosen image when a layer was listed first; None without an image."""


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
        layers = [layer for layer in reversed(self._viewer.layers) if _can_annotate(layer)]
        candidates = {layer: candidate_images(self._viewer, layer) for layer in layers}
        self._layers = [layer for layer in layers if image is None or image in candidates[layer]]
        for layer in layers:
            _first_images.setdefault(unwrap(layer), _image_id(image))
        for layer in self._layers:
            ticked = self._is_ticked(layer, unique=len(candidates[layer]) == 1)
            self._remember(layer, ticked)
            self._add_row(Row(layer, ticked, kinds.get(layer) or _default_kind(layer)))
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
        if isinstance(layer, Points) or _has_only_boxes(layer):
            item.setText(KIND, "points" if isinstance(layer, Points) else "box")
            return
        box = QComboBox()
        WheelFilter(box)
        for kind in KINDS[type(unwrap(layer))]:
            box.addItem(KIND_TEXTS[kind], kind)
        box.setCurrentIndex(box.findData(row.kind))
        box.currentIndexChanged.connect(self.changed)
        box.setStyleSheet("QComboBox { margin: 2px 0; }")  # a gap between rows
        set_help(
            box,
            "<b>mask</b>: every object of the class on an annotated frame is filled; unmarked "
            "pixels are background. <b>partial</b>: only some of the objects are filled; "
            "unmarked pixels are unknown."
            + (
                " <b>scribble</b>: strokes on parts of the objects; unmarked pixels are unknown."
                if isinstance(layer, Labels)
                else " Boxes, lines and paths are not affected."
            ),
        )
        box.setAccessibleName(f"Kind of annotation in {layer.name}")
        box.installEventFilter(self)
        self.setItemWidget(item, KIND, box)

    def resizeEvent(self, event: QResizeEvent) -> None:  # noqa: N802
        """Keep the column of the kinds as wide as its longest text."""
        self._fit_kinds()
        super().resizeEvent(event)

    def _fit_kinds(self) -> None:
        """Make the column of the kinds wide enough for the font and the style of its boxes."""
        boxes = [box for row in range(len(self._layers)) if (box := self.kind_box(row)) is not None]
        width = BOX_PADDING + max(
            map(self.fontMetrics().horizontalAdvance, KIND_TEXTS.values()), default=0
        )
        for box in boxes:
            option = QStyleOptionComboBox()
            box.initStyleOption(option)
            field = box.style().subControlRect(
                QStyle.ComplexControl.CC_ComboBox,
                option,
                QStyle.SubControl.SC_ComboBoxEditField,
                box,
            )
            texts = map(box.fontMetrics().horizontalAdvance, KIND_TEXTS.values())
            width = max(width, max(texts) + box.width() - field.width() + TEXT_MARGIN)
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
            if isinstance(layer, Shapes) and _has_only_boxes(layer) != (self.kind_box(row) is None):
                # Later, as the layer still informs others of the new shape.
                self._refresh_later.start()
                return

    def _is_ticked(self, layer: Labels | Points | Shapes, *, unique: bool) -> bool:
        """Return the tick for the image; `unique` if the layer fits no other image as well."""
        image = self._image_box.layer
        known = _ticks.get(unwrap(layer), {})
        ticked = known.get(_image_id(image), known.get(None))
        if ticked is not None:
            return ticked
        images = len(user_images(self._viewer))
        owned = image_of(self._viewer, layer) is not None or (unique and images > 1)
        if not owned and _first_images[unwrap(layer)] not in (None, _image_id(image)):
            return False  # annotates another image, even if that was deleted
        return _default_tick(layer)

    def _remember(self, layer: Layer, ticked: bool) -> None:  # noqa: FBT001 # Qt's signal
        _ticks.setdefault(unwrap(layer), {})[_image_id(self._image_box.layer)] = ticked

    def _toggle(self, item: QTreeWidgetItem, _column: int) -> None:
        """Let a click on the name toggle the checkbox."""
        self.tick_box(self.indexOfTopLevelItem(item)).toggle()

    def tick_box(self, row: int) -> QCheckBox:
        """Return the check box of a row."""
        box = self.itemWidget(self.topLevelItem(row), TICK)
        assert isinstance(box, QCheckBox)
        return box

    def kind_box(self, row: int) -> QComboBox | None:
        """Return the choice of the kind of a row; None for points and boxes."""
        box = self.itemWidget(self.topLevelItem(row), KIND)
        return box if isinstance(box, QComboBox) else None

    def _kind(self, row: int) -> AnnotationKind:
        box = self.kind_box(row)
        kind: AnnotationKind = "mask" if box is None else box.currentData()
        return kind


def _can_annotate(layer: Any) -> bool:
    """Return True for layers that the user draws in; an accepted frame makes a result teach."""
    added_by_run = is_preview_layer(layer) or is_result_layer(layer) or is_objects_layer(layer)
    return isinstance(layer, ANNOTATION_LAYERS) and not added_by_run


def _has_only_boxes(layer: Labels | Points | Shapes) -> bool:
    """Return True for a Shapes layer of rectangles, and for one that was added for boxes."""
    if not isinstance(layer, Shapes):
        return False
    if not layer.data:
        return get_metadata(layer, "drawing") == "box"
    return set(layer.shape_type) == {"rectangle"}


def _image_id(image: Image | None) -> Any:
    return image.unique_id if image is not None else None


def _default_tick(layer: Labels | Points | Shapes) -> bool:
    saved = get_metadata(layer, "ticked")
    if saved is not None:
        return bool(saved)
    # Hidden layers are often ground truth, and object labels are not classes.
    return bool(layer.visible) and not contains_objects(layer)


def _default_kind(layer: Labels | Points | Shapes) -> AnnotationKind:
    saved: AnnotationKind | None = get_metadata(layer, KIND_KEY)
    if saved in KINDS.get(type(unwrap(layer)), ()):
        return saved
    sparse = get_metadata(layer, "sparse")  # sessions of earlier versions
    if sparse is None:
        sparse = get_metadata(layer, "drawing") == "scribble" or "scribble" in layer.name.lower()
    return "scribble" if sparse and isinstance(layer, Labels) else "mask"
