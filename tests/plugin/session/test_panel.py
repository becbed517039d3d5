"""Sessions saved and opened in a window, and run on the command line."""

import errno
import threading
from pathlib import Path

import dask.array as da
import numpy as np
import pytest
import tifffile
from napari.utils.notifications import notification_manager
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QFileDialog, QMessageBox
from typer.testing import CliRunner

from napari_vrp_sam.cli import app
from napari_vrp_sam.inference.objects.result_settings import ResultSettings
from napari_vrp_sam.inference.runs.engine import ThreadEngine
from napari_vrp_sam.io.images.stacks import read_stack
from napari_vrp_sam.io.sessions import layers as stored_layers
from napari_vrp_sam.io.sessions.session import read_session
from napari_vrp_sam.plugin.classes.annotation_layers import new_annotation_layer
from napari_vrp_sam.plugin.classes.classes import ClassEntry
from napari_vrp_sam.plugin.layers.outputs.accepted import (
    accepted_frames,
    current_result,
    set_accepted_frames,
)
from napari_vrp_sam.plugin.layers.outputs.kept_probabilities import keep_probabilities
from napari_vrp_sam.plugin.layers.outputs.result_settings import settings_of
from napari_vrp_sam.plugin.layers.outputs.results import is_result_layer
from napari_vrp_sam.plugin.segment.widget import SegmentStackWidget
from napari_vrp_sam.plugin.session.opening import session_reader
from napari_vrp_sam.plugin.session.saving import THREAD_NAME
from napari_vrp_sam.plugin.widgets.background.watched_run import POLL_MILLISECONDS


def wait_for(qtbot, condition):
    qtbot.waitUntil(condition, timeout=120_000)


def save(qtbot, dock, folder):
    dock.session_panel.save(folder)
    wait_for(qtbot, lambda: not dock.session_panel.saving)


def segment(qtbot, dock):
    dock.segment()
    wait_for(qtbot, lambda: not dock.running)


def second_window(make_napari_viewer_proxy, engine):
    viewer = make_napari_viewer_proxy()
    widget = SegmentStackWidget(viewer, engine)
    widget.preview_box.setChecked(False)  # only runs submit jobs
    viewer.window.add_dock_widget(widget, name="Segment stack")
    return viewer, widget


@pytest.fixture
def corrected(qtbot, viewer, dock, engine, annotated):
    """Segment the stack, correct and accept frame 5; return image and result."""
    image, _ = annotated
    engine.let_through()
    segment(qtbot, dock)
    result = current_result(viewer, image)
    result.data[5, 40:44, 50:60] = 2
    set_accepted_frames(result, [5])
    return image, result


