import pytest
from qtpy.QtCore import QPoint, QPointF, Qt

from napari_vrp_sam.plugin.segment.status.confidence_plot import ConfidencePlot
from napari_vrp_sam.plugin.widgets.plot import AMBER, BLUE, GREEN


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
    point = QPointF(bar.center().x(), bar.bottom() - 3)  # below the line of the warning
    return plot.grab().toImage().pixelColor(point.toPoint())


def test_bars_show_the_confidence_by_height_and_colour(plot):
    heights = [plot.bar(frame).height() for frame in (5, 2, 3, 7)]
    assert heights == sorted(heights, reverse=True)
    assert heights[2] == pytest.approx(heights[1] / 2)
    for frame, colour in ((2, BLUE), (3, AMBER), (7, AMBER), (5, GREEN)):
        assert colour_at(plot, frame).name() == colour.name()
    assert colour_at(plot, 0).name() not in {c.name() for c in (BLUE, AMBER, GREEN)}


def test_frame_at_finds_every_frame(plot):
    for frame in range(10):
        assert plot.frame_at(QPointF(plot.bar(frame).center().x(), 3)) == frame
    assert plot.frame_at(QPointF(-5, 0)) == 0
    assert plot.frame_at(QPointF(500, 0)) == 9
    plot.show_stack(0, {}, ())
    assert plot.frame_at(QPointF(10, 0)) is None


def test_long_stack_shows_only_the_known_frames(plot):
    plot.show_stack(8192, {4000: 0.9, 4005: 0.5}, accepted=[4003])
    assert plot.shown == range(3998, 4008)
    for frame in plot.shown:
        assert plot.frame_at(QPointF(plot.bar(frame).center().x(), 3)) == frame
    assert colour_at(plot, 4000).name() == BLUE.name()
    plot.show_stack(8192, {0: 0.9, 8191: 0.5}, accepted=[])
    assert plot.shown == range(8192)


def test_mouse_and_arrow_keys_choose_a_frame(qtbot, plot):
    chosen = []
    plot.chosen.connect(chosen.append)
    plot.chosen.connect(plot.mark)
    qtbot.mouseClick(plot, Qt.MouseButton.LeftButton, pos=plot.bar(2).center().toPoint())
    qtbot.keyClick(plot, Qt.Key.Key_Right)
    qtbot.keyClick(plot, Qt.Key.Key_Left)
    qtbot.mouseClick(plot, Qt.MouseButton.LeftButton, pos=QPoint(1, 30))
    qtbot.keyClick(plot, Qt.Key.Key_Left)
    assert chosen == [2, 3, 2, 0]
