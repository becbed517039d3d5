"""Threshold and clean-up of a result in the window."""

import threading

import numpy as np
import pytest
from napari.layers import Labels
from qtpy.QtCore import QPoint, QPointF, Qt
from qtpy.QtGui import QWheelEvent
from qtpy.QtWidgets import QApplication
from tests.plugin.window import press, results, run
from typer.testing import CliRunner

from napari_vrp_sam.cli import app
from napari_vrp_sam.inference.frames import Frames
from napari_vrp_sam.inference.objects.result_settings import ResultSettings
from napari_vrp_sam.inference.relabelling.relabel import RelabelSettings, relabel_frame
from napari_vrp_sam.io.images.stacks import read_stack
from napari_vrp_sam.plugin.layers.metadata import get_metadata
from napari_vrp_sam.plugin.layers.outputs.kept_probabilities import (
    KeptProbabilities,
    kept_probabilities,
)
from napari_vrp_sam.plugin.layers.outputs.result_settings import SETTINGS
from napari_vrp_sam.plugin.session.layers import NOTES, stored_result


@pytest.fixture
def graded(stack):
    """The stack, in which the squares have borders of other brightness."""
    data, truth = stack
    data[truth == 1] = 100
    for z in range(7):
        data[z, 4 + 3 * z : 6 + 3 * z, 5:19] = 124  # its probability is between 0.3 and 0.5
    return data, truth


@pytest.fixture
def tools(qtbot, viewer, dock, engine, graded, annotated):
    """Result tools of the dock after a run."""
    run(qtbot, dock, engine)
    return dock.result_tools


@pytest.fixture
def applied(qtbot, tools):
    """Return a function that waits until all frames have their labels."""
    return lambda: qtbot.waitUntil(lambda: not tools.relabelling.busy, timeout=60_000)


def by_settings(layer, settings):
    kept = kept_probabilities(layer)
    frames = [kept.frames[index].levels() for index in range(7)]
    return np.stack([relabel_frame(levels, kept.class_ids, settings) for levels in frames])


def test_probabilities_are_kept_without_asking(viewer, tools):
    (layer,) = results(viewer)
    kept = kept_probabilities(layer)
    assert kept.class_ids == (1, 2)
    assert sorted(kept.frames) == list(range(7))
    np.testing.assert_array_equal(layer.data, by_settings(layer, RelabelSettings()))
    assert kept.nbytes < 2 * layer.data.size / 2


def test_the_slider_changes_all_frames(viewer, dock, tools, applied):
    (layer,) = results(viewer)
    tools.expand()
    tools.form.threshold_slider.setValue(3)
    applied()
    expected = by_settings(layer, RelabelSettings({1: 0.03}))
    assert (expected != by_settings(layer, RelabelSettings())).any(axis=(1, 2)).all()
    np.testing.assert_array_equal(layer.data, expected)
    assert "0.03" in tools.form.threshold_label.text()
    assert get_metadata(layer, SETTINGS)["thresholds"] == {"1": 0.03}


def test_each_class_has_its_threshold(viewer, tools, applied):
    (layer,) = results(viewer)
    assert [tools.form.class_box.itemData(at) for at in range(2)] == [1, 2]
    tools.form.threshold_slider.setValue(3)
    tools.form.class_box.setCurrentIndex(1)
    assert tools.form.threshold_slider.value() == 50
    tools.form.threshold_slider.setValue(99)
    applied()
    expected = by_settings(layer, RelabelSettings({1: 0.03, 2: 0.99}))
    np.testing.assert_array_equal(layer.data, expected)


def test_one_drag_is_one_step_to_undo(viewer, dock, tools, applied):
    (layer,) = results(viewer)
    before = layer.data.copy()
    tools.form.threshold_slider.sliderPressed.emit()
    for percent in (40, 30, 20, 3):
        tools.form.threshold_slider.setValue(percent)
    applied()
    changed = layer.data.copy()
    assert (changed != before).any()
    assert dock.history.undo_text == "change the threshold"
    press_undo, press_redo = dock.undo_buttons.undo_button, dock.undo_buttons.redo_button
    assert "change the threshold" in press_undo.full_text
    press_undo.click()
    applied()
    np.testing.assert_array_equal(layer.data, before)
    assert tools.form.threshold_slider.value() == 50
    assert dock.history.undo_text == "segment stack"
    press_redo.click()
    applied()
    np.testing.assert_array_equal(layer.data, changed)
    assert tools.form.threshold_slider.value() == 3


