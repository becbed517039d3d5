"""The steps of the half hour, in order: each acts as a user and checks what the user must see.

The docstring of a step says what the user does.
"""

from __future__ import annotations

import re

import numpy as np
import tifffile
from tests.plugin.halfhour.play import RUN_SECONDS, iou, regions
from tests.plugin.mouse import wait_until

from napari_vrp_sam.io.samples import sample_stack
from napari_vrp_sam.plugin.layers.outputs.accepted import accepted_frames, current_result
from napari_vrp_sam.plugin.layers.outputs.objects import current_objects

FRAME, OTHER = 12, 15
"""The annotated frame, and one that nobody annotates."""
SOME = 5
"""Objects that are marked at first."""


def open_stack(play):
    """Open the sample stack."""
    play.press(play.dock.form.sample_button)
    wait_until(lambda: len(play.viewer.layers) == 2, 60, "the sample")
    play.viewer.dims.set_current_step(0, FRAME)
    assert play.dock.form.image_box.layer is play.viewer.layers["sample stack"]
    assert play.status.startswith("No annotation yet")
    assert not play.dock.cancel_button.isEnabled()
    assert not play.dock.accept_button.isVisible()


def draw_incompletely(play):
    """Paint some of the objects of a frame, and get a warning that there are more."""
    play.press(play.dock.form.draw_buttons["mask"])
    masks = play.viewer.layers["masks"]
    for body in play.bodies(FRAME)[:SOME]:
        play.paint(masks, body)
    assert set(np.nonzero(masks.data)[0]) == {FRAME}
    warning = play.dock.incomplete_mask
    wait_until(warning.isVisible, RUN_SECONDS, "the warning")
    assert f"More objects look like the {SOME} that are marked on frame {FRAME}" in play.status


def mark_the_rest(play):
    """Paint the other objects: the warning disappears."""
    masks = play.viewer.layers["masks"]
    for body in play.bodies(FRAME)[SOME:]:
        play.paint(masks, body)
    assert iou(masks.data[FRAME], play.truth[FRAME]) > 0.7
    play.wait_for_preview()
    assert not play.dock.incomplete_mask.isVisible()


def preview(play):
    """Scroll to another frame, and look at the live preview there."""
    play.viewer.dims.set_current_step(0, OTHER)
    play.wait_for_preview()
    (outline,) = [layer for layer in play.viewer.layers if layer.name.endswith("preview")]
    assert iou(outline.data[OTHER], play.truth[OTHER]) > 0.4
    assert not play.results


def run(play):
    """Segment the stack: the status follows the run, and the result is filled frame by frame."""
    play.press(play.dock.segment_button)
    assert play.dock.running
    assert not play.dock.segment_button.isEnabled()
    assert play.dock.cancel_button.isEnabled()
    wait_until(lambda: "left" in play.status or not play.dock.running, RUN_SECONDS, "some frames")
    assert play.dock.running
    assert re.match(r"Frame \d+ of 24 \(.* left\)$", play.status), play.status
    assert play.results


def result(play):
    """Look at the result, its expected IoU and the confidence of the frames."""
    play.wait_for_run()
    assert "Segmented all 24 frames into 'sample stack segmented'" in play.status
    (layer,) = play.results
    truth = play.truth
    assert np.mean([iou(layer.data[z], truth[z]) for z in range(len(truth))]) > 0.45
    assert play.dock.expected_iou_label.text().startswith("Expected IoU")
    assert play.dock.quality_panel.isVisible()
    assert play.dock.segment_button.isEnabled()
    assert not play.dock.cancel_button.isEnabled()


def correct(play):
    """Go to the frame with the lowest confidence, and paint what was missed."""
    (layer,) = play.results
    play.press(play.dock.quality_panel.next_button)
    frame = play.frame_shown
    assert frame != FRAME
    truth = play.truth[frame]
    before = iou(layer.data[frame], truth)
    missed = [b for b in play.bodies(frame) if layer.data[frame][tuple(b.coords.T)].mean() < 0.5]
    for body in missed:
        play.paint(layer, body)
    assert missed
    assert iou(layer.data[frame], truth) > before


