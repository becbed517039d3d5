"""Annotations of one image applied to another one."""

import numpy as np
import pytest
from tests.plugin.window import results
from tifffile import imwrite
from typer.testing import CliRunner

from napari_vrp_sam import Segmenter
from napari_vrp_sam.cli import app
from napari_vrp_sam.inference.objects.result_settings import ResultSettings
from napari_vrp_sam.inference.relabelling.relabel import RelabelSettings
from napari_vrp_sam.inference.runs.engine import ThreadEngine
from napari_vrp_sam.io.images.stacks import read_labels
from napari_vrp_sam.io.samples import sample_stack
from napari_vrp_sam.plugin.layers.metadata import get_metadata, unwrap
from napari_vrp_sam.plugin.layers.outputs.kept_probabilities import kept_probabilities
from napari_vrp_sam.plugin.segment.widget import SegmentStackWidget


def test_the_other_image_gets_the_labels_of_a_segmenter(qtbot, viewer):
    stack, truth = sample_stack(seed=4, size=96, frames=3)
    other = (sample_stack(seed=5, size=96, frames=2)[0] * 0.8).astype(stack.dtype)
    segmenter = Segmenter(device="cpu").fit(stack, truth[1], axes="ZYX", reference_frame=1)
    default = segmenter.predict(other).labels
    segmenter.relabelling = RelabelSettings({1: 0.3}, min_size=4)
    expected = segmenter.predict(other).labels
    assert (expected.sum(axis=(1, 2)) > default.sum(axis=(1, 2))).all()

    viewer.add_image(stack, name="stack")
    masks = np.zeros_like(truth)
    masks[1] = truth[1]
    viewer.add_labels(masks, name="masks")
    target = viewer.add_image(other, name="other", scale=(1, 2, 2), translate=(0, 500, 0))
    dock = SegmentStackWidget(viewer, ThreadEngine())
    viewer.window.add_dock_widget(dock, name="Segment stack")
    dock.form.device_box.setCurrentText("cpu")
    dock.preview_box.setChecked(False)
    dock.result_tools.set_settings(ResultSettings({1: 0.3}, min_size=4))
    viewer.layers.selection.active = viewer.layers["stack"]
    assert [image.name for image in dock.apply_button.targets()] == ["other"]
    dock.apply_button.apply(unwrap(target))
    qtbot.waitUntil(lambda: dock.running, timeout=60_000)
    qtbot.waitUntil(lambda: not dock.running, timeout=120_000)

    (layer,) = results(viewer)
    np.testing.assert_array_equal(layer.data, expected)
    np.testing.assert_array_equal(layer.scale, target.scale)
    assert layer.name == "other segmented"
    assert dock.form.image.name == "other"
    assert (
        dock.status.text()
        == "Applied the annotations to 'other', with threshold 0.30, minimum size 4 px."
    )
    assert get_metadata(layer, "reference_frames") == []
    assert sorted(kept_probabilities(layer).frames) == [0, 1]
    assert dock.history.undo_text == "segment stack"


def test_an_image_with_other_channels_is_refused_in_one_sentence(viewer, dock, annotated):
    colour = viewer.add_image(np.zeros((7, 48, 64, 3), np.uint8), rgb=True, name="colours")
    viewer.layers.selection.active = viewer.layers["stack"]
    dock.apply_button.apply(unwrap(colour))
    assert dock.status.text() == (
        "'colours' has 3 channels, but the annotations use 1: give an image with the same channels."
    )
    assert not dock.running


def test_without_annotations(qtbot, viewer, dock):
    viewer.add_image(np.zeros((4, 48, 64), np.uint8), name="first")
    other = viewer.add_image(np.zeros((4, 48, 64), np.uint8), name="second")
    viewer.layers.selection.active = viewer.layers["first"]
    with qtbot.waitSignal(dock.apply_button.warned) as warned:
        dock.apply_button.apply(unwrap(other))
    assert "annotat" in warned.args[0]
    assert dock.apply_button.isEnabled()


