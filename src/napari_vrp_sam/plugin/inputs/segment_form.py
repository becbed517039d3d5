"""The choices for a run: image, annotations, model, device."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from napari.layers import Points
from qtpy.QtCore import Signal
from qtpy.QtWidgets import (
    QDoubleSpinBox,
    QFormLayout,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QSizePolicy,
    QSpinBox,
    QVBoxLayout,
    QWidget,
)

from napari_vrp_sam.errors import InputError
from napari_vrp_sam.inference.prediction.tiling import DEFAULT_TILE
from napari_vrp_sam.plugin.classes.annotation_layers import Drawing, new_annotation_layer
from napari_vrp_sam.plugin.classes.annotation_list import AnnotationList
from napari_vrp_sam.plugin.classes.class_list import ClassList
from napari_vrp_sam.plugin.inputs.channel_box import ChannelBox, channel_names
from napari_vrp_sam.plugin.inputs.frame_range import FrameRange
from napari_vrp_sam.plugin.inputs.image_box import ImageBox
from napari_vrp_sam.plugin.inputs.model_box import ModelBox
from napari_vrp_sam.plugin.inputs.prompting_label import PromptingLabel
from napari_vrp_sam.plugin.inputs.shared_choice import SharedSelection
from napari_vrp_sam.plugin.layers.accepted import accepted_labels, current_result, with_accepted
from napari_vrp_sam.plugin.layers.annotations import references_from_layers
from napari_vrp_sam.plugin.layers.stacks import possible_axes, stack_data
from napari_vrp_sam.plugin.layers.undo import AddedLayers
from napari_vrp_sam.plugin.widgets.controls import MessageLabel, NarrowComboBox, set_help

if TYPE_CHECKING:
    import napari
    from napari.layers import Image
    from numpy.typing import NDArray

    from napari_vrp_sam.annotations.reference import Reference
    from napari_vrp_sam.plugin.widgets.undo import UndoHistory

DEVICES = ("auto", "cpu", "cuda", "mps")
DRAWINGS: dict[Drawing, tuple[str, str]] = {
    "scribble": ("Scribble", "a Labels layer to draw strokes on parts of the class"),
    "mask": ("Mask", "a Labels layer to fill every object of the class on one frame"),
    "point": ("Points", "a Points layer to click on objects of the class"),
    "box": ("Boxes", "a Shapes layer to draw boxes around objects of the class"),
}


class SegmentForm(QWidget):
    """The controls above the button, in step with the viewer's layers."""

    warned = Signal(str)
    """One sentence on what the user cannot do."""

    def __init__(
        self, viewer: napari.viewer.Viewer, history: UndoHistory, parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._history = history
        self.guide = MessageLabel()
        self.sample_button = QPushButton("Open the sample stack")
        self.tour_button = QPushButton("Take a short tour")
        self._guided_elsewhere = False
        self.image_box = ImageBox(viewer)
        self.axes_box = NarrowComboBox()
        self.channel_box = ChannelBox()
        self.channel_problem = MessageLabel()
        self.annotation_list = AnnotationList(viewer)
        self.draw_buttons = {drawing: QPushButton(DRAWINGS[drawing][0]) for drawing in DRAWINGS}
        self.class_list = ClassList(viewer, self.annotation_list, history)
        self.radius_box = QDoubleSpinBox()
        self.tile_box = QSpinBox()
        self.frame_range = FrameRange()
        self.model_box = ModelBox()
        self.prompting_label = PromptingLabel(self.model_box)
        self.device_box = NarrowComboBox()
        self._fill()
        self._explain()
        self._lay_out()
        self._shared = SharedSelection(viewer, self.image_box, self.annotation_list, self)
        self._connect()
        self._follow_image()

    @property
    def image(self) -> Image:
        """The chosen image; raises an `InputError` if there is none."""
        return self.image_box.image

    @property
    def axes(self) -> str:
        """Letters of the image's axes."""
        return self.axes_box.currentText()

    @property
    def channels(self) -> tuple[int, ...] | None:
        """Indices of the channels to use; None for all of them."""
        return self.channel_box.channels

    @property
    def tile(self) -> int | None:
        """Side in pixels of what is seen at once; None for the default."""
        return self.tile_box.value() or None

    def accepted(self) -> dict[int, NDArray[Any]]:
        """Labels of the frames that the user has accepted, by index."""
        result = current_result(self._viewer, self.image)
        return accepted_labels(result, self.image, self.axes) if result is not None else {}

    def references(self, accepted: dict[int, NDArray[Any]]) -> list[Reference]:
        """What is drawn in the ticked layers, and the accepted frames.

        Raises
        ------
        InputError
            If that cannot be used; see `references_from_layers`.
        """
        drawn = references_from_layers(
            self.image,
            self.annotation_list.annotations,
            self._viewer.dims,
            axes=self.axes or None,
            channels=self.channels,
            point_radius=self.radius_box.value() or None,
            required=not accepted,
        )
        return with_accepted(drawn, accepted, self.image, self.axes, self.channels)

    def hide_guide(self, leave: bool) -> None:  # noqa: FBT001 # Qt's signal
        """Tell no more what to do next, as a tour does; or tell it again."""
        self._guided_elsewhere = leave
        self._guide()

    def release(self) -> None:
        """Let go of the viewer, which is closing."""
        self.class_list.release()
        self._shared.release()
        for emitter in self._layer_emitters():
            emitter.disconnect(self._follow_layers)

    def _fill(self) -> None:
        self.radius_box.setRange(0, 1000)
        self.radius_box.setDecimals(1)
        self.radius_box.setSuffix(" px")
        self.radius_box.setSpecialValueText("1 % of the frame")
        self.tile_box.setRange(0, 16 * DEFAULT_TILE)
        self.tile_box.setSingleStep(DEFAULT_TILE // 8)
        self.tile_box.setSuffix(" px")
        self.tile_box.setSpecialValueText(f"{DEFAULT_TILE} px")
        self.device_box.addItems(DEVICES)

    def _explain(self) -> None:
        set_help(self.sample_button, "Open a generated stack that comes with its ground truth.")
        set_help(self.tour_button, "Segment a sample step by step; the panel says what to press.")
        set_help(self.image_box, "The image stack to segment; each 2-D frame of it.")
        set_help(
            self.axes_box,
            "What the image's axes are: T time, Z depth, C channel, Y row, X column, S colour. "
            "Frames are counted along T and Z; the channels of a frame are used together.",
        )
        set_help(
            self.annotation_list,
            "Layers that show the class on one frame or more. Label value, or the feature "
            "'class' of points and shapes, tells one class from another.",
        )
        for drawing, button in self.draw_buttons.items():
            set_help(button, f"Add {DRAWINGS[drawing][1]}, and start to draw.")
        set_help(
            self.radius_box,
            "How far around a point the class reaches at least, in pixels of the image.",
        )
        set_help(
            self.model_box,
            "<b>lite</b> comes with the plugin and is quick without a GPU; the SAM models need "
            "a download; your own models come after them, or from a file.",
        )
        set_help(
            self.tile_box,
            "Larger frames are segmented in overlapping tiles with sides of so many pixels. Larger "
            "tiles show the model more of the surroundings and take more memory; smaller ones show "
            "the SAM models finer detail.",
        )
        set_help(
            self.device_box,
            "Where the model computes: <b>auto</b> takes a GPU where there is one.",
        )

    def _lay_out(self) -> None:
        draw_row = QHBoxLayout()
        draw_row.setSpacing(3)
        draw_row.addWidget(QLabel("Draw"))
        for drawing, button in self.draw_buttons.items():
            # Until napari's style reaches it, a button asks for more than it needs.
            button.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
            draw_row.addWidget(button, 4 if drawing == "scribble" else 3)
        self._form = QFormLayout()
        self._form.setContentsMargins(0, 0, 0, 0)
        self._form.setHorizontalSpacing(8)
        self._form.setVerticalSpacing(5)
        self._form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        self._form.addRow("Image", self.image_box)
        self._form.addRow("Axes", self.axes_box)
        self._form.addRow("Channels", self.channel_box)
        self._form.addRow(self.channel_problem)
        self._form.addRow(draw_row)
        self._form.addRow(self.class_list)
        self._form.addRow(self.annotation_list)
        self._form.addRow("Point radius", self.radius_box)
        self._form.addRow("Frames", self.frame_range)
        self._form.addRow("Model", self.model_box)
        self._form.addRow(self.prompting_label)
        self._form.addRow("Tile size", self.tile_box)
        self._form.addRow("Device", self.device_box)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.guide)
        layout.addWidget(self.tour_button)
        layout.addWidget(self.sample_button)
        layout.addLayout(self._form)

    def _connect(self) -> None:
        self.image_box.chosen.connect(self._follow_image)
        self.axes_box.currentTextChanged.connect(self._follow_axes)
        self.channel_box.changed.connect(self._follow_channels)
        self.annotation_list.changed.connect(self._guide)
        self.class_list.warned.connect(self.warned)
        self.sample_button.clicked.connect(self._open_sample)
        for drawing, button in self.draw_buttons.items():
            button.clicked.connect(partial(self._draw, drawing))
        for emitter in self._layer_emitters():
            emitter.connect(self._follow_layers)

    def _layer_emitters(self) -> list[Any]:
        emitters = self._viewer.layers.events.emitters
        names = ("inserted", "removed", "reordered", "renamed")
        return [emitters[name] for name in names if name in emitters]  # older napari: no "renamed"

    def _follow_layers(self, _event: Any = None) -> None:
        self.image_box.refresh()
        self.annotation_list.refresh()

    def _follow_image(self) -> None:
        self.axes_box.clear()
        if self.image_box.layer is not None:
            try:
                self.axes_box.addItems(possible_axes(self.image_box.layer))
            except InputError as mistake:
                self.warned.emit(str(mistake))
        # A single choice is no choice.
        self._show_row(self.axes_box, visible=self.axes_box.count() > 1)
        self._follow_axes()
        self._guide()

    def _follow_axes(self, _axes: str = "") -> None:
        image, axes = self.image_box.layer, self.axes
        sizes = dict(zip(axes, stack_data(image).shape if image else (), strict=False))
        lead = [size for axis, size in sizes.items() if axis in "TZ"]
        # Ranges of planes and time points together could not be read off the sliders.
        length = lead[0] if len(lead) == 1 else 0
        self.frame_range.set_length(length)
        self._show_row(self.frame_range, visible=length > 1)
        self.channel_box.offer(channel_names(image, axes) if image else [])
        self._show_row(self.channel_box, visible=self.channels is not None)
        large = max(sizes.get("Y", 0), sizes.get("X", 0)) > DEFAULT_TILE // 2
        self._show_row(self.tile_box, visible=large)

    def _follow_channels(self) -> None:
        self.channel_problem.show_message(self.channel_box.problem, "warning")

    def _guide(self) -> None:
        """Tell what to do next."""
        image = self.image_box.layer
        layers = [annotation.layer for annotation in self.annotation_list.annotations]
        if image is None:
            text = "<b>First</b> open an image stack: drop a file on the window, or try the sample."
        elif not layers:
            text = "<b>Now</b> go to a frame that shows your class, and choose how to draw on it."
        else:
            text = (
                "<b>Mark</b> the class on one frame or more, then press <b>Segment stack</b>: "
                "every frame gets it."
            )
        self.guide.show_message("" if self._guided_elsewhere else text)
        self.annotation_list.setVisible(self.annotation_list.topLevelItemCount() > 0)
        self._show_row(self.radius_box, visible=any(isinstance(layer, Points) for layer in layers))
        self.sample_button.setVisible(image is None)
        self.tour_button.setVisible(image is None and not self._guided_elsewhere)

    def _show_row(self, field: QWidget, *, visible: bool) -> None:
        # QFormLayout.setRowVisible would do, but Qt 5 has none.
        field.setVisible(visible)
        self._form.labelForField(field).setVisible(visible)

    def _open_sample(self) -> None:
        before = list(self._viewer.layers)
        self._viewer.open_sample("napari-vrp-sam", "stack")
        opened = [layer for layer in self._viewer.layers if layer not in before]
        added = AddedLayers(self._viewer, opened)
        self._history.push("open the sample stack", added.take_out, added.put_back)

    def _draw(self, drawing: Drawing) -> None:
        try:
            new_annotation_layer(self._viewer, self.image, drawing, self.class_list.current)
        except InputError as mistake:
            self.warned.emit(str(mistake))