def test_corrections_and_accepted_frames_stay(qtbot, viewer, dock, tools, applied):
    (layer,) = results(viewer)
    viewer.dims.set_current_step(0, 5)
    press(qtbot, dock.accept_button)
    accepted = layer.data[5].copy()
    layer.data[2, 40:44, 50:60] = 2  # painted
    layer.data[2, 12:14, 6:10] = 0  # erased
    tools.form.threshold_slider.setValue(3)
    applied()
    np.testing.assert_array_equal(layer.data[5], accepted)
    expected = by_settings(layer, RelabelSettings({1: 0.03}))
    expected[5] = accepted
    expected[2, 40:44, 50:60] = 2
    expected[2, 12:14, 6:10] = 0
    np.testing.assert_array_equal(layer.data, expected)


def test_a_correction_that_agrees_with_a_threshold_stays_for_others(viewer, tools, applied):
    (layer,) = results(viewer)
    low = by_settings(layer, RelabelSettings({1: 0.03}))
    gained = (low != layer.data) & (low == 1)
    layer.data[3][gained[3]] = 1  # as the low threshold will find
    tools.form.threshold_slider.setValue(3)
    applied()
    tools.form.threshold_slider.setValue(50)
    applied()
    assert (layer.data[3][gained[3]] == 1).all()
    assert (layer.data[4][gained[4]] == 0).all()


def test_the_frame_in_view_comes_first(qtbot, viewer, tools, monkeypatch):
    order = []
    gate = threading.Semaphore(0)
    compute = KeptProbabilities.compute

    def slow(kept, index, settings):
        assert gate.acquire(timeout=60)
        order.append(index)
        return compute(kept, index, settings)

    monkeypatch.setattr(KeptProbabilities, "compute", slow)
    viewer.dims.set_current_step(0, 4)
    tools.form.threshold_slider.setValue(30)
    gate.release()
    qtbot.waitUntil(lambda: len(order) == 1, timeout=60_000)
    viewer.dims.set_current_step(0, 6)
    gate.release(100)
    qtbot.waitUntil(lambda: not tools.relabelling.busy, timeout=60_000)
    assert order[0] == 4
    assert 6 in order[1:3]
    assert sorted(order) == list(range(7))


def test_another_result_without_probabilities(viewer, dock, tools):
    (layer,) = results(viewer)
    copy = Labels(layer.data.copy(), name="copy", metadata=dict(layer.metadata))
    viewer.add_layer(copy)
    layer.visible = False
    tools.refresh()
    assert "not available" in tools.note.text()
    assert not tools.form.threshold_slider.isEnabled()


def test_exported_files_are_those_of_the_command_line(
    qtbot, viewer, dock, tools, applied, tmp_path
):
    (layer,) = results(viewer)
    layer.data[2, 40:44, 50:60] = 2  # a correction
    button = dock.export_button
    button.refresh()
    enabled = {name: action.isEnabled() for name, action in button.actions_by_content.items()}
    assert enabled == {
        "labels": True, "objects": False, "probabilities": True, "table": False
    }  # fmt: skip
    for content, name in (
        ("labels", "labels.tif"), ("labels", "labels.zarr"), ("probabilities", "p.tif"),
    ):  # fmt: skip
        with qtbot.waitSignal(button.reported, check_params_cb=lambda text: "Saved" in text):
            button.export(content, tmp_path / name)
    for name in ("labels.tif", "labels.zarr"):
        data, axes = read_stack(tmp_path / name)
        np.testing.assert_array_equal(data, layer.data)
        assert (axes, data.dtype) == ("ZYX", np.uint8)
    command = ["relabel", str(tmp_path / "p.tif"), "--threshold", "1=0.03"]
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 0, done.output
    layer.data[2, 40:44, 50:60] = by_settings(layer, RelabelSettings())[2, 40:44, 50:60]
    tools.form.threshold_slider.setValue(3)
    applied()
    np.testing.assert_array_equal(read_stack(tmp_path / "p_relabelled.tif")[0], layer.data)


@pytest.mark.parametrize(("name", "problem"), [("a.mrc", "use one of"), ("p.png", "use .tif")])
def test_export_to_other_formats(qtbot, dock, tools, tmp_path, name, problem):
    content = "labels" if name.endswith("mrc") else "probabilities"
    with qtbot.waitSignal(dock.export_button.warned) as warned:
        dock.export_button.export(content, tmp_path / name)
    assert problem in warned.args[0]
    assert problem in dock.status.text()
    assert not any(tmp_path.iterdir())


def test_an_export_waits_for_all_frames(qtbot, viewer, dock, tools, applied, tmp_path):
    (layer,) = results(viewer)
    tools.form.threshold_slider.setValue(3)
    assert tools.relabelling.busy
    assert not dock.objects_panel.find_button.isEnabled()
    button = dock.export_button
    with qtbot.waitSignal(button.reported, check_params_cb=lambda text: "Saved" in text):
        button.export("labels", tmp_path / "labels.tif")
        applied()
    expected = by_settings(layer, RelabelSettings({1: 0.03}))
    np.testing.assert_array_equal(read_stack(tmp_path / "labels.tif")[0], expected)