def test_open_in_a_second_window(
    qtbot, viewer, dock, engine, corrected, tmp_path, make_napari_viewer_proxy
):
    image, result = corrected
    points = new_annotation_layer(viewer, image, "point", 2)
    points.add([2, 8, 45])
    dock.form.annotation_list.tick(points, on=False)
    dock.form.annotation_list.set_kind(viewer.layers["drawn"], "scribble")
    dock.form.frame_range.choose((1, 6))
    dock.form.device_box.setCurrentText("cpu")
    dock.form.radius_box.setValue(3.5)
    dock.form.tile_box.setValue(768)
    dock.form.class_list.classes.replace_all(
        [ClassEntry(1, "nuclei", "#ff0000"), ClassEntry(2, "walls", "#00ff80")]
    )
    viewer.dims.set_current_step(0, 4)
    folder = tmp_path / "a.vrpsam"
    save(qtbot, dock, folder)
    assert (
        dock.status.text()
        == "Saved as a.vrpsam, with a copy of the image because it is not in a file."
    )

    second_viewer, second_dock = second_window(make_napari_viewer_proxy, engine)
    second_dock.session_panel.open(folder)

    assert second_dock.status.text() == "Opened a.vrpsam."
    assert [layer.name for layer in second_viewer.layers] == [
        "stack",
        "drawn",
        "points",
        "stack segmented",
    ]
    restored_image = second_viewer.layers["stack"]
    assert restored_image.units == image.units
    np.testing.assert_allclose(restored_image.scale, image.scale)
    np.testing.assert_array_equal(np.asarray(restored_image.data), image.data)
    np.testing.assert_array_equal(second_viewer.layers["drawn"].data, viewer.layers["drawn"].data)
    rows = {row.layer.name: (row.ticked, row.kind) for row in second_dock.form.annotation_list.rows}
    assert rows == {"drawn": (True, "scribble"), "points": (False, "mask")}
    assert list(second_dock.form.class_list.classes) == list(dock.form.class_list.classes)
    for name in ("drawn", "stack segmented"):
        colours = [v.layers[name].colormap.map(np.arange(5)) for v in (second_viewer, viewer)]
        np.testing.assert_array_equal(*colours)
    np.testing.assert_array_equal(
        second_viewer.layers["points"].face_color, viewer.layers["points"].face_color
    )
    assert second_dock.form.frame_range.value() == (1, 6)
    assert second_dock.form.device_box.currentText() == "cpu"
    assert second_dock.form.radius_box.value() == 3.5
    assert second_dock.form.tile == 768
    assert second_viewer.dims.current_step[0] == 4
    restored_result = current_result(second_viewer, restored_image)
    assert accepted_frames(restored_result) == [5]
    np.testing.assert_array_equal(restored_result.data, result.data)
    assert second_dock.quality_panel.isVisibleTo(second_dock)
    assert second_dock.quality_panel.plot.toolTip() == dock.quality_panel.plot.toolTip()

    segment(qtbot, second_dock)
    first, second = (engine.jobs[0], engine.jobs[-1])
    assert second.accepted == {5}
    assert second.frames == (1, 6)
    assert sum(is_result_layer(layer) for layer in second_viewer.layers) == 2
    newest = current_result(second_viewer, restored_image)
    np.testing.assert_array_equal(newest.data[5], result.data[5])
    # A frame was accepted and the layer set to scribbles between the runs.
    assert {r.frame for r in first.references} == {3}
    assert {(r.frame, r.kind) for r in second.references} == {(3, "scribble"), (5, "mask")}


def test_opening_adds_layers_to_the_window(qtbot, viewer, dock, corrected, tmp_path):
    before = list(viewer.layers)
    save(qtbot, dock, tmp_path / "a.vrpsam")
    # As napari opens a dropped folder.
    added = viewer.open(tmp_path / "a.vrpsam", plugin="napari-vrp-sam")
    assert [layer.name for layer in added] == ["stack [1]", "drawn [1]", "stack segmented [1]"]
    assert list(viewer.layers)[: len(before)] == before
    assert dock.form.image is added[0]
    assert [row.layer for row in dock.form.annotation_list.rows if row.ticked] == [added[1]]
    for image, result in ((added[0], added[2]), (before[0], before[2])):
        assert current_result(viewer, image).unique_id == result.unique_id
    save(qtbot, dock, tmp_path / "b.vrpsam")
    assert sorted(path.name for path in (tmp_path / "b.vrpsam/annotations").iterdir()) == [
        "00-drawn-1.json", "00-drawn-1.tif",
    ]  # fmt: skip


def test_undo_opening(qtbot, viewer, dock, corrected, tmp_path):
    save(qtbot, dock, tmp_path / "day.vrpsam")
    before = [layer.name for layer in viewer.layers]
    dock.session_panel.open(tmp_path / "day.vrpsam")
    opened = [layer.name for layer in viewer.layers]
    assert len(opened) > len(before)
    dock.history.undo()
    assert [layer.name for layer in viewer.layers] == before
    dock.history.redo()
    assert [layer.name for layer in viewer.layers] == opened


def test_session_opened_before_the_dock(
    qtbot, viewer, dock, corrected, tmp_path, make_napari_viewer_proxy
):
    dock.form.frame_range.choose((2, 4))
    save(qtbot, dock, tmp_path / "a.vrpsam")
    second_viewer = make_napari_viewer_proxy()
    second_viewer.open(tmp_path / "a.vrpsam", plugin="napari-vrp-sam")
    widget = SegmentStackWidget(second_viewer, ThreadEngine())
    second_viewer.window.add_dock_widget(widget)
    assert widget.form.frame_range.value() == (2, 4)
    assert accepted_frames(current_result(second_viewer, second_viewer.layers["stack"])) == [5]