def accept(play):
    """Accept the corrected frame with the button."""
    (layer,) = play.results
    frame = play.frame_shown
    assert play.dock.accept_button.text() == f"Accept frame {frame}"
    play.press(play.dock.accept_button)
    assert accepted_frames(layer) == [frame]
    assert play.dock.accept_button.text() == f"Unaccept frame {frame}"
    assert play.status.startswith(f"Frame {frame} is accepted")
    assert play.dock.undo_buttons.undo_button.full_text == f"Undo: accept frame {frame}"


def run_again(play):
    """Run again: the accepted frame teaches and stays as it is."""
    (first,) = play.results
    (frame,) = accepted_frames(first)
    kept = first.data[frame].copy()
    play.press(play.dock.segment_button)
    play.wait_for_run()
    second = current_result(play.viewer, play.dock.form.image)
    assert second is not first
    assert not first.visible
    np.testing.assert_array_equal(second.data[frame], kept)
    assert accepted_frames(second) == [frame]
    play.viewer.dims.set_current_step(0, OTHER)
    assert iou(second.data, play.truth) > 0.5


def objects(play):
    """Number the objects through the stack."""
    panel = play.dock.objects_panel
    play.press(panel.toggleButton())
    play.show_control(panel.form.output_box)
    play.mouse.choose(panel.form.output_box, panel.form.output_box.count() - 1)
    play.press(panel.find_button)
    wait_until(lambda: not panel.running, RUN_SECONDS, "the objects")
    layer = current_objects(play.viewer, play.dock.form.image)
    assert layer is not None
    count = len(np.unique(layer.data)) - 1
    assert count > 10
    assert f"Added {count} objects to '{layer.name}'" in play.status
    assert [entry.number for entry in play.dock.form.class_list.classes] == [1]


def threshold(play):
    """Lower the threshold and remove small regions, without a new run."""
    tools = play.dock.result_tools
    layer = current_result(play.viewer, play.dock.form.image)
    (accepted,) = accepted_frames(layer)
    kept, before = layer.data[accepted].copy(), np.count_nonzero(layer.data)
    play.press(tools.toggleButton())
    play.show_control(tools.form.smoothing_box)
    play.mouse.slide(tools.form.threshold_slider, 30)
    assert 20 < tools.form.threshold_slider.value() < 40
    wait_until(lambda: not tools.relabelling.busy, RUN_SECONDS, "the threshold")
    assert np.count_nonzero(layer.data) > before
    play.mouse.slide(tools.form.threshold_slider, 50)
    play.mouse.type_into(tools.form.size_box, "40")
    wait_until(lambda: not tools.relabelling.busy, RUN_SECONDS, "the minimum size")
    areas = [r.area for z, f in enumerate(layer.data) if z != accepted for r in regions(f)]
    assert min(areas) >= 40
    np.testing.assert_array_equal(layer.data[accepted], kept)
    assert play.dock.undo_buttons.undo_button.full_text == "Undo: change the minimum size"


def export(play):
    """Export the labels and the table of the objects."""
    layer = current_result(play.viewer, play.dock.form.image)
    button = play.dock.export_button
    for text, name in (("Labels…", "labels.tif"), ("Table of objects…", "objects.csv")):
        play.show_control(button)
        play.mouse.click_entry(button, text, play.folder / name)
        wait_until(lambda n=name: f"Saved {n}." in play.status, 60, name)
    np.testing.assert_array_equal(tifffile.imread(play.folder / "labels.tif"), layer.data)
    rows = (play.folder / "objects.csv").read_text().splitlines()
    found = current_objects(play.viewer, play.dock.form.image)
    assert len(rows) == len(np.unique(found.data))  # a heading instead of the background


def fine_tune(play):
    """Open the tab Fine-tune, start, and cancel after some steps."""
    play.mouse.click_tab(play.panel.tabs, "Fine-tune")
    tuner = play.panel.fine_tune
    assert [a.layer.name for a in tuner.form.annotation_list.annotations] == ["masks"]
    play.press(tuner.controls.start_button)
    assert tuner.running
    wait_until(
        lambda: len(tuner.plot.ious) > 1 or not tuner.running, RUN_SECONDS, "the first measurement"
    )
    assert tuner.running, tuner.status.text()


