"""Files that are segmented with the annotations of an open image."""

import numpy as np
import pytest
import tifffile
from qtpy.QtCore import Qt, QTimer
from qtpy.QtWidgets import QApplication, QMessageBox
from tests.plugin.window import results
from typer.testing import CliRunner

from napari_vrp_sam import Segmenter
from napari_vrp_sam.cli import app
from napari_vrp_sam.inference.runs.engine import ThreadEngine
from napari_vrp_sam.inference.runs.files.file_result import SUMMARY
from napari_vrp_sam.inference.runs.process.engine import ProcessEngine
from napari_vrp_sam.plugin.batch.choice import images_of_folder
from napari_vrp_sam.plugin.layers.metadata import get_metadata
from napari_vrp_sam.plugin.layers.outputs.results import CONFIDENCE
from napari_vrp_sam.plugin.segment.widget import SegmentStackWidget


@pytest.fixture
def scenes(tmp_path):
    """Stacks of a bright square in three formats, and a file that is no image."""
    for number, name in enumerate(("a.tif", "b.npy", "c.tif")):
        truth = np.zeros((2, 64, 64), np.uint8)
        truth[:, 8 + 6 * number : 28 + 6 * number, 20:44] = 1
        noise = np.random.default_rng(number).integers(0, 40, truth.shape, dtype=np.uint8)
        stack = noise + (150 - 20 * number) * truth
        if name.endswith(".npy"):
            np.save(tmp_path / name, stack)
        else:
            tifffile.imwrite(tmp_path / name, stack, imagej=True, metadata={"axes": "ZYX"})
        if number == 0:
            first = stack, truth
    (tmp_path / "bad.tif").write_bytes(b"no image")
    (tmp_path / "notes.xyz").write_text("no image either")
    return tmp_path, *first


@pytest.fixture
def window(viewer, scenes):
    """Dock with the first scene open and annotated."""
    _, stack, truth = scenes
    viewer.add_image(stack, name="a")
    drawn = np.zeros_like(truth)
    drawn[0] = truth[0]
    viewer.add_labels(drawn, name="drawn")
    dock = SegmentStackWidget(viewer, ThreadEngine())
    viewer.window.add_dock_widget(dock, name="Segment stack")
    dock.preview_box.setChecked(False)
    dock.form.device_box.setCurrentText("cpu")
    viewer.layers.selection.active = viewer.layers["a"]
    yield dock
    dock.files_panel.abandon()


def states(dock):
    items = map(
        dock.files_panel.list.topLevelItem, range(dock.files_panel.list.topLevelItemCount())
    )
    return [(item.text(0), item.text(1)) for item in items]


def segment(qtbot, dock, paths):
    panel = dock.files_panel
    dock.apply_button.apply_to_files(paths)
    qtbot.waitUntil(lambda: panel.running, timeout=60_000)
    assert "Reading" not in dock.status.text()
    qtbot.waitUntil(lambda: not panel.running, timeout=120_000)


def answer(text):
    """Press a button of the next message box."""

    def press():
        box = QApplication.activeModalWidget()
        if not isinstance(box, QMessageBox):
            QTimer.singleShot(20, press)
            return
        next(button for button in box.buttons() if button.text().replace("&", "") == text).click()

    QTimer.singleShot(20, press)


@pytest.mark.slow
def test_window_python_and_command_line_write_equal_labels(qtbot, viewer, window, scenes):
    folder, stack, truth = scenes
    images = images_of_folder(folder)
    assert [image.name for image in images] == ["a.tif", "b.npy", "bad.tif", "c.tif"]
    window.files_panel._make_engine = ProcessEngine
    segment(qtbot, window, images)
    done, failed = "segmented", "failed"
    assert states(window) == [
        ("a.tif", done),
        ("b.npy", done),
        ("bad.tif", failed),
        ("c.tif", done),
    ]
    assert "3 of 4 files are segmented" in window.status.text()
    assert "bad.tif" in window.files_panel.message.text()
    assert (folder / SUMMARY).exists()
    assert images_of_folder(folder) == images  # without the results

    segmenter = Segmenter("lite", device="cpu").fit(stack, truth[0], axes="ZYX", reference_frame=0)
    segmenter.predict_files(images, folder / "python")
    segmenter.save(folder / "squares.segmenter")
    command = ["segment", *images, "--segmenter", folder / "squares.segmenter"]
    command += ["--output", folder / "cli", "--device", "cpu"]
    assert CliRunner().invoke(app, list(map(str, command))).exit_code == 1  # a bad file
    for name in ("a_labels.tif", "b_labels.tif", "c_labels.tif"):
        window_labels = tifffile.imread(folder / name)
        assert window_labels.any()
        np.testing.assert_array_equal(window_labels, tifffile.imread(folder / "python" / name))
        np.testing.assert_array_equal(window_labels, tifffile.imread(folder / "cli" / name))


