"""Choice of the kind of annotation that a layer contains."""

from __future__ import annotations

from napari.layers import Labels, Points, Shapes
from qtpy.QtWidgets import QComboBox, QStyle, QStyleOptionComboBox

from napari_vrp_sam.annotations.reference import AnnotationKind
from napari_vrp_sam.plugin.layers.annotations import KIND_KEY
from napari_vrp_sam.plugin.layers.metadata import get_metadata, unwrap
from napari_vrp_sam.plugin.widgets.controls import TEXT_MARGIN, set_help
from napari_vrp_sam.plugin.widgets.wheel import WheelFilter

KINDS: dict[type, tuple[AnnotationKind, ...]] = {
    Labels: ("mask", "partial", "scribble"),
    Shapes: ("mask", "partial"),
}
"""Kinds of annotation that a layer may contain; their names are the texts of the box."""
LONGEST_KINDS = KINDS[Labels]
HELP = (
    "<b>mask</b>: every object of the class on an annotated frame is filled; unmarked pixels are "
    "background. <b>partial</b>: only some of the objects are filled; unmarked pixels are unknown."
)
LABELS_HELP = " <b>scribble</b>: strokes on parts of the objects; unmarked pixels are unknown."
SHAPES_HELP = " Boxes, lines and paths are not affected."


class KindBox(QComboBox):
    """Combo box of the kinds of annotation that a Labels or Shapes layer may contain."""

    def __init__(self, layer: Labels | Shapes, kind: AnnotationKind) -> None:
        super().__init__()
        WheelFilter(self)
        for offered in KINDS[type(unwrap(layer))]:
            self.addItem(offered, offered)
        self.setCurrentIndex(self.findData(kind))
        self.setStyleSheet("QComboBox { margin: 2px 0; }")  # a gap between rows
        set_help(self, HELP + (LABELS_HELP if isinstance(layer, Labels) else SHAPES_HELP))
        self.setAccessibleName(f"Kind of annotation in {layer.name}")

    @property
    def kind(self) -> AnnotationKind:
        """The chosen kind."""
        kind: AnnotationKind = self.currentData()
        return kind

    @property
    def needed_width(self) -> int:
        """Width of the longest text and of the frame, in the font and the style of the box."""
        option = QStyleOptionComboBox()
        self.initStyleOption(option)
        field = self.style().subControlRect(
            QStyle.ComplexControl.CC_ComboBox,
            option,
            QStyle.SubControl.SC_ComboBoxEditField,
            self,
        )
        texts = map(self.fontMetrics().horizontalAdvance, LONGEST_KINDS)
        return max(texts) + self.width() - field.width() + TEXT_MARGIN


def has_only_boxes(layer: Labels | Points | Shapes) -> bool:
    """Return True for a Shapes layer of rectangles, and for one that was added for boxes."""
    if not isinstance(layer, Shapes):
        return False
    if not layer.data:
        return get_metadata(layer, "drawing") == "box"
    return set(layer.shape_type) == {"rectangle"}


def default_kind(layer: Labels | Points | Shapes) -> AnnotationKind:
    """Return the kind of a layer that the user has not chosen: as saved, or by its name."""
    saved: AnnotationKind | None = get_metadata(layer, KIND_KEY)
    if saved in KINDS.get(type(unwrap(layer)), ()):
        return saved
    sparse = get_metadata(layer, "sparse")  # sessions of earlier versions
    if sparse is None:
        sparse = get_metadata(layer, "drawing") == "scribble" or "scribble" in layer.name.lower()
    return "scribble" if sparse and isinstance(layer, Labels) else "mask"
