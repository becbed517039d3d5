import json

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Labels
from qtpy.QtCore import Qt, QTimer
from qtpy.QtGui import QColor
from qtpy.QtWidgets import QApplication, QColorDialog
from tests.plugin.classes.shown import numbers, shown_colour
from tests.plugin.window import press, run

from napari_vrp_sam.errors import InputError
from napari_vrp_sam.models.calibration import ClassCalibration
from napari_vrp_sam.plugin.classes.class_link import ClassLink
from napari_vrp_sam.plugin.classes.classes import ClassEntry
from napari_vrp_sam.plugin.layers.appearance.palette import default_colour
from napari_vrp_sam.plugin.layers.metadata import (
    get_metadata,
    set_metadata,
    unwrap,
)
from napari_vrp_sam.plugin.layers.outputs.outlines import FrameOutline
from napari_vrp_sam.plugin.layers.outputs.results import RESULT_OF, is_result_layer
from napari_vrp_sam.plugin.layers.stacks import frames_of


def test_add_rename_and_remove_classes(qtbot, viewer, dock, class_list):
    assert list(class_list.classes) == [ClassEntry(1, "class 1", default_colour(1))]

    press(qtbot, class_list.add_button)
    name_box = class_list.row(2).name_box
    assert dock.window().focusWidget() is name_box
    assert class_list.classes.current == 2
    name_box.selectAll()
    qtbot.keyClicks(name_box, "nucleus 1")
    qtbot.keyClick(name_box, Qt.Key.Key_Return)
    assert [entry.name for entry in class_list.classes] == ["class 1", "nucleus 1"]
    assert class_list.classes.current == 2  # digits in a name do not choose classes
    assert dock.window().focusWidget() is not name_box

    press(qtbot, class_list.row(1).number_button)
    assert class_list.classes.current == 1
    press(qtbot, class_list.remove_button)
    assert numbers(class_list) == [2]
    assert class_list.classes.current == 2

    press(qtbot, class_list.remove_button)
    assert numbers(class_list) == [2]
    assert "at least one class is needed" in dock.status.text()
    press(qtbot, class_list.add_button)  # gets the lowest free number
    assert numbers(class_list) == [1, 2]


def test_invalid_or_cancelled_name_is_restored(qtbot, dock, class_list):
    reported = []
    dock.form.warned.connect(reported.append)
    press(qtbot, class_list.add_button)
    name_box = class_list.row(2).name_box
    for text, key, sentence in (
        ("  ", Qt.Key.Key_Return, "needs a name"),
        ("class 1", Qt.Key.Key_Return, "A class named 'class 1' already exists"),
        ("changed my mind", Qt.Key.Key_Escape, ""),
    ):
        reported.clear()
        name_box.selectAll()
        qtbot.keyClicks(name_box, text)
        qtbot.keyClick(name_box, key)

        assert class_list.classes.name(2) == name_box.text() == "class 2"
        assert len(reported) == bool(sentence)  # exactly one message
        assert sentence in "".join(reported)


def test_choose_colour_in_a_dialog(qtbot, viewer, dock, class_list):
    seen = []

    def choose():
        dialog = QApplication.activeModalWidget()
        assert isinstance(dialog, QColorDialog)
        seen.append((dialog.parent() is class_list.row(1), dialog.currentColor().name()))
        dialog.setCurrentColor(QColor("#12ab34"))
        dialog.accept()

    QTimer.singleShot(300, choose)
    press(qtbot, class_list.row(1).swatch)

    assert seen == [(True, default_colour(1))]
    assert class_list.classes.colours()[1] == "#12ab34"


def test_alt_and_number_choose_classes(qtbot, viewer, dock, class_list, press_key, stack):
    viewer.add_image(stack[0])
    press(qtbot, class_list.add_button)
    for drawing in ("mask", "scribble", "point", "box"):
        press(qtbot, dock.form.draw_buttons[drawing])
        layer = viewer.layers.selection.active
        mode = layer.mode

        press_key("1")
        assert class_list.classes.current == 1
        press_key("2")
        assert class_list.classes.current == 2
        assert class_list.row(2).number_button.isChecked()
        assert not class_list.row(1).number_button.isChecked()
        drawn = layer.selected_label if drawing in ("mask", "scribble") else None
        assert (drawn or layer.feature_defaults["class"].iloc[0]) == 2
        assert layer.mode == mode

        dock.panel.notify("")
        press_key("7")
        assert "Class 7 does not exist" in dock.status.text()
        assert class_list.classes.current == 2
        assert layer.mode == mode