def cancel_fine_tuning(play):
    """Cancel the fine-tuning: it can be resumed."""
    tuner = play.panel.fine_tune
    play.press(tuner.controls.cancel_button)
    wait_until(lambda: not tuner.running, RUN_SECONDS, "the end of the fine-tuning")
    assert tuner.unfinished_box.isVisible()
    assert "resume" in tuner.status.text()


def undo(play):
    """Return to the first tab, and undo the last actions there."""
    play.mouse.click_tab(play.panel.tabs, "Segment stack")
    buttons = play.dock.undo_buttons
    layer = current_objects(play.viewer, play.dock.form.image)
    assert buttons.undo_button.full_text == "Undo: find objects"
    play.press(buttons.undo_button)
    assert layer not in play.viewer.layers
    assert "Undone: find objects." in play.status
    play.press(buttons.redo_button)
    assert layer in play.viewer.layers
    assert "Redone: find objects." in play.status


def apply(play):
    """Open another stack of the same kind, return to the first, and apply its annotations."""
    stack, truth = sample_stack(seed=1, frames=8)
    play.viewer.add_image(stack, name="second stack")
    play.viewer.layers.selection.active = play.viewer.layers["sample stack"]
    play.show_control(play.dock.apply_button)
    play.mouse.click_entry(play.dock.apply_button, "second stack")
    wait_until(lambda: play.dock.running, 60, "the run on the other stack")
    play.wait_for_run()
    wait_until(lambda: not play.dock.objects_panel.running, RUN_SECONDS, "the objects")
    assert "objects to 'second stack objects'" in play.status, play.status
    assert play.dock.form.image is play.viewer.layers["second stack"]
    found = current_result(play.viewer, play.dock.form.image).data
    assert iou(found, truth) > 0.3
    play.viewer.dims.set_current_step(0, 4)


def other_image(play):
    """Open another image: nothing of the first one is said or ticked."""
    play.viewer.open_sample("napari-vrp-sam", "nuclei")
    nuclei = play.viewer.layers["sample nuclei"]
    assert play.dock.form.image_box.layer is nuclei
    assert play.dock.form.annotation_list.annotations == []
    assert play.status.startswith("No annotation yet")
    assert play.dock.expected_iou_label.text() == ""
    assert not play.dock.accept_button.isVisible()
    assert not play.dock.quality_panel.isVisible()


def scribble(play):
    """Draw a few strokes on the other image, and look at the preview."""
    viewer = play.viewer
    for layer in viewer.layers:
        layer.visible = layer.name == "sample nuclei"
    viewer.reset_view(margin=0.02)
    play.press(play.dock.form.draw_buttons["scribble"])
    scribbles = viewer.layers["scribbles"]
    truth = viewer.layers["ground truth [1]"].data[play.frame_shown] > 0
    inside = [b for b in regions(truth) if 40 < min(b.centroid) < max(b.centroid) < 215]
    for body in inside[:6]:
        row, column = body.centroid
        play.mouse.draw((row, column - 5), (row, column + 5), steps=2)
    drawn = scribbles.data[play.frame_shown] > 0
    assert truth[drawn].mean() > 0.9
    play.wait_for_preview()


def close_during_a_run(play):
    """Run, and close the dock meanwhile: the worker ends."""
    play.press(play.dock.segment_button)
    dock, engine = play.dock, play.dock._engine
    process = engine.warm_up().process
    assert dock.running
    wait_until(lambda: engine.state == "busy", RUN_SECONDS, "the worker")
    play.frame.close()
    wait_until(lambda: not dock.running and engine.state == "stopped", 60, "the end of the worker")
    wait_until(lambda: process.poll() is not None, 60, "the end of the process")
    assert "scribbles" in play.viewer.layers


STEPS = (
    open_stack,
    draw_incompletely,
    mark_the_rest,
    preview,
    run,
    result,
    correct,
    accept,
    run_again,
    threshold,
    objects,
    export,
    fine_tune,
    cancel_fine_tuning,
    undo,
    apply,
    other_image,
    scribble,
    close_during_a_run,
)
