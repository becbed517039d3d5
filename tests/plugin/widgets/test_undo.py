import gc
import weakref

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from napari.components import ViewerModel
from qtpy.QtCore import Qt
from tests.plugin.window import press, run

from napari_vrp_sam.errors import InputError
from napari_vrp_sam.plugin.classes.annotation_layers import annotate_with_points
from napari_vrp_sam.plugin.classes.classes import Classes
from napari_vrp_sam.plugin.layers.outputs.accepted import accepted_frames
from napari_vrp_sam.plugin.layers.outputs.probabilities import is_probability_layer
from napari_vrp_sam.plugin.layers.outputs.results import is_result_layer
from napari_vrp_sam.plugin.widgets.undo import LIMIT, UndoHistory

LEFT = Qt.MouseButton.LeftButton
CTRL_ALT = Qt.KeyboardModifier.ControlModifier | Qt.KeyboardModifier.AltModifier


@pytest.fixture
def press_key(qtbot, canvas):
    """Press Ctrl+Alt+Z over the canvas, with or without Shift."""

    def press_key(*, shift=False):
        more = Qt.KeyboardModifier.ShiftModifier if shift else Qt.KeyboardModifier.NoModifier
        qtbot.keyClick(canvas, Qt.Key.Key_Z, CTRL_ALT | more)

    return press_key


def state(viewer, dock):
    """Return everything that the actions change."""
    return (
        [(layer.name, layer.visible, np.asarray(layer.data).sum()) for layer in viewer.layers],
        [(layer.name, accepted_frames(layer)) for layer in viewer.layers if is_result_layer(layer)],
        list(dock.form.class_list.classes),
    )


def test_undo_and_redo_of_every_action(qtbot, viewer, dock, engine, stack, press_key):
    form = dock.form

    def draw():
        press(qtbot, form.draw_buttons["mask"])
        viewer.layers.selection.active.data[3] = stack[1][3] > 0

    def rename():
        form.class_list.row(2).renamed.emit("lysosome")

    def recolour():
        form.class_list.row(2).recoloured.emit("#ff00ff")

    def go_to(frame):
        viewer.dims.set_current_step(0, frame)
        press(qtbot, dock.accept_button)

    viewer.add_image(stack[0], name="stack")
    actions = {
        "add layer 'masks'": draw,
        "add 'class 2'": lambda: press(qtbot, form.class_list.add_button),
        "rename 'class 2'": rename,
        "change the colour of 'lysosome'": recolour,
        "segment stack": lambda: run(qtbot, dock, engine),
        "accept frame 5": lambda: go_to(5),
        "accept frame 2": lambda: go_to(2),
        "unaccept frame 5": lambda: go_to(5),
        "segment stack again": lambda: run(qtbot, dock, engine),
        "remove 'lysosome'": lambda: (
            form.class_list.classes.choose(2),
            press(qtbot, form.class_list.remove_button),
        ),
        "add layer 'points'": lambda: press(qtbot, form.draw_buttons["point"]),
    }
    states = [state(viewer, dock)]
    for text, act in actions.items():
        act()
        assert dock.history.undo_text == text.removesuffix(" again")
        states.append(state(viewer, dock))

    # Drawings after an action are removed and restored with it.
    for before, text in zip(reversed(states[:-1]), reversed(actions), strict=True):
        name = text.removesuffix(" again")
        assert f"Undo: {name.replace(chr(39), '&#x27;')}" in dock.undo_buttons.undo_button.toolTip()
        assert dock.undo_buttons.undo_button.full_text == f"Undo: {name}"
        press_key()
        assert state(viewer, dock) == before, text
        assert dock.status.text() == f"Undone: {name}."
    assert not dock.undo_buttons.undo_button.isEnabled()
    assert "Nothing to undo" in dock.undo_buttons.undo_button.toolTip()

    for after, text in zip(states[1:], actions, strict=True):
        viewer.layers.selection.active = viewer.layers["stack"]  # a selected result stays visible
        press_key(shift=True)
        assert state(viewer, dock) == after, text
    assert not dock.undo_buttons.redo_button.isEnabled()
    assert dock.accept_button.text() == "Accept frame 5"
    press(qtbot, dock.undo_buttons.undo_button)
    assert state(viewer, dock) == states[-2]
    viewer.layers.selection.active = viewer.layers["stack"]
    press(qtbot, dock.undo_buttons.redo_button)
    assert state(viewer, dock) == states[-1]