@pytest.mark.slow
def test_finished_files_are_skipped_or_replaced(qtbot, window, scenes):
    folder = scenes[0]
    paths = [folder / "a.tif", folder / "c.tif"]
    segment(qtbot, window, paths[:1])
    tifffile.imwrite(folder / "a_labels.tif", np.full((2, 64, 64), 9, np.uint8))
    answer("Skip them")
    segment(qtbot, window, paths)
    assert states(window) == [("a.tif", "skipped"), ("c.tif", "segmented")]
    assert tifffile.imread(folder / "a_labels.tif").max() == 9
    answer("Replace labels")
    segment(qtbot, window, paths)
    assert states(window) == [("a.tif", "segmented"), ("c.tif", "segmented")]
    assert tifffile.imread(folder / "a_labels.tif").max() == 1
    answer("Cancel")
    dock = window.apply_button
    dock.apply_to_files(paths)
    qtbot.waitUntil(dock.isEnabled, timeout=60_000)
    assert not window.files_panel.running


def test_a_double_click_opens_the_image_with_its_labels(qtbot, viewer, window, scenes):
    folder = scenes[0]
    segment(qtbot, window, [folder / "c.tif", folder / "bad.tif"])
    files = window.files_panel.list
    files.itemActivated.emit(files.topLevelItem(0), 0)
    qtbot.waitUntil(lambda: bool(results(viewer)), timeout=60_000)
    (layer,) = results(viewer)
    np.testing.assert_array_equal(layer.data, tifffile.imread(folder / "c_labels.tif"))
    assert window.form.image.name == "c"
    assert layer.editable
    assert get_metadata(layer, CONFIDENCE) == {}
    with qtbot.waitSignal(window.opener.warned, timeout=60_000):
        files.itemActivated.emit(files.topLevelItem(1), 0)


@pytest.mark.slow
def test_cancel_keeps_finished_files(qtbot, window, scenes):
    folder = scenes[0]
    panel = window.files_panel
    window.apply_button.apply_to_files([folder / "a.tif", folder / "c.tif"])
    qtbot.waitUntil(lambda: len(panel.results) == 1, timeout=120_000)
    qtbot.mouseClick(panel.cancel_button, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: not panel.running, timeout=60_000)
    assert (folder / "a_labels.tif").exists()
    assert states(window)[0] == ("a.tif", "segmented")
    if len(panel.results) == 1:
        assert states(window)[1] == ("c.tif", "cancelled")
        assert "Cancelled: 1 of 2 files are segmented" in window.status.text()


def test_the_file_of_an_open_layer_is_not_overwritten(qtbot, viewer, window, scenes):
    folder, _, truth = scenes
    tifffile.imwrite(folder / "a_labels.tif", truth)
    viewer.open(folder / "a_labels.tif", layer_type="labels", plugin="napari")
    viewer.layers.selection.active = viewer.layers["a"]
    with qtbot.waitSignal(window.apply_button.warned, timeout=60_000) as warned:
        window.apply_button.apply_to_files([folder / "a.tif"])
    assert "a_labels.tif is an input" in warned.args[0]
    np.testing.assert_array_equal(tifffile.imread(folder / "a_labels.tif"), truth)


def test_a_folder_without_images(window):
    window.apply_button.apply_to_files([])
    assert "There is no image in this folder" in window.status.text()
