"""The quality panel and the message on the lowest confidence."""

from qtpy.QtCore import QPoint, Qt
from tests.plugin.window import press, results, run

from napari_vrp_sam.plugin.layers.metadata import get_metadata, set_metadata
from napari_vrp_sam.plugin.layers.outputs.accepted import set_accepted_frames


def test_lowest_confidence_skips_accepted_frames(qtbot, viewer, dock, engine, annotated):
    run(qtbot, dock, engine)
    set_metadata(results(viewer)[0], confidence={0: 0.9, 3: 0.1, 5: 0.4, 6: 0.37})
    for accepted, asked in ((6, "5 (0.40)"), (5, "0 (0.90)"), (0, None)):
        viewer.dims.set_current_step(0, accepted)
        press(qtbot, dock.accept_button)
        text = dock.expected_iou_label.text()
        lowest = f"Lowest confidence: frame {asked}"
        assert text.endswith(lowest) if asked else "Lowest" not in text
    dock.history.undo()
    assert "Lowest confidence: frame 0" in dock.expected_iou_label.text()
    dock.history.undo()
    assert "Lowest confidence: frame 5" in dock.expected_iou_label.text()
    dock.segment()
    dock.history.undo()  # locked
    assert not dock.expected_iou_label.text()


def test_panel_is_updated_with_every_frame(qtbot, viewer, dock, engine, annotated):
    panel = dock.quality_panel
    assert not panel.isVisible()
    press(qtbot, dock.segment_button)
    for count in (1, 2):
        engine.let_through(1)
        qtbot.waitUntil(lambda n=count: dock.progress.value() == n, timeout=60_000)
        assert panel.isVisible()
        assert len(get_metadata(results(viewer)[0], "confidence")) == count
    engine.let_through()
    qtbot.waitUntil(lambda: not dock.running, timeout=60_000)
    assert set(get_metadata(results(viewer)[0], "confidence")) == set(range(7))
    viewer.layers.remove(results(viewer)[0])
    assert not panel.isVisible()


def test_click_on_a_bar_shows_the_frame(qtbot, viewer, dock, engine, annotated):
    run(qtbot, dock, engine)
    plot = dock.quality_panel.plot
    for frame in (6, 1):
        at = QPoint(round(plot.bar(frame).center().x()), 10)
        qtbot.mouseClick(plot, Qt.MouseButton.LeftButton, pos=at)
        assert viewer.dims.current_step[0] == frame
        assert dock.accept_button.text() == f"Accept frame {frame}"


def test_next_frame_is_the_least_confident_unknown_frame(qtbot, viewer, dock, engine, annotated):
    run(qtbot, dock, engine)
    (result,) = results(viewer)
    result.metadata["napari-vrp-sam"]["confidence"] = dict(
        enumerate((0.5, 0.3, 0.6, 0.1, 0.7, 0.2, 0.8))
    )
    set_accepted_frames(result, [5])
    dock.quality_panel.refresh()
    press(qtbot, dock.quality_panel.next_button)
    assert viewer.dims.current_step[0] == 1  # frame 3 is annotated, frame 5 accepted
    set_accepted_frames(result, [0, 1, 2, 4, 5, 6])
    dock.quality_panel.refresh()
    assert not dock.quality_panel.next_button.isEnabled()


def test_next_frame_is_corrected_in_the_result(qtbot, viewer, dock, engine, annotated):
    _, drawn = annotated
    run(qtbot, dock, engine)
    (result,) = results(viewer)
    viewer.layers.selection.active = drawn
    drawn.mode = "paint"
    drawn.paint((3, 30, 30), 1)
    assert not result.visible

    press(qtbot, dock.quality_panel.next_button)
    frame = viewer.dims.current_step[0]
    assert (viewer.layers.selection.active, result.visible) == (result, True)
    assert (result.mode, result.selected_label) == ("paint", 1)
    assert dock.status.text().endswith(f"then press Accept frame {frame}.")
    viewer.dims.set_current_step(0, 3 if frame != 3 else 4)
    assert "Accept frame" not in dock.status.text()
    press(qtbot, dock.segment_button)
    press(qtbot, dock.quality_panel.next_button)
    viewer.layers.selection.active = drawn
    press(qtbot, dock.quality_panel.next_button)  # goes to the frame, and the run goes on
    assert viewer.layers.selection.active == drawn
    engine.let_through()
    qtbot.waitUntil(lambda: not dock.running, timeout=60_000)