def test_undo_and_redo_of_opening_the_sample(qtbot, viewer, dock, press_key):
    press(qtbot, dock.form.sample_button)
    opened = state(viewer, dock)

    press_key()
    assert not viewer.layers
    assert dock.form.sample_button.isVisible()
    press_key(shift=True)
    assert state(viewer, dock) == opened


def test_restored_layer_keeps_its_drawing(qtbot, viewer, dock, stack, press_key):
    viewer.add_image(stack[0])
    press(qtbot, dock.form.draw_buttons["mask"])
    masks = viewer.layers.selection.active
    masks.paint((3, 20, 20), 1)
    drawn = masks.data.copy()

    press_key()
    assert masks not in viewer.layers
    press_key(shift=True)

    assert viewer.layers.selection.active == masks
    np.testing.assert_array_equal(masks.data, drawn)
    assert [a.layer for a in dock.form.annotation_list.annotations] == [masks]
    masks.paint((3, 40, 40), 1)
    masks.undo()  # napari's undo of strokes
    np.testing.assert_array_equal(masks.data, drawn)


def test_undo_of_a_layer_from_the_menu(viewer, dock, stack, press_key):
    viewer.add_image(stack[0])
    annotate_with_points(viewer)
    assert dock.history.undo_text == "add layer 'points'"

    press_key()

    assert len(viewer.layers) == 1


def test_undo_skips_deleted_layers(qtbot, viewer, dock, engine, annotated, press_key):
    run(qtbot, dock, engine)
    first = viewer.layers[-1]
    press(qtbot, dock.accept_button)
    run(qtbot, dock, engine)
    second = viewer.layers[-1]
    press(qtbot, dock.form.draw_buttons["point"])
    for layer in (second, viewer.layers[-1]):
        viewer.layers.remove(layer)
    assert not first.visible

    press_key()  # the points
    assert "the layer was deleted" in dock.status.text()
    press_key()  # the second run
    assert first.visible
    viewer.layers.remove(first)
    press_key()  # the accepted frame
    assert "the layer was deleted" in dock.status.text()
    press_key()  # the first run
    assert [layer.name for layer in viewer.layers] == ["stack", "drawn"]

    for _ in range(5):
        press_key(shift=True)
    assert [layer.name for layer in viewer.layers] == ["stack", "drawn"]


def test_undo_keeps_a_class_that_was_drawn_meanwhile(qtbot, viewer, dock, stack, press_key):
    viewer.add_image(stack[0])
    press(qtbot, dock.form.draw_buttons["mask"])
    masks = viewer.layers.selection.active
    press(qtbot, dock.form.class_list.add_button)
    masks.paint((3, 20, 20), 2)

    press_key()

    assert [entry.number for entry in dock.form.class_list.classes] == [1, 2]
    assert "'class 2' was not removed because it is drawn in 'masks'" in dock.status.text()


def test_undo_is_locked_during_a_run(qtbot, viewer, dock, engine, annotated, press_key):
    press(qtbot, dock.form.draw_buttons["point"])
    press(qtbot, dock.segment_button)
    assert not dock.undo_buttons.undo_button.isEnabled()
    assert "not available during a run" in dock.undo_buttons.undo_button.toolTip()

    press_key()
    assert "not available during a run" in dock.status.text()
    assert viewer.layers["points"]

    engine.let_through()
    qtbot.waitUntil(lambda: not dock.running, timeout=60_000)
    assert dock.history.undo_text == "segment stack"
    press_key()
    assert not any(is_result_layer(layer) for layer in viewer.layers)


def test_undo_and_redo_include_probabilities(qtbot, viewer, dock, engine, annotated):
    dock.probability_box.setChecked(True)
    run(qtbot, dock, engine)
    made = [layer.name for layer in viewer.layers]
    assert sum(is_probability_layer(layer) for layer in viewer.layers) == 2

    dock.history.undo()
    assert [layer.name for layer in viewer.layers] == ["stack", "drawn"]
    dock.history.redo()
    assert [layer.name for layer in viewer.layers] == made