def test_napari_keeps_the_keys_that_it_announces(qtbot, viewer, dock, class_list, canvas, stack):
    viewer.add_image(stack[0])
    press(qtbot, class_list.add_button)
    press(qtbot, dock.form.draw_buttons["mask"])
    layer = viewer.layers.selection.active
    qtbot.keyClicks(canvas, "1")
    assert (str(layer.mode), class_list.classes.current) == ("erase", 2)


def test_other_layers_have_no_keys_for_classes(
    qtbot, viewer, dock, class_list, press_key, annotated
):
    _, labels = annotated
    viewer.layers.selection.active = labels
    labels.mode = "paint"
    press_key("2")
    assert (labels.selected_label, str(labels.mode)) == (2, "paint")

    dock.form.annotation_list.tick(labels, on=False)
    press_key("1")
    assert (labels.selected_label, str(labels.mode)) == (2, "paint")

    dock.form.annotation_list.tick(labels)
    press_key("1")
    assert (labels.selected_label, str(labels.mode)) == (1, "paint")

    viewer.layers.selection.active = viewer.layers[0]
    assert labels.keymap == {}
    labels.bind_key("Alt-9", own := lambda layer: None)  # by the user
    viewer.layers.selection.active = labels
    assert own not in labels.keymap.values()
    viewer.layers.selection.active = viewer.layers[0]
    assert list(labels.keymap.values()) == [own]


def test_a_new_name_appears_in_the_expected_iou(qtbot, viewer, dock, class_list, engine, annotated):
    engine.calibrations = {1: ClassCalibration(0.5, expected_iou=0.8)}
    run(qtbot, dock, engine)
    assert "Expected IoU: 0.88 (class 1)" in dock.expected_iou_label.text()
    class_list.row(1).renamed.emit("nucleus")
    assert "Expected IoU: 0.88 (nucleus)" in dock.expected_iou_label.text()
    assert "nucleus: expected IoU 0.80" in dock.expected_iou_label.toolTip()


def test_colours_and_names_of_several_classes_in_one_run(
    qtbot, viewer, dock, class_list, engine, stack
):
    data, truth = stack
    viewer.add_image(data, name="stack")
    press(qtbot, dock.form.draw_buttons["mask"])
    masks = viewer.layers.selection.active
    masks.data[3] = truth[3] == 1
    press(qtbot, class_list.add_button)
    press(qtbot, dock.form.draw_buttons["box"])
    boxes = viewer.layers.selection.active
    row, column = (int(at.min()) for at in np.nonzero(truth[3] == 2))
    corners = [(row, column), (row, column + 13), (row + 11, column + 13), (row + 11, column)]
    boxes.add_rectangles(np.insert(np.array(corners, dtype=float), 0, 3, axis=1))
    class_list.row(2).renamed.emit("lysosome <2>")
    engine.calibrations = {
        1: ClassCalibration(0.5, expected_iou=0.711),
        2: ClassCalibration(0.5, expected_iou=0.64),
    }

    run(qtbot, dock, engine)

    (result,) = [layer for layer in viewer.layers if is_result_layer(layer)]
    np.testing.assert_array_equal(result.data, truth)
    assert dock.expected_iou_label.text().startswith(
        "Expected IoU: 0.88 (class 1), 0.88 (lysosome <2>)"
    )
    assert "lysosome &lt;2&gt;:" in dock.expected_iou_label.toolTip()
    assert shown_colour(result, 1) == shown_colour(masks, 1) == class_list.classes.colours()[1]
    assert shown_colour(result, 2) == shown_colour(boxes, 2) == class_list.classes.colours()[2]
    assert shown_colour(result, 1) != shown_colour(result, 2)

    class_list.row(2).recoloured.emit("#ff00ff")
    class_list.row(1).recoloured.emit("#00ff00")
    assert {shown_colour(layer, 2) for layer in (result, masks, boxes)} == {"#ff00ff"}
    assert {shown_colour(layer, 1) for layer in (result, masks)} == {"#00ff00"}
    class_list.row(1).renamed.emit("mitochondria")
    assert get_metadata(result, "classes") == [
        {"number": 1, "name": "mitochondria", "colour": "#00ff00"},
        {"number": 2, "name": "lysosome <2>", "colour": "#ff00ff"},
    ]
    json.dumps(get_metadata(result, "classes"))  # must be serialisable

    run(qtbot, dock, engine)
    press(qtbot, dock.form.draw_buttons["point"])
    points = viewer.layers.selection.active
    points.add([3, 5, 5])
    newest = [layer for layer in viewer.layers if is_result_layer(layer)][-1]
    assert newest != result
    assert shown_colour(newest, 1) == "#00ff00"
    assert shown_colour(points, 2) == "#ff00ff"