@pytest.mark.parametrize("images", [0, 1])
def test_no_other_image(viewer, dock, images):
    for number in range(images):
        viewer.add_image(np.zeros((4, 48, 64), np.uint8), name=str(number))
    assert dock.apply_button.targets() == []
    dock.apply_button.menu().aboutToShow.emit()
    entries = [entry for entry in dock.apply_button.menu().actions() if not entry.isSeparator()]
    assert [entry.isEnabled() for entry in entries] == [*[images == 1] * 3, True]


def test_all_open_images_are_segmented_one_after_the_other(
    qtbot, viewer, dock, engine, annotated, stack
):
    for number in range(2):
        viewer.add_image(stack[0][number : number + 3], name=f"image{number}")
    viewer.add_image(np.zeros((3, 48, 64, 3), np.uint8), rgb=True, name="colours")
    viewer.layers.selection.active = viewer.layers["stack"]
    engine.let_through()
    dock.apply_button.apply_to_images([viewer.layers["colours"], *dock.apply_button.targets()[:2]])
    qtbot.waitUntil(lambda: len(results(viewer)) == 2 and not dock.running, timeout=60_000)
    applied = "Applied the annotations to 'image1'."
    qtbot.waitUntil(lambda: dock.status.text() == applied, timeout=60_000)
    by_name = {layer.name: layer.data for layer in results(viewer)}
    for number in range(2):
        expected = stack[1][number : number + 3]
        np.testing.assert_array_equal(by_name[f"image{number} segmented"], expected)


@pytest.mark.slow
def test_the_command_line_applies_what_the_window_saves(qtbot, viewer, tmp_path):
    stack, truth = sample_stack(seed=4, size=96, frames=3)
    other = (sample_stack(seed=5, size=96, frames=2)[0] * 0.8).astype(stack.dtype)
    segmenter = Segmenter(device="cpu").fit(stack, truth[1], axes="ZYX", reference_frame=1)
    segmenter.relabelling = RelabelSettings({1: 0.3}, fill_holes=True)
    expected = segmenter.predict(other).labels
    viewer.add_image(stack, name="stack")
    masks = np.zeros_like(truth)
    masks[1] = truth[1]
    viewer.add_labels(masks, name="masks")
    dock = SegmentStackWidget(viewer, ThreadEngine())
    viewer.window.add_dock_widget(dock, name="Segment stack")
    dock.preview_box.setChecked(False)
    dock.result_tools.set_settings(ResultSettings({1: 0.3}, fill_holes=True))
    button = dock.apply_button
    with qtbot.waitSignal(button.reported, check_params_cb=lambda text: "Saved" in text):
        button.save(tmp_path / "a.segmenter")

    loaded = Segmenter.load(tmp_path / "a.segmenter", device="cpu")
    np.testing.assert_array_equal(loaded.predict(other).labels, expected)
    imwrite(tmp_path / "other.tif", other, imagej=True, metadata={"axes": "ZYX"})
    command = ["segment", tmp_path / "other.tif", "--segmenter", tmp_path / "a.segmenter"]
    done = CliRunner().invoke(app, [*map(str, command), "--device", "cpu"])
    assert done.exit_code == 0, done.output
    np.testing.assert_array_equal(read_labels(tmp_path / "other_labels.tif"), expected)

    colours = np.zeros((2, 64, 64, 3), np.uint8)
    imwrite(tmp_path / "rgb.tif", colours, photometric="rgb")
    for arguments, problem in (
        (["rgb.tif"], "has 3 channels, but the annotations use 1"),
        (["other.tif", "--model", "vit_b"], "--model is stored in the segmenter"),
        ([], "Give the IMAGE"),
    ):
        paths = [tmp_path / arguments[0], *arguments[1:]] if arguments else []
        command = ["segment", *paths, "--segmenter", tmp_path / "a.segmenter"]
        failed = CliRunner().invoke(app, list(map(str, command)))
        assert failed.exit_code == 2
        assert problem in " ".join(failed.output.split())
