"""Objects of a result: found on request or after each run, with a table."""

import numpy as np
import pandas as pd
import pytest
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QPushButton

from napari_vrp_sam.inference.runs.process.engine import ProcessEngine
from napari_vrp_sam.plugin.layers.outputs.objects import is_objects_layer
from napari_vrp_sam.plugin.layers.outputs.results import is_result_layer
from napari_vrp_sam.plugin.objects.form import CLASSES, LINKED, ON_FRAMES
from napari_vrp_sam.plugin.segment.widget import SegmentStackWidget
from napari_vrp_sam.plugin.widgets.background.watched_run import POLL_MILLISECONDS


def objects_layers(viewer):
    return [layer for layer in viewer.layers if is_objects_layer(layer)]


def result(viewer):
    return next(layer for layer in viewer.layers if is_result_layer(layer))


def press(qtbot, button):
    qtbot.mouseClick(button, Qt.MouseButton.LeftButton)


def segment(qtbot, dock, engine):
    engine.let_through()
    press(qtbot, dock.segment_button)
    qtbot.waitUntil(lambda: not dock.running, timeout=60_000)


def choose_output(dock, output):
    dock.objects_panel.expand(animate=False)
    dock.objects_panel.form.output_box.setCurrentIndex(output)


def close_gate(engine):
    """Remove the permits that the run has left over."""
    while engine.gate.acquire(blocking=False):
        pass


def find(qtbot, dock):
    press(qtbot, dock.objects_panel.find_button)
    qtbot.waitUntil(lambda: not dock.objects_panel.running, timeout=60_000)


@pytest.fixture
def segmented(qtbot, dock, engine, annotated):
    """Segment the annotated stack and expand the panel; return the image."""
    segment(qtbot, dock, engine)
    dock.objects_panel.expand(animate=False)
    return annotated[0]


def test_buttons_are_disabled_without_a_result(dock, annotated):
    panel = dock.objects_panel
    assert panel.isVisible()
    assert not panel.isExpanded()
    choose_output(dock, LINKED)
    assert panel.form.output_box.currentText() == "Objects through Z"
    assert not panel.find_button.isEnabled()
    assert panel.form.divisions_check.isHidden()


def test_linked_objects(qtbot, viewer, dock, segmented, stack):
    choose_output(dock, LINKED)
    find(qtbot, dock)
    (layer,) = objects_layers(viewer)
    assert layer.name == "stack objects"
    assert layer.data.dtype == np.uint8
    np.testing.assert_array_equal(layer.data, result(viewer).data)  # one object per class
    assert layer.scale == pytest.approx([2, 0.5, 0.5])
    assert is_objects_layer(viewer.layers[-1])
    table = layer.features.set_index("index")
    assert table.loc[[1, 2], "class"].tolist() == [1, 2]
    assert table.loc[1, ["first_z", "last_z", "frames"]].tolist() == [0, 6, 7]
    assert table.loc[1, "area"] == table.loc[1, "area_um2"] * 4 == 12 * 14
    assert table.loc[1, "volume_um3"] == pytest.approx(7 * 12 * 14 * 0.5)
    assert table.loc[2, "mean_intensity"] == 200
    assert 0 < table.loc[1, "confidence"] <= 1
    assert "Added 2 objects to 'stack objects'" in dock.status.text()


def test_undo(qtbot, viewer, dock, segmented):
    choose_output(dock, LINKED)
    find(qtbot, dock)
    found = objects_layers(viewer)[0].data.copy()
    assert dock.history.undo_text == "find objects"
    dock.history.undo()
    assert not objects_layers(viewer)
    dock.history.redo()
    np.testing.assert_array_equal(objects_layers(viewer)[0].data, found)


def test_objects_on_each_frame_include_corrections(qtbot, viewer, dock, segmented):
    result(viewer).data[0, 40:46, 20:30] = 2
    choose_output(dock, ON_FRAMES)
    find(qtbot, dock)
    (layer,) = objects_layers(viewer)
    assert len(layer.features) == 1 + 2 * 7 + 1
    painted = layer.data[0, 42, 25]
    assert layer.features.set_index("index").loc[painted, "area"] == 60


def test_each_search_adds_a_layer_and_hides_earlier_ones(qtbot, viewer, dock, engine, segmented):
    choose_output(dock, LINKED)
    find(qtbot, dock)
    first = objects_layers(viewer)[0]
    first.name = "renamed"
    before = first.data.copy()
    dock.result_tools.form.size_box.setValue(10_000)
    qtbot.waitUntil(lambda: not dock.result_tools.relabelling.busy, timeout=60_000)
    find(qtbot, dock)
    second = objects_layers(viewer)[1]
    assert (first.visible, second.visible) == (False, True)
    np.testing.assert_array_equal(first.data, before)
    assert not second.data.any()
    assert not dock.form.annotation_list.annotations[0].layer.name.endswith("objects")