def test_painted_class_is_added_to_the_list(qtbot, viewer, dock, class_list, annotated):
    _, labels = annotated
    assert numbers(class_list) == [1, 2]  # both are drawn
    viewer.layers.selection.active = labels

    labels.selected_label = 7
    assert numbers(class_list) == [1, 2]  # not yet
    assert class_list.classes.current == 7
    labels.mode = "erase"
    labels.paint((0, 5, 5), 0)
    assert numbers(class_list) == [1, 2]
    labels.mode = "paint"
    labels.paint((0, 5, 5), 7)

    assert numbers(class_list) == [1, 2, 7]
    assert class_list.row(7).number_button.isChecked()
    labels.selected_label = 0  # label 0 erases
    assert class_list.classes.current == 7


def test_classes_of_new_layers_are_added_to_the_list(viewer, dock, class_list, stack):
    viewer.add_image(stack[0], name="stack")
    viewer.add_points([[0, 1, 1], [0, 2, 2]], features={"class": [4, 5]})
    viewer.add_points([[0, 1, 1]], features={"class": ["no number"]})
    result = Labels(stack[1])
    set_metadata(
        result, **{RESULT_OF: "stack"}, classes=[{"number": 2, "name": "n", "colour": "#0000ff"}]
    )
    viewer.add_layer(result)

    assert [(entry.number, entry.name) for entry in class_list.classes] == [
        (1, "class 1"),
        (2, "n"),
        (4, "class 4"),
        (5, "class 5"),
    ]
    assert shown_colour(result, 2) == "#0000ff"


def test_object_labels_keep_their_colours(viewer, dock, class_list):
    objects = np.arange(40 * 40).reshape(40, 40)
    layer = viewer.add_labels(objects)
    large = viewer.add_labels(np.broadcast_to(np.uint8(3), (2**11, 2**8, 2**8)))
    before = [shown_colour(layer, number) for number in (1, 500)]

    class_list.row(1).recoloured.emit("#ff00ff")

    assert numbers(class_list) == [1]
    assert [shown_colour(layer, number) for number in (1, 500)] == before
    assert shown_colour(large, 1) == before[0]


def test_user_colours_stay_until_a_class_is_recoloured(qtbot, viewer, dock, class_list):
    viewer.add_image(np.zeros((2, 9, 9)))
    points = viewer.add_points([[0, 1, 1]], face_color="#123456")
    labels = viewer.add_labels(np.ones((2, 9, 9), int), colormap={None: "black", 1: "#654321"})
    unticked = viewer.add_labels(np.ones((2, 9, 9), int), name="other")
    dock.form.annotation_list.tick(unticked, on=False)
    press(qtbot, class_list.add_button)
    assert QColor.fromRgbF(*map(float, points.face_color[0])).name() == "#123456"
    assert shown_colour(labels, 1) == "#654321"

    class_list.row(1).recoloured.emit("#00ff00")

    assert QColor.fromRgbF(*map(float, points.face_color[0])).name() == "#00ff00"
    assert shown_colour(labels, 1) == "#00ff00"
    assert shown_colour(unticked, 1) == default_colour(1)


def test_drawn_class_cannot_be_removed(qtbot, viewer, dock, class_list, annotated):
    _, labels = annotated
    class_list.classes.choose(2)
    press(qtbot, class_list.remove_button)
    assert numbers(class_list) == [1, 2]
    assert dock.status.text().startswith("'class 2' was not removed because it is drawn in 'drawn'")
    assert dock.status.severity == "warning"

    labels.data[labels.data == 2] = 0
    press(qtbot, class_list.remove_button)
    assert numbers(class_list) == [1]


def test_run_adds_drawn_classes_to_the_list(qtbot, viewer, dock, engine, class_list):
    lazy = pytest.importorskip("dask.array")
    viewer.add_image(np.zeros((3, 48, 64), dtype=np.uint8), name="stack")
    drawn = np.zeros((3, 48, 64), dtype=np.uint8)
    drawn[1, 5:9, 5:9] = 6
    viewer.add_labels(lazy.from_array(drawn))
    assert numbers(class_list) == [1]  # lazy labels are not searched

    run(qtbot, dock, engine)

    assert numbers(class_list) == [1, 6]


