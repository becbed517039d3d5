"""Layout, keyboard navigation and learning curves of the "Fine-tune" dock."""

import numpy as np
import pytest
from qtpy.QtCore import Qt
from qtpy.QtGui import QColor
from qtpy.QtWidgets import QApplication
from tests.plugin.models.test_panel import PACKAGED
from tests.plugin.segment.test_appearance import WIDTH, accessible_name, cut_off, set_width

from napari_vrp_sam.fine_tuning.events import TrainingStep, Validation
from napari_vrp_sam.models.zoo import user_models
from napari_vrp_sam.plugin.fine_tune.learning_plot import IOU_COLOUR, LearningPlot
from napari_vrp_sam.plugin.models.changes import user_model_signals
from napari_vrp_sam.plugin.widgets.focus.keyboard import visible_controls


@pytest.fixture
def full(qtbot, viewer, tuner, lessons, stack):
    """Show everything that the dock can show at the same time."""
    name = "an image with a name that is much longer than the width of the dock"
    viewer.add_image(stack[0], name=name)
    drawn = np.zeros_like(stack[1])
    drawn[3] = stack[1][3]
    viewer.add_labels(drawn, name=f"masks of {name}")
    for model in ("mito", "a name with the maximum length of 60 characters " + 12 * "x"):
        user_models.add(PACKAGED, model)
    user_model_signals.changed.emit()
    tuner.fine_tune()
    lessons.let_through(2)
    qtbot.waitUntil(lambda: len(tuner.plot.ious) == 2)
    tuner.cancel()
    qtbot.waitUntil(lambda: not tuner.running)
    tuner.fine_tune()
    lessons.let_through(3)
    qtbot.waitUntil(lambda: len(tuner.plot.losses) == 3)
    tuner.user_models_panel.expand(animate=False)
    tuner.unfinished_box.lock(locked=False)
    tuner.status.show_message("A long sentence that has to be wrapped because of its length. " * 2)
    return tuner


@pytest.mark.parametrize("theme", ["dark", "light"])
def test_nothing_is_cut_off_at_300_pixels(qtbot, viewer, full, theme):
    viewer.theme = theme

    def check():
        set_width(viewer, full)
        assert full.width() <= WIDTH
        assert cut_off(full) == []

    qtbot.waitUntil(check, timeout=30_000)
    assert full.minimumSizeHint().width() <= 284


def test_every_control_has_a_name_and_help(full):
    controls = list(visible_controls(full))
    assert len(controls) > 18
    for control in controls:
        assert accessible_name(control), control
        assert control.toolTip(), control
        assert control.accessibleDescription(), control


def test_tab_moves_through_all_controls_from_top_to_bottom(qtbot, viewer, tuner, opened):
    window = tuner.window()
    window.activateWindow()
    qtbot.waitUntil(window.isActiveWindow)
    form = tuner.form
    form.image_box.setFocus(Qt.FocusReason.TabFocusReason)
    focused = [QApplication.focusWidget()]
    while focused[-1] is not tuner.controls.start_button:
        qtbot.keyClick(focused[-1], Qt.Key.Key_Tab)
        focused.append(QApplication.focusWidget())
    assert focused == [
        form.image_box,
        *visible_controls(form.annotation_list),
        form.model_box,
        form.parts_box,
        form.minutes_box,
        form.name_box,
        tuner.controls.start_button,
    ]
    qtbot.keyClick(focused[-1], Qt.Key.Key_Space)
    assert tuner.running


@pytest.fixture
def plot(qtbot):
    plot = LearningPlot()
    qtbot.addWidget(plot)
    plot.resize(280, 150)
    plot.show()
    return plot


def coloured(plot, colour):
    """Return rows and columns of the pixels in a colour."""
    image = plot.grab().toImage()
    return [
        (y, x)
        for y in range(image.height())
        for x in range(image.width())
        if QColor(image.pixel(x, y)).rgb() == colour.rgb()
    ]


def test_iou_curve_rises_with_the_iou(plot):
    upper, _ = plot.panes()
    plot.add([TrainingStep(1, 10, 1.0, 5)], [Validation(0, 0.5, 0.5), Validation(10, 0.7, 0.7)])
    drawn = [(y, x) for y, x in coloured(plot, IOU_COLOUR) if upper.contains(x, y)]
    left = np.mean([y for y, x in drawn if x < 60])
    right = np.mean([y for y, x in drawn if x > 220])
    assert right < left - 20
    low, high = plot.iou_range()
    assert low < 0.5 < 0.7 < high


def test_smoothed_loss_is_the_mean_of_the_first_steps(plot):
    plot.add([TrainingStep(i, 9, loss, 1.0) for i, loss in enumerate([4.0, 2.0, 0.0])], [])
    assert [loss for _, loss in plot.smoothed] == pytest.approx([4, 3, 2])


def test_constant_iou_has_a_minimum_range(plot):
    plot.add([], [Validation(step, 0.6 + 0.001 * step, 0.7) for step in range(5)])
    low, high = plot.iou_range()
    assert high - low == pytest.approx(0.1)


@pytest.mark.parametrize("iou", [0.0, 1.0])
def test_extreme_ious_are_drawn(plot, iou):
    plot.add([], [Validation(0, iou, iou)])
    low, high = plot.iou_range()
    assert low <= iou <= high
    assert 0 <= low < high <= 1
    assert coloured(plot, IOU_COLOUR)


def test_long_runs_and_zero_losses_are_drawn(plot):
    losses = [0.0, 5.0, *np.random.default_rng(0).random(5000)]
    plot.add([TrainingStep(i, 9000, loss, 1.0) for i, loss in enumerate(losses)], [])
    assert plot.grab()
    plot.reset()
    assert plot.losses == plot.ious == []
    assert plot.grab()
