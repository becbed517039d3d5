"""Window, Python, command line and evaluation give the same result for one annotation."""

import numpy as np
import tifffile
from tests.plugin.window import press, results
from typer.testing import CliRunner

from napari_vrp_sam import Segmenter, segment_stack
from napari_vrp_sam.annotations.reference import Reference
from napari_vrp_sam.cli import app
from napari_vrp_sam.inference.runs.engine import ThreadEngine
from napari_vrp_sam.io.samples import sample_stack
from napari_vrp_sam.models.zoo.registry import load_model
from napari_vrp_sam.plugin.segment.widget import SegmentStackWidget
from napari_vrp_sam.research.protocols.model_method import ModelMethod


def test_all_ways_give_the_same_labels(qtbot, viewer, tmp_path):
    stack, truth = sample_stack(seed=4, size=96, frames=3)
    expected = segment_stack(stack, truth[1], axes="ZYX", reference_frame=1, device="cpu")
    assert expected.any(axis=(1, 2)).all()

    viewer.add_image(stack, name="stack")
    masks = np.zeros_like(truth)
    masks[1] = truth[1]
    viewer.add_labels(masks, name="masks")
    dock = SegmentStackWidget(viewer, ThreadEngine())
    viewer.window.add_dock_widget(dock, name="Segment stack")
    dock.form.device_box.setCurrentText("cpu")
    dock.preview_box.setChecked(False)
    press(qtbot, dock.segment_button)
    qtbot.waitUntil(lambda: not dock.running, timeout=120_000)
    (layer,) = results(viewer)
    np.testing.assert_array_equal(layer.data, expected)
    quality = dock.expected_iou_label.text()

    segmenter = Segmenter(device="cpu").fit(stack, truth[1], axes="ZYX", reference_frame=1)
    predicted = segmenter.predict(stack, probabilities=True)
    assert f"{predicted.expected_iou[1]:.2f} (class 1)" in quality
    relabelled = predicted.relabel(0.3, min_size=12, fill_holes=True, smoothing=0.5)
    tools = dock.result_tools
    tools.form.threshold_slider.setValue(30)
    tools.form.size_box.setValue(12)
    tools.form.holes_box.setCurrentText("fill")
    tools.form.smoothing_box.setValue(0.5)
    qtbot.waitUntil(lambda: not tools.relabelling.busy, timeout=60_000)
    np.testing.assert_array_equal(layer.data, relabelled.labels)
    assert not np.array_equal(relabelled.labels, expected)

    tifffile.imwrite(tmp_path / "stack.tif", stack, imagej=True, metadata={"axes": "ZYX"})
    tifffile.imwrite(tmp_path / "slice.tif", truth[1])
    output = tmp_path / "labels.tif"
    command = [
        *("segment", tmp_path / "stack.tif", "--reference", tmp_path / "slice.tif"),
        *("--reference-frame", 1, "--output", output, "--device", "cpu"),
        *("--probabilities", tmp_path / "p.tif"),
    ]
    result = CliRunner().invoke(app, list(map(str, command)))
    assert result.exit_code == 0, result.stderr
    np.testing.assert_array_equal(tifffile.imread(output), expected)
    assert f"\n{quality}.\n" in result.stderr

    command = [
        *("relabel", tmp_path / "p.tif", "--threshold", 0.3, "--min-size", 12, "--fill-holes"),
        *("--smoothing", 0.5),
    ]
    result = CliRunner().invoke(app, list(map(str, command)))
    assert result.exit_code == 0, result.stderr
    written = tifffile.imread(tmp_path / "p_relabelled.tif")
    np.testing.assert_array_equal(written, relabelled.labels)

    method = ModelMethod(load_model("lite", device="cpu"), device="cpu")
    frames = [frame[..., None] for frame in stack]
    segment = method(frames, [Reference(stack[1], truth[1], frame=1)])
    evaluated = np.stack([segment(frame).masks[0] for frame in frames])
    np.testing.assert_array_equal(evaluated, expected > 0)