def test_damaged_session(viewer, dock, tmp_path, monkeypatch):
    (tmp_path / "a.vrpsam").mkdir()
    (tmp_path / "a.vrpsam/session.json").write_text("{")
    dock.session_panel.open(tmp_path / "a.vrpsam")
    assert dock.status.text().startswith("a.vrpsam is damaged")
    assert dock.status.severity == "warning"
    assert viewer.open(tmp_path / "a.vrpsam", plugin="napari-vrp-sam") == []
    assert notification_manager.records[-1].message.startswith("a.vrpsam is damaged")


@pytest.fixture
def small_stack(tmp_path):
    """Path of a stack with a moving bright square in noise, and its ground truth."""
    data = np.random.default_rng(0).integers(0, 40, (5, 64, 64), dtype=np.uint8)
    ground_truth = np.zeros(data.shape, np.uint8)
    for index in range(5):
        ground_truth[index, 10 + 6 * index : 30 + 6 * index, 12:40] = 1
    data[ground_truth > 0] += 160
    tifffile.imwrite(tmp_path / "stack.tif", data, imagej=True, metadata={"axes": "ZYX"})
    return tmp_path / "stack.tif", ground_truth


def test_threshold_and_clean_up_are_restored(
    qtbot, viewer, dock, engine, annotated, tmp_path, make_napari_viewer_proxy
):
    """Those of the next run, with and without a result, and not again after another change."""
    image, _ = annotated
    dock.result_tools.set_settings(first := ResultSettings({1: 0.3}, min_size=12))
    save(qtbot, dock, tmp_path / "without.vrpsam")
    engine.let_through()
    segment(qtbot, dock)
    layer = current_result(viewer, image)
    keep_probabilities(layer, None)  # as if the result came from a session
    dock.result_tools.set_settings(later := ResultSettings({1: 0.2}, smoothing=1.0))
    assert settings_of(layer) == first
    save(qtbot, dock, tmp_path / "with.vrpsam")

    for name, expected in (("without", first), ("with", later)):
        assert (
            ResultSettings.from_dict(read_session(tmp_path / f"{name}.vrpsam").clean_up) == expected
        )
    opened, second = second_window(make_napari_viewer_proxy, engine)
    second.session_panel.open(tmp_path / "without.vrpsam")
    assert second.result_tools.settings == first
    opened.layers.clear()
    second.session_panel.open(tmp_path / "with.vrpsam")
    assert second.result_tools.settings == later
    assert settings_of(current_result(opened, opened.layers["stack"])) == first
    second.result_tools.set_settings(ResultSettings())
    second.result_tools.refresh()
    assert second.result_tools.settings == ResultSettings()


@pytest.mark.slow
@pytest.mark.parametrize("corrected_first", [False, True])
def test_command_line_reproduces_the_result(qtbot, viewer, tmp_path, small_stack, corrected_first):
    path, ground_truth = small_stack
    (image,) = viewer.open(path)
    dock = SegmentStackWidget(viewer)  # with the default engine and model
    viewer.window.add_dock_widget(dock, name="Segment stack")
    dock.form.device_box.setCurrentText("cpu")
    drawn = np.zeros_like(ground_truth)
    drawn[2] = ground_truth[2]
    viewer.add_labels(drawn, name="drawn")
    if corrected_first:
        dock.form.frame_range.choose((1, 4))
        segment(qtbot, dock)
        first = current_result(viewer, image)
        first.data[0, 50:60, 50:60] = 1
        set_accepted_frames(first, [0])
    segment(qtbot, dock)
    result = current_result(viewer, image)
    before = result.data.copy()
    dock.result_tools.set_settings(ResultSettings({1: 0.05}, min_size=30, smoothing=2.0))
    wait_for(qtbot, lambda: not dock.result_tools.relabelling.busy)
    assert (result.data != before).any()
    folder = tmp_path / "a.vrpsam"
    save(qtbot, dock, folder)
    assert dock.status.text() == "Saved as a.vrpsam."
    assert not (folder / "image.zarr").exists()

    replay = CliRunner().invoke(app, ["segment", "--session", str(folder)])
    assert replay.exit_code == 0, replay.stderr
    labels, axes = read_stack(tmp_path / "a_labels.tif")
    assert axes == "ZYX"
    np.testing.assert_array_equal(np.asarray(labels), result.data)
    assert labels.dtype == result.data.dtype
    assert [bool(frame.any()) for frame in labels] == [True] * 4 + [not corrected_first]
    assert bool(labels[0, 50:60, 50:60].all()) == corrected_first