def test_undo_of_a_cancelled_run(qtbot, viewer, dock, engine, annotated):
    press(qtbot, dock.segment_button)
    press(qtbot, dock.cancel_button)
    engine.let_through()
    qtbot.waitUntil(lambda: not dock.running, timeout=60_000)
    results = [layer for layer in viewer.layers if is_result_layer(layer)]
    assert dock.history.undo_text == ("segment stack" if results else "")


def test_number_of_actions_is_limited(viewer, dock):
    done = []
    for number in range(LIMIT + 5):
        dock.history.push(f"action {number}", lambda n=number: done.append(n), lambda: None)
    for _ in range(LIMIT + 5):
        dock.history.undo()
    assert done == list(range(LIMIT + 4, 4, -1))


def test_history_does_not_keep_deleted_layers(qapp):
    from napari_vrp_sam.plugin.classes.annotation_layers import new_annotation_layer

    viewer = ViewerModel()
    history = UndoHistory(viewer)
    image = viewer.add_image(np.zeros((3, 9, 9)))
    ref = weakref.ref(new_annotation_layer(viewer, image, "mask"))
    assert history.undo_text == "add layer 'masks'"
    viewer.layers.remove("masks")
    viewer.layers.selection.active = image  # otherwise napari keeps a reference to the layer
    gc.collect()
    assert ref() is None

    history.undo()
    history.redo()
    assert viewer.layers == [image]
    history.release()
    annotate_with_points(viewer)
    assert history.undo_text == ""


class ClassesAndUndo(RuleBasedStateMachine):
    """Undo and redo must restore every previous list of classes."""

    def __init__(self):
        super().__init__()
        self.drawn = set()
        self.history = UndoHistory(ViewerModel())
        self.classes = Classes(self.history, lambda n: "drawing" if n in self.drawn else None)
        self.states = [list(self.classes)]
        self.at = 0

    def done(self):
        """Record the state if the action changed it."""
        if list(self.classes) != self.states[self.at]:
            self.states = [*self.states[: self.at + 1], list(self.classes)][-LIMIT - 1 :]
            self.at = len(self.states) - 1

    def teardown(self):
        self.history.release()

    @rule()
    def add(self):
        self.classes.add()
        self.done()

    @rule(number=st.integers(1, 6))
    def remove(self, number):
        try:
            self.classes.remove(number)
        except InputError:
            assert len(self.states[self.at]) == 1
        self.done()

    @rule(number=st.integers(1, 6), name=st.sampled_from(["a", "b", "class 3"]))
    def rename(self, number, name):
        try:
            self.classes.rename(number, name)
        except InputError:
            assert name in [entry.name for entry in self.classes]
        self.done()

    @rule(number=st.integers(1, 6), colour=st.sampled_from(["#ff0000", "#00ff00"]))
    def recolour(self, number, colour):
        self.classes.recolour(number, colour)
        self.done()

    @precondition(lambda self: self.at > 0)
    @rule()
    def undo(self):
        self.history.undo()
        self.at -= 1

    @precondition(lambda self: self.at < len(self.states) - 1)
    @rule()
    def redo(self):
        self.history.redo()
        self.at += 1

    @rule(number=st.integers(1, 6))
    def draw(self, number):
        """A drawn class must stay in the list during undo and redo."""
        before = list(self.classes)
        listed = number in self.classes
        self.drawn = {number}
        for step in [self.history.undo] * 3 + [self.history.redo] * 3:
            step()
            assert not listed or number in self.classes
        self.drawn = set()
        self.classes.replace_all(before)
        # The recorded states no longer match the actions.
        self.history.release()
        self.states, self.at = [before], 0

    @invariant()
    def the_list_is_the_one_of_this_step(self):
        assert list(self.classes) == self.states[self.at]
        assert self.states[self.at]
        assert bool(self.history.undo_text) == (self.at > 0)
        assert bool(self.history.redo_text) == (self.at < len(self.states) - 1)


@pytest.mark.usefixtures("qapp")
class TestClassesAndUndo(ClassesAndUndo.TestCase):
    settings = settings(max_examples=40, stateful_step_count=25, deadline=None)