def test_objects_are_found_after_each_run(qtbot, viewer, dock, engine, annotated):
    choose_output(dock, LINKED)
    segment(qtbot, dock, engine)
    qtbot.waitUntil(lambda: not dock.objects_panel.running, timeout=60_000)
    assert len(objects_layers(viewer)) == 1
    choose_output(dock, CLASSES)
    segment(qtbot, dock, engine)
    assert not dock.objects_panel.running
    assert len(objects_layers(viewer)) == 1


def test_layers_deleted_during_the_search(qtbot, viewer, dock, engine, segmented):
    choose_output(dock, LINKED)
    close_gate(engine)
    press(qtbot, dock.objects_panel.find_button)
    engine.let_through(2)
    qtbot.waitUntil(lambda: "Measuring" in dock.status.text(), timeout=60_000)
    viewer.layers.clear()
    engine.let_through()
    qtbot.waitUntil(lambda: not dock.objects_panel.running, timeout=60_000)
    (layer,) = objects_layers(viewer)
    assert len(layer.features) == 3


def test_cancel(qtbot, viewer, dock, engine, segmented):
    choose_output(dock, LINKED)
    close_gate(engine)
    press(qtbot, dock.objects_panel.find_button)
    assert dock.objects_panel.find_button.text() == "Cancel"
    press(qtbot, dock.objects_panel.find_button)
    engine.let_through()
    qtbot.waitUntil(lambda: not dock.objects_panel.running, timeout=60_000)
    assert "Cancelled" in dock.status.text()
    assert objects_layers(viewer) == []
    assert dock.objects_panel.find_button.text() == "Find objects"


def test_closing_the_dock_stops_the_search(qtbot, viewer, dock, engine, segmented):
    choose_output(dock, LINKED)
    close_gate(engine)
    press(qtbot, dock.objects_panel.find_button)
    viewer.window.remove_dock_widget(dock)
    assert not dock.objects_panel.running
    engine.let_through()
    list(engine.runs[-1].events())
    qtbot.wait(2 * POLL_MILLISECONDS)
    assert objects_layers(viewer) == []
    dock.close()


def test_divisions(qtbot, viewer, dock, engine, stack):
    data = np.full((5, 48, 64), 20, np.uint8)
    data[:2, 10:18, 20:40] = 200
    data[2:, 10:18, 17:27] = data[2:, 10:18, 33:43] = 200
    viewer.add_image(data, name="cells", axis_labels=("t", "y", "x"))
    viewer.add_labels((data > 100).astype(np.uint8) * (np.arange(5) == 1)[:, None, None])
    segment(qtbot, dock, engine)
    choose_output(dock, LINKED)
    assert dock.objects_panel.form.output_box.currentText() == "Objects through T"
    assert dock.objects_panel.form.divisions_check.isVisible()
    dock.objects_panel.form.divisions_check.setChecked(True)
    find(qtbot, dock)
    (layer,) = objects_layers(viewer)
    table = layer.features.set_index("index").loc[1:]
    assert table["parent"].tolist() == [0, 1, 1]
    assert table["first_t"].tolist() == [0, 2, 2]


def test_linking_is_offered_for_stacks_only(viewer, dock):
    viewer.add_image(np.zeros((32, 32)), name="2-D image")
    assert dock.objects_panel.form.output_box.count() == LINKED
    viewer.add_image(np.zeros((4, 3, 32, 32)), name="stack")
    dock.form.image_box.setCurrentIndex(1)
    assert dock.objects_panel.form.output_box.itemText(LINKED) == "Objects through Z and T"


def test_selecting_a_table_row_shows_the_object(qtbot, viewer, dock, segmented):
    result(viewer).data[:4, 40:46, 20:30] = 0
    result(viewer).data[5:, 40:46, 20:30] = 1  # a third object on the last frames
    choose_output(dock, LINKED)
    find(qtbot, dock)
    (layer,) = objects_layers(viewer)
    viewer.layers.selection.active = layer
    _, widget = viewer.window.add_plugin_dock_widget("napari", "Features table widget")
    shown = widget.table.model().sourceModel().df
    pd.testing.assert_frame_equal(shown, layer.features)
    viewer.dims.set_current_step(0, 0)
    late = int(layer.data[5, 42, 25])
    assert late == 3
    widget.table.selectRow(late)
    assert layer.selected_label == late
    assert viewer.dims.current_step[0] == 5
    widget.table.selectRow(1)  # already in view
    assert viewer.dims.current_step[0] == 5