def test_scrolling_the_dock_does_not_change_settings(qtbot, dock, tools):
    tools.expand(animate=False)

    def turn(control):
        at = QPointF(control.rect().center())
        place = QPointF(control.mapToGlobal(control.rect().center()))
        options = Qt.MouseButton.NoButton, Qt.KeyboardModifier.NoModifier
        event = QWheelEvent(
            at, place, QPoint(0, 0), QPoint(0, 120), *options, Qt.ScrollPhase.NoScrollPhase, False
        )
        QApplication.sendEvent(control, event)

    dock.segment_button.setFocus()
    for control in (tools.form.threshold_slider, tools.form.size_box, tools.form.smoothing_box):
        before = control.value()
        turn(control)
        assert control.value() == before
    dock.window().activateWindow()
    tools.form.size_box.setFocus()
    qtbot.waitUntil(tools.form.size_box.hasFocus)
    turn(tools.form.size_box)
    assert tools.form.size_box.value() >= 0  # no longer auto


def test_sessions_store_the_settings(viewer, tools, applied):
    (layer,) = results(viewer)
    tools.form.size_box.setValue(12)
    applied()
    stored = stored_result(layer, Frames(layer.data, "ZYX"))
    settings = stored.attributes[NOTES][SETTINGS]
    assert settings == {"thresholds": {}, "min_size": 12, "fill_holes": None, "smoothing": 0.0}


def test_the_next_run_uses_the_settings(qtbot, viewer, dock, engine, tools, applied):
    tools.form.threshold_slider.setValue(3)
    tools.form.size_box.setValue(5)
    applied()
    (first,) = results(viewer)
    changed = first.data.copy()
    dock.history.undo()
    dock.history.undo()
    applied()
    assert (first.data != changed).any()
    dock.history.redo()
    dock.history.redo()
    applied()
    run(qtbot, dock, engine)
    second = results(viewer)[-1]
    assert second is not first
    np.testing.assert_array_equal(second.data, changed)
    assert tools.settings == ResultSettings({1: 0.03}, min_size=5)
    assert tools.form.threshold_slider.value() == 3
    assert dock.status.text().endswith(", with threshold 0.03, minimum size 5 px.")
    assert tools.toggleButton().text().endswith("Threshold and clean-up (changed)")
    assert "Later runs" in tools.note.text()
    # Corrections are recognised with respect to the labels of this run.
    second.data[2, 40:44, 50:60] = 2
    tools.form.reset_button.click()
    applied()
    expected = by_settings(second, RelabelSettings())
    expected[2, 40:44, 50:60] = 2
    np.testing.assert_array_equal(second.data, expected)
    assert tools.settings == ResultSettings()
    assert not tools.form.reset_button.isEnabled()
    assert dock.history.undo_text == "reset threshold and clean-up"


def test_the_preview_uses_the_settings(qtbot, viewer, dock, engine, tools, applied):
    tools.form.threshold_slider.setValue(3)
    applied()
    expected = results(viewer)[0].data[viewer.dims.current_step[0]].copy()
    engine.let_through()
    dock.preview_box.setChecked(True)
    qtbot.waitUntil(lambda: "stack preview" in viewer.layers, timeout=60_000)
    shown = viewer.layers["stack preview"].data[viewer.dims.current_step[0]]
    np.testing.assert_array_equal(shown, expected)


def test_the_settings_of_the_result_in_view_are_shown(qtbot, viewer, dock, engine, tools, applied):
    tools.form.threshold_slider.setValue(3)
    applied()
    (first,) = results(viewer)
    run(qtbot, dock, engine)
    tools.form.reset_button.click()
    applied()
    viewer.layers.selection.active = first
    assert tools.form.threshold_slider.value() == 50  # a hidden result is not the current one
    results(viewer)[-1].visible = False
    first.visible = True
    viewer.layers.selection.active = first
    tools.refresh()
    assert tools.form.threshold_slider.value() == 3


def test_the_note_says_why_an_accepted_frame_does_not_change(qtbot, viewer, dock, tools, applied):
    note = "The frame in view is accepted and keeps its labels."
    viewer.dims.set_current_step(0, 5)
    press(qtbot, dock.accept_button)
    assert not tools.note.text()
    tools.form.threshold_moved.emit(1, 0.3)
    applied()
    assert tools.note.text().endswith(note)
    viewer.dims.set_current_step(0, 4)
    assert note not in tools.note.text()
    viewer.dims.set_current_step(0, 5)
    press(qtbot, dock.accept_button)  # no longer
    assert note not in tools.note.text()