def test_run_does_not_change_the_current_class(qtbot, viewer, dock, engine, class_list, annotated):
    image, _ = annotated
    viewer.layers.selection.active = image
    class_list.classes.choose(2)

    run(qtbot, dock, engine)

    assert viewer.layers.selection.active == image
    assert class_list.classes.current == 2
    (result,) = [layer for layer in viewer.layers if is_result_layer(layer)]
    assert result.selected_label == 2  # for corrections of this class


def test_class_beyond_the_dtype_of_a_layer_is_reported(viewer, dock, class_list):
    class_list.classes.replace_all([ClassEntry.default(1), ClassEntry.default(200)])
    labels = viewer.add_labels(np.zeros((9, 9), dtype=np.int8), name="narrow")

    class_list.row(200).chosen.emit()

    assert "'narrow' cannot hold class 200" in dock.status.text()
    assert labels.selected_label == 1


def test_list_scrolls_beyond_two_rows(qtbot, viewer, dock, class_list):
    heights = []
    for _ in range(6):
        heights.append(class_list.sizeHint().height())
        press(qtbot, class_list.add_button)
    assert len(set(heights)) == 1  # so that nothing below moves
    assert dock.minimumSizeHint().width() <= 284
    row = class_list.row(7)
    qtbot.waitUntil(lambda: not row.visibleRegion().isEmpty())  # the current class is visible


def test_objects_of_a_preview_are_no_classes(viewer, dock, class_list, stack):
    image = unwrap(viewer.add_image(stack[0], name="stack"))
    objects = np.arange(48 * 64).reshape(48, 64) % 9
    outline = FrameOutline(viewer, "object preview", classes=False)
    outline.show(image, frames_of(image, "ZYX"), 2, objects.astype(np.uint16))
    assert list(class_list.classes) == [ClassEntry(1, "class 1", default_colour(1))]


def test_replace_all_classes(viewer, dock, class_list):
    entries = [ClassEntry(2, "b", "#00ff00"), ClassEntry(9, "i", "#0000ff")]
    class_list.classes.replace_all(reversed(entries))
    assert list(class_list.classes) == entries
    assert class_list.classes.current == 2
    assert class_list.classes.as_dicts([9, 12]) == [{"number": 9, "name": "i", "colour": "#0000ff"}]

    for wrong in (
        [],
        [ClassEntry.default(0)],
        [ClassEntry.default(256)],
        [ClassEntry.default(3)] * 2,
    ):
        with pytest.raises(InputError, match="a different number"):
            class_list.classes.replace_all(wrong)
    assert list(class_list.classes) == entries


def test_at_most_255_classes(qtbot, viewer, dock, class_list):
    class_list.classes.replace_all(map(ClassEntry.default, range(1, 256)))
    press(qtbot, class_list.add_button)
    assert "255 classes already" in dock.status.text()


def test_closed_dock_restores_key_bindings(qtbot, viewer, dock, annotated):
    _, labels = annotated
    viewer.layers.selection.active = labels
    frame = dock.parentWidget()
    qtbot.waitUntil(lambda: len(labels.keymap) == 10 and len(viewer.keymap) == 3)

    frame.close()
    assert not labels.keymap
    assert not viewer.keymap
    frame.show()
    assert len(labels.keymap) == 10
    assert len(viewer.keymap) == 3


def test_closed_window_removes_key_bindings_and_connections(qtbot, make_napari_viewer, cold_worker):
    from napari_vrp_sam.plugin.segment.widget import SegmentStackWidget

    viewer = make_napari_viewer(show=True)
    dock = SegmentStackWidget(viewer)
    viewer.window.add_dock_widget(dock)
    viewer.add_image(np.zeros((2, 9, 9)))
    before = len(ViewerModel().keymap)

    def ours(emitter):
        owners = [callback[0]() for callback in emitter.callbacks if isinstance(callback, tuple)]
        return [owner for owner in owners if isinstance(owner, ClassLink)]

    press(qtbot, dock.form.draw_buttons["mask"])
    layer = viewer.layers.selection.active
    emitters = (
        layer.events.paint,
        layer.events.selected_label,
        viewer.layers.selection.events.active,
    )
    assert [len(ours(emitter)) for emitter in emitters] == [1, 1, 1]
    qtbot.waitUntil(lambda: len(layer.keymap) == 10 and len(viewer.keymap) == before + 3)

    viewer.close()

    assert not layer.keymap
    assert len(viewer.keymap) == before
    assert [ours(emitter) for emitter in emitters] == [[], [], []]
