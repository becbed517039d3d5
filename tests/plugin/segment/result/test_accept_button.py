"""Correct a frame, accept it and run again."""

import numpy as np
import pytest
from napari.utils.key_bindings import coerce_keybinding
from tests.plugin.window import press, results

from napari_vrp_sam.plugin.layers.outputs.accepted import accepted_frames
from napari_vrp_sam.plugin.segment.result.accept_button import KEY


@pytest.fixture
def segmented(qtbot, viewer, dock, engine, annotated):
    """Result of a first run."""
    engine.let_through()
    press(qtbot, dock.segment_button)
    qtbot.waitUntil(lambda: not dock.running, timeout=60_000)
    return results(viewer)[0]


def test_accept_button_is_hidden_without_a_result(dock, annotated):
    assert not dock.accept_button.isVisible()


def test_accept_button_names_the_frame_in_view(viewer, dock, segmented):
    assert dock.accept_button.isVisible()
    for frame in (0, 5):
        viewer.dims.set_current_step(0, frame)
        assert dock.accept_button.text() == f"Accept frame {frame}"
    viewer.layers.remove(segmented)
    assert not dock.accept_button.isVisible()


def test_second_press_unaccepts_the_frame(qtbot, viewer, dock, segmented):
    viewer.dims.set_current_step(0, 5)
    press(qtbot, dock.accept_button)
    assert accepted_frames(segmented) == [5]
    assert dock.accept_button.text() == "Unaccept frame 5"
    assert dock.status.text().startswith("Frame 5 is accepted")
    press(qtbot, dock.accept_button)
    assert accepted_frames(segmented) == []
    assert dock.status.text().startswith("Frame 5 is no longer accepted")


def test_key_accepts_the_frame_in_view(viewer, dock, segmented):
    viewer.dims.set_current_step(0, 4)
    viewer.layers.selection.active = segmented
    segmented.keymap[coerce_keybinding(KEY)](segmented)
    assert accepted_frames(segmented) == [4]
    dock.accept_button.release()
    assert coerce_keybinding(KEY) not in segmented.keymap


def test_second_run_learns_from_accepted_frames_and_does_not_change_them(
    qtbot, viewer, dock, engine, annotated, segmented
):
    viewer.dims.set_current_step(0, 5)
    segmented.data[5] = 0
    segmented.data[5, 2:9, 2:30] = 2  # a correction that no run would make
    corrected = segmented.data[5].copy()
    press(qtbot, dock.accept_button)

    engine.let_through()
    press(qtbot, dock.segment_button)
    assert not dock.accept_button.isEnabled()
    qtbot.waitUntil(lambda: not dock.running, timeout=60_000)

    job = engine.jobs[-1]
    assert job.accepted == {5}
    assert [(r.frame, r.class_id, r.kind) for r in job.references] == [
        (3, 1, "mask"),
        (3, 2, "mask"),
        (5, 1, "mask"),
        (5, 2, "mask"),
    ]
    first, second = results(viewer)
    assert not first.visible
    np.testing.assert_array_equal(second.data[5], corrected)
    assert accepted_frames(second) == [5]
    assert "all 7 frames" in dock.status.text()
    assert dock.progress.maximum() == 6


def test_accepted_frames_suffice_as_annotation(qtbot, viewer, dock, engine, segmented):
    viewer.dims.set_current_step(0, 2)
    press(qtbot, dock.accept_button)
    viewer.layers.remove("drawn")
    engine.let_through()
    press(qtbot, dock.segment_button)
    qtbot.waitUntil(lambda: not dock.running, timeout=60_000)
    assert {r.frame for r in engine.jobs[-1].references} == {2}


def test_run_does_not_start_if_all_frames_are_accepted(qtbot, viewer, dock, engine, segmented):
    for frame in range(7):
        viewer.dims.set_current_step(0, frame)
        press(qtbot, dock.accept_button)
    press(qtbot, dock.segment_button)
    assert not dock.running
    assert "nothing left to segment" in dock.status.text()
    assert len(results(viewer)) == 1


def test_what_is_accepted_is_seen_instead_of_other_drawings(
    qtbot, viewer, dock, engine, segmented, annotated
):
    _, drawn = annotated
    viewer.dims.set_current_step(0, 5)
    viewer.layers.selection.active = drawn
    drawn.paint((5, 30, 30), 1)
    assert not segmented.visible
    press(qtbot, dock.accept_button)
    assert segmented.visible
    assert viewer.layers.selection.active == segmented

    press(qtbot, dock.segment_button)
    assert "Frame 5 is accepted: drawings on it are not used." in dock.status.text()
    engine.let_through()
    qtbot.waitUntil(lambda: not dock.running, timeout=60_000)
