"""Confidence in sight: bars to click, and the frame to annotate next."""

import pytest
from qtpy.QtCore import QPoint, QPointF, Qt

from napari_vrp_sam.plugin.layers.accepted import set_accepted_frames
from napari_vrp_sam.plugin.layers.metadata import get_metadata, set_metadata
from napari_vrp_sam.plugin.layers.results import is_result_layer
from napari_vrp_sam.plugin.segment.confidence_plot import ConfidencePlot
from napari_vrp_sam.plugin.widgets.plot import AMBER, BLUE, GREEN


def results(viewer):
    return [layer for layer in viewer.layers if is_result_layer(layer)]


def press(qtbot, button):
    qtbot.mouseClick(button, Qt.MouseButton.LeftButton)


def run(qtbot, dock, engine, frames=1000):
    engine.let_through(frames)
    press(qtbot, dock.segment_button)
    qtbot.waitUntil(lambda: not dock.running, timeout=60_000)


def test_an_accepted_frame_is_not_asked_for_any_more(qtbot, viewer, dock, engine, annotated):
    run(qtbot, dock, engine)
    set_metadata(results(viewer)[0], confidence={0: 0.9, 3: 0.1, 5: 0.4, 6: 0.37})
    for accepted, asked in ((6, "5 (0.40)"), (5, "0 (0.90)"), (0, None)):
        viewer.dims.set_current_step(0, accepted)
        press(qtbot, dock.accept_button)
        text = dock.expected_iou_label.text()
        assert text.startswith(f"Lowest confidence: frame {asked}") if asked else not text
    dock.history.undo()
    assert dock.expected_iou_label.text().startswith("Lowest confidence: frame 0")
    dock.history.undo()
    assert dock.expected_iou_label.text().startswith("Lowest confidence: frame 5")
    dock.segment()
    dock.history.undo()  # waits
    assert not dock.expected_iou_label.text()


@pytest.fixture
def plot(qtbot):
    plot = ConfidencePlot()
    qtbot.addWidget(plot)
    plot.resize(300, 60)
    plot.show_stack(10, {2: 0.9, 3: 0.45, 7: 0.2}, accepted=[5])
    plot.show()
    return plot


def colour_at(plot, frame):
    bar = plot.bar(frame)
    return plot.grab().toImage().pixelColor(bar.center().toPoint())


def test_bars_are_as_high_as_the_confidence_and_coloured_by_it(plot):
    heights = [plot.bar(frame).height() for frame in (5, 2, 3, 7)]
    assert heights == sorted(heights, reverse=True)
    assert heights[2] == pytest.approx(heights[1] / 2)
    for frame, colour in ((2, BLUE), (3, AMBER), (7, AMBER), (5, GREEN)):
        assert colour_at(plot, frame).name() == colour.name()
    assert colour_at(plot, 0).name() not in {c.name() for c in (BLUE, AMBER, GREEN)}


def test_every_frame_can_be_hit(plot):
    for frame in range(10):
        assert plot.frame_at(QPointF(plot.bar(frame).center().x(), 3)) == frame
    assert plot.frame_at(QPointF(-5, 0)) == 0
    assert plot.frame_at(QPointF(500, 0)) == 9
    plot.show_stack(0, {}, ())
    assert plot.frame_at(QPointF(10, 0)) is None


def test_of_a_long_stack_the_known_frames_are_drawn(plot):
    plot.show_stack(8192, {4000: 0.9, 4005: 0.5}, accepted=[4003])
    assert plot.shown == range(3998, 4008)
    for frame in plot.shown:
        assert plot.frame_at(QPointF(plot.bar(frame).center().x(), 3)) == frame
    assert colour_at(plot, 4000).name() == BLUE.name()
    plot.show_stack(8192, {0: 0.9, 8191: 0.5}, accepted=[])
    assert plot.shown == range(8192)


def test_mouse_and_keys_choose_a_frame(qtbot, plot):
    chosen = []
    plot.chosen.connect(chosen.append)
    plot.chosen.connect(plot.mark)
    qtbot.mouseClick(plot, Qt.MouseButton.LeftButton, pos=QPoint(75, 30))
    qtbot.keyClick(plot, Qt.Key.Key_Right)
    qtbot.keyClick(plot, Qt.Key.Key_Left)
    qtbot.mouseClick(plot, Qt.MouseButton.LeftButton, pos=QPoint(1, 30))
    qtbot.keyClick(plot, Qt.Key.Key_Left)
    assert chosen == [2, 3, 2, 0]


def test_the_panel_follows_a_run_frame_by_frame(qtbot, viewer, dock, engine, annotated):
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


def test_a_click_goes_to_the_frame(qtbot, viewer, dock, engine, annotated):
    run(qtbot, dock, engine)
    plot = dock.quality_panel.plot
    for frame in (6, 1):
        at = QPoint(round(plot.bar(frame).center().x()), 10)
        qtbot.mouseClick(plot, Qt.MouseButton.LeftButton, pos=at)
        assert viewer.dims.current_step[0] == frame
        assert dock.accept_button.text() == f"Accept frame {frame}"


def test_the_next_frame_is_the_least_sure_that_is_not_known(qtbot, viewer, dock, engine, annotated):
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
