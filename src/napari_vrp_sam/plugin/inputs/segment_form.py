"""Inputs of a segmentation run."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from qtpy.QtWidgets import (
    QCheckBox,
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from napari_vrp_sam.errors import InputError
from napari_vrp_sam.inference.prediction.tiles.tiling import DEFAULT_TILE
from napari_vrp_sam.models.zoo.model_entry import suggest_models
from napari_vrp_sam.plugin.classes.annotation_layers import open_annotation_layer
from napari_vrp_sam.plugin.classes.class_list import ClassList
from napari_vrp_sam.plugin.gallery.button import GalleryButton
from napari_vrp_sam.plugin.inputs.frame_range import FrameRange
from napari_vrp_sam.plugin.inputs.prompting_box import PromptingBox, PromptingLabel
from napari_vrp_sam.plugin.inputs.stack_form import StackForm
from napari_vrp_sam.plugin.layers.metadata import CRS, METADATA_KEY
from napari_vrp_sam.plugin.layers.stacks import stack_data
from napari_vrp_sam.plugin.layers.undo import AddedLayers
from napari_vrp_sam.plugin.widgets.controls import (
    MessageLabel,
    pack,
    set_help,
)
from napari_vrp_sam.plugin.widgets.help_button import HelpButton
from napari_vrp_sam.plugin.widgets.spin_boxes import DoubleSpinBox, SpinBox

if TYPE_CHECKING:
    import napari

    from napari_vrp_sam.annotations.reference import AnnotationKind
    from napari_vrp_sam.plugin.widgets.undo import UndoHistory

DRAW_BUTTONS: dict[AnnotationKind, tuple[str, str]] = {
    "scribble": ("Scribble", "a Labels layer for strokes on parts of the objects"),
    "mask": ("Mask", "a Labels layer to fill every object of the class on a frame"),
    "point": ("Points", "a Points layer to click on objects of the class"),
    "box": ("Boxes", "a Shapes layer to draw boxes around objects of the class"),
}
"""Text of the button and description of the new layer."""


class SegmentForm(StackForm):
    """Inputs of a segmentation run, with buttons to draw annotations and the class list."""

    def __init__(self, viewer: napari.viewer.Viewer, history: UndoHistory) -> None:
        super().__init__(viewer)
        self._history = history
        self.sample_button = QPushButton("Open the sample stack")
        self.tour_button = QPushButton("Take a short tour")
        self._guide_hidden = False
        self.channel_problem = MessageLabel()
        self.draw_buttons = {kind: QPushButton(text) for kind, (text, _) in DRAW_BUTTONS.items()}
        self.class_list = ClassList(viewer, self.annotation_list, history)
        self.radius_box = DoubleSpinBox()
        self.tile_box = SpinBox()
        self.frame_range = FrameRange()
        self.probability_box = QCheckBox("Probabilities")
        self.notes = QWidget()
        self.draw_help = HelpButton(
            "getting-started/napari.md#how-drawings-are-interpreted", "kinds of annotation"
        )
        self.prompting_box = PromptingBox(self.model_box)
        self.neighbours_box = QCheckBox("Average neighbours")
        self.neighbours_box.setChecked(True)
        self.prompting_label = PromptingLabel(self.model_box, self.prompting_box)
        self.gallery_button = GalleryButton(
            self._suggest_models, lambda: self.model_box.model, self.model_box.choose
        )
        self._set_ranges()
        self._set_help()
        self._lay_out()
        self.model_box.currentIndexChanged.connect(self._refresh_prompting)
        self._refresh_prompting()
        self.channel_box.changed.connect(self._refresh_channels)
        self.class_list.warned.connect(self.warned)
        self.sample_button.clicked.connect(self._open_sample)
        for kind, button in self.draw_buttons.items():
            button.clicked.connect(partial(self._draw, kind))
        self._follow_viewer()

    @property
    def tile(self) -> int | None:
        """Side of the tiles in pixels; None for the default."""
        return self.tile_box.value() or None

    @property
    def point_radius(self) -> float | None:
        """Radius in pixels around point annotations; None for the default."""
        return self.radius_box.value() or None

    def hide_guide(self, hidden: bool) -> None:  # noqa: FBT001 # Qt's signal
        """Hide the offer of the tour during the tour, or show it again."""
        self._guide_hidden = hidden
        self._refresh_guide()

    def release(self) -> None:
        """Disconnect from the viewer, which is closing."""
        self.class_list.release()
        self.gallery_button.release()
        super().release()

    def _suggest_models(self) -> str:
        image = self.image_box.layer
        if image is None:
            return ""
        axes, kept = self.axes, image.metadata.get(METADATA_KEY, {})
        channels = image.data.shape[axes.index("C")] if "C" in axes else 1
        return suggest_models(rgb=image.rgb, channels=channels, on_map=CRS in kept)

    def _set_ranges(self) -> None:
        self.radius_box.setRange(0, 1000)
        self.radius_box.setDecimals(1)
        self.radius_box.setSuffix(" px")
        self.radius_box.setSpecialValueText("1 % of frame")
        self.tile_box.setRange(0, 16 * DEFAULT_TILE)
        self.tile_box.setSingleStep(DEFAULT_TILE // 8)
        self.tile_box.setSuffix(" px")
        self.tile_box.setSpecialValueText(f"{DEFAULT_TILE} px")

    def _set_help(self) -> None:
        set_help(self.sample_button, "Open a synthetic stack with its ground truth.")
        set_help(self.tour_button, "Segment a sample step by step, guided by this panel.")
        set_help(
            self.annotation_list,
            "Layers that annotate the class on one or more frames. The label value, or the feature "
            "'class' of points and shapes, is the number of the class.",
        )

    def _lay_out(self) -> None:
        self._add_row("Image", self.image_box, "Image stack to segment, frame by frame.")
        set_help(
            self.axes_box,
            "Meaning of the image's axes: T time, Z depth, C channel, Y row, X column, S colour. "
            "Frames are counted along T and Z; the channels of a frame are used together.",
        )
        self._form.addRow("Channels", self.channel_box)
        self._form.addRow(self._draw_rows())
        self._form.addRow(self.class_list)
        self._form.addRow(self.annotation_list)
        self._form.addRow(self.label_question)
        model_row = QHBoxLayout()
        pack(model_row, self.model_box, self.gallery_button, spacing=3)
        label = QLabel("Model")
        label.setBuddy(self.model_box)
        self._form.addRow(label, model_row)
        set_help(
            self.model_box,
            "<b>lite</b> is included in the plugin and is fast without a GPU; the others are "
            "downloaded on first use. User models are listed last; a model can also be loaded "
            "from a file.",
        )
        self._lay_out_advanced()
        # Notes come and go: the dock places them below the controls of the run.
        pack(QVBoxLayout(self.notes), self.channel_problem, self.prompting_label, spacing=4)
        layout = QVBoxLayout(self)
        pack(layout, self.tour_button, self.sample_button)
        layout.addLayout(self._form)

    def _draw_rows(self) -> QVBoxLayout:
        head, grid, rows = QHBoxLayout(), QGridLayout(), QVBoxLayout()
        head.addWidget(QLabel("Draw"), 1)
        head.addWidget(self.draw_help)
        grid.setSpacing(3)
        for place, (kind, button) in enumerate(self.draw_buttons.items()):
            set_help(
                button, f"Draw in {DRAW_BUTTONS[kind][1]}; it is added if this image has none."
            )
            grid.addWidget(button, place // 2, place % 2)
        rows.setSpacing(2)
        rows.addLayout(head)
        rows.addLayout(grid)
        return rows

    def _lay_out_advanced(self) -> None:
        form = self._advanced_form
        self._add_row(
            "Device",
            self.device_box,
            "Device of the model: <b>auto</b> uses a GPU if there is one. Only the devices of this "
            "computer are listed.",
            form,
        )
        form.addRow("Frames", self.frame_range)
        self._add_row(
            "Point radius",
            self.radius_box,
            "Radius around a point within which all pixels belong to the class, in pixels of the "
            "image.",
            form,
        )
        self._add_row(
            "Tile size",
            self.tile_box,
            "Larger frames are segmented in overlapping tiles of this side length. Larger tiles "
            "show the model more context and need more memory; smaller tiles show the SAM models "
            "finer detail.",
            form,
        )
        self._add_row(
            "Prompting",
            self.prompting_box,
            "Prompts for SAM: <b>automatic</b> uses the VRP encoder if the model has one, or else "
            "a point, a box and a mask for each object. The message below the result describes "
            "the choice.",
            form,
        )
        set_help(
            self.neighbours_box,
            "Average uncertain frames with the frames before and after them, where the masks of "
            "annotated frames agree with those of their neighbours. Untick if neighbouring frames "
            "do not show the same objects.",
        )
        form.addRow(self.neighbours_box)
        set_help(
            self.probability_box,
            "Also add the probability of each class in percent: one Image layer per class, as "
            "large as the stack and hidden at first.",
        )
        form.addRow(self.probability_box)

    def _refresh_axes(self, _axes: str = "") -> None:
        super()._refresh_axes()
        image = self.image_box.layer
        sizes = dict(zip(self.axes, stack_data(image).shape if image else (), strict=False))
        lengths = [size for axis, size in sizes.items() if axis in "TZ"]
        # A range over planes and time points together would not match the sliders.
        length = lengths[0] if len(lengths) == 1 else 0
        self.frame_range.set_length(length)
        self._show_row(self.frame_range, visible=length > 1)
        self.neighbours_box.setVisible(any(size > 1 for size in lengths))

    def _refresh_prompting(self, _row: int = 0) -> None:
        self._show_row(self.prompting_box, visible=self.prompting_box.count() > 0)

    def _refresh_channels(self) -> None:
        self.channel_problem.show_message(self.channel_box.problem, "warning")

    def _refresh_guide(self) -> None:
        """Offer the sample and the tour; the status card says what comes next."""
        image = self.image_box.layer
        self.sample_button.setVisible(image is None)
        self.tour_button.setVisible(image is None and not self._guide_hidden)

    def _open_sample(self) -> None:
        before = list(self._viewer.layers)
        self._viewer.open_sample("napari-vrp-sam", "stack")
        opened = [layer for layer in self._viewer.layers if layer not in before]
        added = AddedLayers(self._viewer, opened)
        self._history.push("open the sample stack", added.remove, added.restore)

    def _draw(self, kind: AnnotationKind) -> None:
        try:
            current = self.class_list.classes.current
            layer = open_annotation_layer(self._viewer, self.image, kind, current)
        except InputError as error:
            self.warned.emit(str(error))
        else:
            self.annotation_list.tick(layer)
