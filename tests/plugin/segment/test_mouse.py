"""The main workflow with real mouse and key events."""

import os
import sys
from math import cos, sin

import dask.array as da
import numpy as np
import psutil
import pytest
from skimage.filters.rank import minimum
from skimage.measure import label, regionprops
from skimage.morphology import disk
from tests.plugin.mouse import Mouse

from napari_vrp_sam.io.samples import sample_stack
from napari_vrp_sam.plugin.layers.outputs.accepted import accepted_frames, current_result
from napari_vrp_sam.plugin.layers.outputs.results import is_result_layer

pytestmark = [
    pytest.mark.alone,
    pytest.mark.skipif(sys.platform != "linux", reason="xdotool moves the mouse of X11"),
]

SCREENSHOTS = os.environ.get("VRP_SAM_SCREENSHOTS")
"""Folder for screenshots; none by default."""
FRAME = 12
LARGE = 150


@pytest.mark.slow
def test_annotate_segment_correct_and_accept_with_the_mouse(qtbot, make_napari_viewer):
    viewer = make_napari_viewer(show=True)
    viewer.window._qt_window.setGeometry(0, 0, 1200, 760)
    _, panel = viewer.window.add_plugin_dock_widget("napari-vrp-sam", "Segment stack")
    dock = panel.segment
    mouse = Mouse(viewer)
    qtbot.wait(500)

    mouse.click(dock.form.sample_button)
    qtbot.waitUntil(lambda: len(viewer.layers) == 2, timeout=60_000)
    truth = viewer.layers["ground truth"].data
    viewer.dims.set_current_step(0, FRAME)
    qtbot.wait(500)

    # Draw boxes around large objects and strokes through small ones.
    bodies = regionprops(label(truth[FRAME]))
    mouse.click(dock.form.draw_buttons["mask"])
    masks = viewer.layers["masks"]
    masks.brush_size = 7
    for body in [body for body in bodies if body.area < LARGE]:
        reach = (
            body.axis_major_length / 4 * np.array([cos(body.orientation), sin(body.orientation)])
        )
        mouse.draw(body.centroid - reach, body.centroid + reach, steps=2)
    mouse.click(dock.form.draw_buttons["box"])
    viewer.reset_view()  # the controls of a Shapes layer make the canvas smaller
    for top, left, bottom, right in [body.bbox for body in bodies if body.area >= LARGE]:
        mouse.draw((top, left), (bottom - 1, right - 1), steps=2)
    boxes = viewer.layers["boxes"]
    assert set(np.nonzero(masks.data)[0]) == {FRAME}
    assert truth[masks.data > 0].mean() > 0.7
    assert len(boxes.data) == sum(body.area >= LARGE for body in bodies)
    assert set(boxes.shape_type) == {"rectangle"}

    mouse.click(dock.segment_button)
    assert dock.running
    qtbot.waitUntil(lambda: not dock.running, timeout=240_000)

    assert "all 24 frames" in dock.status.text()
    (result,) = [layer for layer in viewer.layers if is_result_layer(layer)]
    found, wanted = result.data > 0, truth > 0
    overlap = (found & wanted).sum(axis=(1, 2)) / (found | wanted).sum(axis=(1, 2))
    assert overlap[FRAME - 3 : FRAME + 4].mean() > 0.4
    assert overlap.min() > 0.1

    mouse.scroll(3)
    assert viewer.dims.current_step[0] in (FRAME - 3, FRAME + 3)
    shown = result._slice.image.raw
    np.testing.assert_array_equal(shown, result.data[viewer.dims.current_step[0]])

    # Correct a frame, accept it with the key, and run again.
    assert dock.quality_panel.isVisible()
    mouse.click(dock.quality_panel.next_button)
    corrected = viewer.dims.current_step[0]
    assert corrected != FRAME
    viewer.layers.selection.active = result
    result.mode, result.selected_label, result.brush_size = "paint", 1, 9
    viewer.reset_view()
    mouse.draw((20, 20), (20, 60), steps=3)
    assert result.data[corrected, 20, 40] == 1
    mouse.key("a")
    assert accepted_frames(result) == [corrected]
    kept = result.data[corrected].copy()
    mouse.click(dock.segment_button)
    qtbot.waitUntil(lambda: not dock.running, timeout=240_000)
    second = current_result(viewer, viewer.layers[0])
    assert second is not result
    np.testing.assert_array_equal(second.data[corrected], kept)
    assert accepted_frames(second) == [corrected]
    look_at(qtbot, viewer, "loop")