def test_save_without_annotations(qtbot, viewer, dock, annotated, tmp_path):
    viewer.layers["drawn"].data[:] = 0
    save(qtbot, dock, tmp_path / "a.vrpsam")
    assert "Saved as a.vrpsam" in dock.status.text()
    assert "There is no annotation yet" in dock.status.text() + dock.card.details.text()
    replay = CliRunner().invoke(app, ["segment", "--session", str(tmp_path / "a.vrpsam")])
    assert replay.exit_code == 2
    assert "There is no annotation yet" in replay.stderr


def test_save_without_an_image(viewer, dock, tmp_path):
    assert not dock.session_panel.save_button.isEnabled()
    dock.session_panel.save(tmp_path / "a.vrpsam")
    assert "open an image stack first" in dock.status.text()
    assert not list(tmp_path.iterdir())


class SlowStack:
    """Lazy image whose frames are read one per release of a gate."""

    def __init__(self, data):
        self.gate = threading.Semaphore(1000)
        self._data = data

    def frame(self, index):
        assert self.gate.acquire(timeout=60)
        return self._data[index]

    def lazy(self):
        import dask

        frames = [
            da.from_delayed(dask.delayed(self.frame)(i), self._data.shape[1:], self._data.dtype)
            for i in range(len(self._data))
        ]
        return da.stack(frames)


@pytest.fixture
def slow(viewer, dock, stack):
    """Add a lazy image without annotations."""
    slow = SlowStack(stack[0])
    viewer.add_image(slow.lazy(), name="slow", contrast_limits=(0, 255), cache=False)
    yield slow
    slow.gate.release(1000)


def close_gate(slow):
    while slow.gate.acquire(blocking=False):
        pass


def test_saving_runs_in_the_background_and_can_be_cancelled(qtbot, dock, slow, tmp_path):
    from napari.utils import progress

    close_gate(slow)
    dock.session_panel.save(tmp_path / "a.vrpsam")
    assert dock.session_panel.saving
    assert not dock.session_panel.save_button.isEnabled()
    assert not dock.session_panel.open_button.isEnabled()
    slow.gate.release(7 + 2)  # fingerprints, and two frames to copy
    wait_for(qtbot, lambda: [bar.n for bar in progress._all_instances] == [2])
    (bar,) = progress._all_instances
    bar.cancel()
    qtbot.wait(4 * POLL_MILLISECONDS)  # the next poll sees the cancellation
    slow.gate.release(1)
    wait_for(qtbot, lambda: not dock.session_panel.saving)
    assert dock.status.text() == "Saving was cancelled: nothing was changed."
    assert dock.session_panel.save_button.isEnabled()
    assert not progress._all_instances
    assert not list(tmp_path.iterdir())


def test_dock_closed_while_saving(qtbot, viewer, dock, slow, tmp_path):
    close_gate(slow)
    dock.session_panel.save(tmp_path / "a.vrpsam")
    (thread,) = [thread for thread in threading.enumerate() if thread.name == THREAD_NAME]
    viewer.window.remove_dock_widget(dock)
    slow.gate.release(1000)
    thread.join(timeout=60)
    assert not thread.is_alive()
    assert [path.name for path in tmp_path.iterdir()] == ["a.vrpsam"]
    assert read_session(tmp_path / "a.vrpsam").image.shape == (7, 48, 64)


def test_image_deleted_while_saving(qtbot, viewer, dock, slow, tmp_path):
    close_gate(slow)
    dock.session_panel.save(tmp_path / "a.vrpsam")
    slow.gate.release(1000)
    viewer.layers.clear()
    wait_for(qtbot, lambda: not dock.session_panel.saving)
    assert "Saved as a.vrpsam" in dock.status.text()
    assert not dock.session_panel.save_button.isEnabled()


def test_full_disk(qtbot, dock, annotated, tmp_path, monkeypatch):
    save(qtbot, dock, tmp_path / "a.vrpsam")

    def full(*_args, **_options):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(stored_layers.tifffile, "imwrite", full)
    save(qtbot, dock, tmp_path / "a.vrpsam")
    assert "a.vrpsam cannot be written: No space left on device" in dock.status.text()
    assert dock.status.severity == "warning"
    assert len(read_session(tmp_path / "a.vrpsam").references) == 2


