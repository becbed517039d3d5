import numpy as np
import pytest
from qtpy.QtCore import Qt
from tests.plugin.window import press, results, run

from napari_vrp_sam.plugin.layers.appearance.styles import style_of
from napari_vrp_sam.plugin.segment.result.result_row import KEY


@pytest.fixture
def row(dock):
    return dock.result_row


def draw(layer):
    """Paint another class than before, because napari ignores strokes that change nothing."""
    layer.paint((3, 5, 5), 3 - int(layer.data[3, 5, 5] or 2))


def test_controls_are_disabled_without_a_result(viewer, row, annotated):
    assert not row.isEnabled()
    viewer.add_labels(np.zeros((7, 48, 64), int), name="somebody's labels")
    assert not row.isEnabled()
    row.toggle()  # has nothing to show


def test_show_and_hide_with_the_box_or_the_key(qtbot, viewer, dock, row, engine, annotated, canvas):
    run(qtbot, dock, engine)
    (result,) = results(viewer)
    assert row.isEnabled()
    assert row.show_box.isChecked()
    undo = dock.history.undo_text

    press(qtbot, row.show_box)
    assert not result.visible
    for layer in (annotated[0], annotated[1], result):
        viewer.layers.selection.active = layer
        before = result.visible
        qtbot.keyClicks(canvas, KEY)
        assert result.visible is not before
        assert row.show_box.isChecked() is result.visible
    assert KEY in row.show_box.toolTip()
    assert dock.history.undo_text == undo


def test_key_has_no_other_use(viewer, dock, annotated):
    from napari.settings import get_settings

    shortcuts = get_settings().shortcuts.shortcuts.values()
    assert KEY not in {str(key) for keys in shortcuts for key in keys}
    dock.form.class_list.enable_keys(enabled=True)
    for layer in viewer.layers:
        assert KEY not in {str(key) for key in {**type(layer).class_keymap, **layer.keymap}}
    dock.parent().close()
    assert KEY not in {str(key) for key in viewer.keymap}


def test_style_and_opacity_are_remembered(qtbot, viewer, dock, row, engine, annotated, preferences):
    run(qtbot, dock, engine)
    (first,) = results(viewer)
    assert style_of(first) == "contour"
    assert first.opacity == 1

    qtbot.keyClick(row.style_box, Qt.Key.Key_Down)
    assert style_of(first) == "hatched"
    row.opacity_slider.setValue(60)
    assert first.opacity == 0.6
    first.opacity = 0.4  # with napari's own slider
    assert row.opacity_slider.value() == 40
    qtbot.waitUntil(lambda: preferences().result_opacity == 40)
    assert preferences().result_style == "fill"

    run(qtbot, dock, engine)
    second = results(viewer)[-1]
    assert second != first
    assert style_of(second) == "hatched"
    assert second.opacity == 0.4
    assert row.style_box.currentText() == "Fill"


def test_result_is_hidden_while_the_user_draws(qtbot, viewer, dock, row, engine, annotated):
    run(qtbot, dock, engine)
    (result,) = results(viewer)

    press(qtbot, dock.form.draw_buttons["scribble"])
    assert not result.visible
    assert row.isEnabled()
    assert not row.show_box.isChecked()
    scribbles = viewer.layers.selection.active
    draw(scribbles)

    while engine.gate.acquire(blocking=False):
        pass
    press(qtbot, dock.segment_button)
    assert result.visible  # until the new result has its first frame
    engine.let_through()
    qtbot.waitUntil(lambda: not dock.running, timeout=60_000)
    newest = results(viewer)[-1]
    assert [layer.visible for layer in (result, newest)] == [False, True]

    draw(scribbles)
    assert not newest.visible
    viewer.layers.selection.active = newest
    assert newest.visible
    draw(newest)  # a correction
    assert newest.visible
    assert not result.visible


def test_result_shown_by_hand_stays(qtbot, viewer, dock, row, engine, annotated):
    run(qtbot, dock, engine)
    (result,) = results(viewer)
    viewer.layers.selection.active = annotated[1]
    draw(annotated[1])
    assert not result.visible
    press(qtbot, row.show_box)
    draw(annotated[1])
    press(qtbot, dock.form.draw_buttons["point"])
    assert result.visible

    result.visible = False
    result.visible = True  # in the layer list
    draw(annotated[1])
    assert result.visible
    press(qtbot, row.show_box)
    assert not result.visible


def test_undo_of_a_run_shows_the_earlier_result(qtbot, viewer, dock, engine, annotated):
    run(qtbot, dock, engine)
    (first,) = results(viewer)
    draw(annotated[1])
    run(qtbot, dock, engine)
    assert not first.visible
    dock.history.undo()
    assert results(viewer) == [first]
    assert first.visible


def test_result_of_another_image_returns_with_it(qtbot, viewer, dock, engine, annotated):
    run(qtbot, dock, engine)
    (result,) = results(viewer)
    dock.form.image_box.choose(viewer.add_image(np.zeros((7, 48, 64)), name="other"))
    press(qtbot, dock.form.draw_buttons["mask"])
    assert not result.visible
    assert not dock.result_row.isEnabled()
    dock.form.image_box.choose(annotated[0])
    assert result.visible