@pytest.mark.slow
def test_annotate_segment_and_accept_on_a_lazy_stack_of_two_gigabytes(qtbot, make_napari_viewer):
    """Segment 6 of 8192 lazy frames and count the frames that are read."""
    small, truth = sample_stack(size=512, frames=24)
    read = []

    def frame(block_info):
        (z,) = (start for start, _ in block_info[None]["array-location"][:1])
        read.append(z)
        return small[z % 24][None]

    data = da.map_blocks(
        frame, chunks=((1,) * 8192, (512,), (512,)), dtype=np.uint8, meta=small[:0]
    )
    assert data.nbytes == 2**31
    viewer = make_napari_viewer(show=True)
    viewer.window._qt_window.setGeometry(0, 0, 1200, 860)
    viewer.add_image(data, name="large", contrast_limits=(0, 255))
    _, panel = viewer.window.add_plugin_dock_widget("napari-vrp-sam", "Segment stack")
    dock = panel.segment
    mouse = Mouse(viewer)
    at = 4096 + 12  # equal to frame 4 of the sample
    viewer.dims.set_current_step(0, at)
    qtbot.wait(500)
    memory = psutil.Process().memory_info().rss

    mouse.click(dock.form.draw_buttons["mask"])
    viewer.reset_view()  # the layer controls make the canvas smaller
    masks = viewer.layers["masks"]
    masks.mode = "fill"
    outlines = truth[at % 24] - minimum(truth[at % 24], disk(2)) > 0
    masks.data[at][outlines] = 1
    masks.refresh()
    for body in regionprops(label(truth[at % 24])):
        if truth[at % 24][tuple(np.round(body.centroid).astype(int))]:
            mouse.click_at(body.centroid)
    painted = masks.data[at] > 0
    assert (painted & (truth[at % 24] > 0)).sum() > 0.6 * (truth[at % 24] > 0).sum()
    viewer.layers.selection.active = masks
    dock.form.frame_range.choose((at - 2, at + 4))
    mouse.click(dock.segment_button)
    assert dock.running
    qtbot.waitUntil(lambda: not dock.running, timeout=240_000)
    assert "all 6 frames" in dock.status.text()

    result = current_result(viewer, viewer.layers["large"])
    mouse.click(dock.quality_panel.next_button)
    corrected = viewer.dims.current_step[0]
    assert corrected in range(at - 2, at + 4)
    viewer.layers.selection.active = result
    result.mode, result.selected_label, result.brush_size = "paint", 1, 21
    mouse.draw((40, 40), (40, 120), steps=3)
    mouse.key("a")
    assert accepted_frames(result) == [corrected]
    kept = result.data[corrected].copy()
    mouse.click(dock.segment_button)
    qtbot.waitUntil(lambda: not dock.running, timeout=240_000)
    second = current_result(viewer, viewer.layers["large"])
    assert second is not result
    np.testing.assert_array_equal(second.data[corrected], kept)
    look_at(qtbot, viewer, "two-gigabytes")
    # Eight frames for the contrast limits, six to segment, and those that were in view.
    assert len(set(read)) < 40
    assert psutil.Process().memory_info().rss - memory < 500e6


def look_at(qtbot, viewer, name):
    """Save a screenshot if a folder is set."""
    if SCREENSHOTS:
        qtbot.wait(1000)
        viewer.screenshot(f"{SCREENSHOTS}/{name}.png", canvas_only=False)