def test_the_table_is_exported_in_one_place(qtbot, viewer, dock, segmented, tmp_path):
    choose_output(dock, LINKED)
    button = dock.export_button
    button.refresh()
    assert not button.actions_by_content["table"].isEnabled()
    find(qtbot, dock)
    button.refresh()
    assert button.actions_by_content["table"].isEnabled()
    path = tmp_path / "new" / "table.csv"
    with qtbot.waitSignal(button.reported, check_params_cb=lambda text: "Saved" in text):
        button.export("table", path)
    table = pd.read_csv(path)
    assert table["index"].tolist() == [1, 2]
    assert table["frames"].tolist() == [7, 7]
    (tmp_path / "file").write_text("not a folder")
    with qtbot.waitSignal(button.warned) as warned:
        button.export("table", tmp_path / "file" / "table.csv")
    assert "cannot be written" in warned.args[0]
    texts = {child.text() for child in dock.findChildren(QPushButton)}
    assert not {text for text in texts if "table" in text.lower()}


@pytest.mark.slow
def test_process_engine(qtbot, viewer, stack):
    engine = ProcessEngine()
    dock = SegmentStackWidget(viewer, engine)
    viewer.window.add_dock_widget(dock)
    data, ground_truth = stack
    image = viewer.add_image(np.stack([data, data], axis=1), name="two channels")
    dock.form.axes_box.setCurrentText("ZCYX")
    labels = viewer.add_labels(np.stack([ground_truth, ground_truth], axis=1))
    labels.metadata["napari-vrp-sam"] = {
        "result of": image.unique_id, "axes": "ZCYX", "confidence": {0: 0.5}
    }  # fmt: skip
    choose_output(dock, LINKED)
    dock.objects_panel.find()
    qtbot.waitUntil(lambda: not dock.objects_panel.running, timeout=120_000)
    (layer,) = objects_layers(viewer)
    np.testing.assert_array_equal(layer.data, labels.data)
    table = layer.features.set_index("index")
    assert table.loc[1, ["mean_intensity_0", "mean_intensity_1"]].tolist() == [100, 100]
    assert table.loc[2, "confidence"] == 0.5
    assert "area_um2" not in table
    engine.close()


def test_expanded_section_fits_a_narrow_dock(qtbot, dock, annotated):
    choose_output(dock, LINKED)
    dock.objects_panel.form.output_box.setItemText(LINKED, "Objects through Z and T")
    qtbot.wait(50)
    assert dock.minimumSizeHint().width() <= 284


def find_on_frames(qtbot, dock):
    choose_output(dock, ON_FRAMES)
    find(qtbot, dock)


def refused(dock, tmp_path):
    """Return True if the export of the table is refused because it is out of date."""
    sentences = []
    dock.export_button.warned.connect(sentences.append)
    dock.export_button.reported.connect(sentences.append)
    dock.export_button.export("table", tmp_path / "table.csv")
    return "press Find objects" in sentences[0]


def test_objects_are_out_of_date_after_another_threshold(
    qtbot, viewer, dock, engine, segmented, tmp_path
):
    find_on_frames(qtbot, dock)
    assert "out of date" not in dock.status.text()
    assert not refused(dock, tmp_path)
    dock.result_tools.form.threshold_slider.setValue(97)
    qtbot.waitUntil(lambda: not dock.result_tools.relabelling.busy, timeout=60_000)
    assert dock.status.text().endswith("The objects are out of date: press Find objects.")
    assert "Added" not in dock.status.text()
    assert refused(dock, tmp_path)
    dock.history.undo()
    qtbot.waitUntil(lambda: not dock.result_tools.relabelling.busy, timeout=60_000)
    assert "out of date" not in dock.status.text()
    assert not refused(dock, tmp_path)


def test_objects_are_out_of_date_after_a_correction_or_run(
    qtbot, viewer, dock, engine, segmented, tmp_path
):
    find_on_frames(qtbot, dock)
    viewer.dims.set_current_step(0, 5)
    result(viewer).data[5, 40:44, 50:60] = 2
    press(qtbot, dock.accept_button)
    assert "The objects are out of date" in dock.status.text()
    assert refused(dock, tmp_path)
    find(qtbot, dock)
    assert "out of date" not in dock.status.text()
    choose_output(dock, CLASSES)  # the next run finds none
    segment(qtbot, dock, engine)
    assert "The objects are out of date" in dock.status.text()
    assert refused(dock, tmp_path)


def test_table_names_the_classes(qtbot, dock, segmented, tmp_path):
    find_on_frames(qtbot, dock)
    path = tmp_path / "table.csv"
    with qtbot.waitSignal(
        dock.export_button.reported, check_params_cb=lambda text: "Saved" in text, timeout=20_000
    ):
        dock.export_button.export("table", path)
    table = pd.read_csv(path)
    assert set(zip(table["class"], table["class_name"], strict=True)) == {
        (1, "class 1"),
        (2, "class 2"),
    }