def test_file_dialogs(qtbot, viewer, dock, annotated, tmp_path, monkeypatch):
    asked = []
    answers = {"file": str(tmp_path / "first"), "replace": QMessageBox.StandardButton.Yes}

    def ask_file(_parent, _title, start, *_args, **_options):
        asked.append(Path(start).name)
        return answers["file"], ""

    def ask_replace(_parent, _title, text, *_args):
        asked.append(text)
        return answers["replace"]

    monkeypatch.setattr(QFileDialog, "getSaveFileName", ask_file)
    monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *_: str(tmp_path / "x"))
    monkeypatch.setattr(QMessageBox, "question", ask_replace)
    panel = dock.session_panel

    def press(button):
        qtbot.mouseClick(button, Qt.MouseButton.LeftButton)
        wait_for(qtbot, lambda: not panel.saving)

    press(panel.save_button)
    assert asked == ["stack.vrpsam"]
    assert (tmp_path / "first.vrpsam/session.json").exists()
    press(panel.save_button)  # the image belongs to a session now
    assert asked[1:] == ["Replace first.vrpsam? Choose No to save elsewhere."]
    answers["replace"] = QMessageBox.StandardButton.No
    answers["file"] = ""
    press(panel.save_button)
    assert asked[2:] == [asked[1], "first.vrpsam"]
    press(panel.open_button)
    assert "x is not a session" in dock.status.text()


def test_moved_image(qtbot, viewer, dock, engine, tmp_path, small_stack, monkeypatch):
    path, _ = small_stack
    viewer.open(path)
    save(qtbot, dock, tmp_path / "a.vrpsam")
    moved = path.rename(tmp_path / "moved.tif")
    viewer.layers.clear()
    monkeypatch.setattr(QFileDialog, "getOpenFileName", lambda *_: ("", ""))
    dock.session_panel.open(tmp_path / "a.vrpsam")
    assert "is no longer at" in dock.status.text()
    assert not viewer.layers
    monkeypatch.setattr(QFileDialog, "getOpenFileName", lambda *_: (str(moved), ""))
    dock.session_panel.open(tmp_path / "a.vrpsam")
    assert [layer.name for layer in viewer.layers] == ["stack"]
    save(qtbot, dock, tmp_path / "a.vrpsam")
    assert read_session(tmp_path / "a.vrpsam").image.source == moved


def test_opened_by_napari_before_the_dock(
    qtbot, viewer, dock, engine, corrected, tmp_path, make_napari_viewer_proxy
):
    image, _ = corrected
    points = new_annotation_layer(viewer, image, "point", 2)
    points.add([2, 8, 45])
    unticked = new_annotation_layer(viewer, image, "point", 2)
    dock.form.annotation_list.tick(unticked, on=False)
    folder = tmp_path / "a.vrpsam"
    save(qtbot, dock, folder)

    second_viewer = make_napari_viewer_proxy()
    second_viewer.open(folder, plugin="napari-vrp-sam")
    second_dock = SegmentStackWidget(second_viewer, engine)
    second_viewer.window.add_dock_widget(second_dock, name="Segment stack")

    rows = {row.layer.name: row.ticked for row in second_dock.form.annotation_list.rows}
    assert rows == {row.layer.name: row.ticked for row in dock.form.annotation_list.rows}
    assert sorted(rows.values()) == [False, True, True]
    assert "No annotation" not in second_dock.status.text()
    assert second_dock.quality_panel.isVisibleTo(second_dock)
    assert second_dock.quality_panel.plot.toolTip() == dock.quality_panel.plot.toolTip()
    assert second_dock.result_row.isVisibleTo(second_dock)
    assert accepted_frames(current_result(second_viewer, second_dock.form.image)) == [5]


def test_reader_accepts_sessions_and_folders(tmp_path):
    (tmp_path / "a.txt").touch()
    assert session_reader(str(tmp_path / "a.txt")) is None
    assert session_reader([str(tmp_path)]) is None
    assert session_reader(str(tmp_path)) is not None  # napari offers the reader for any folder
    assert session_reader([str(tmp_path / "a.vrpsam")]) is None
    assert session_reader(str(tmp_path / "a.vrpsam") + "/") is not None
