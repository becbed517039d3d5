"""Any sequence of actions leaves the panel in a state that is true, and loses no finished frame."""

from __future__ import annotations

import shutil
from dataclasses import replace
from importlib import resources

import numpy as np
import pytest
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from napari.layers import Image, Labels
from tests.plugin.conftest import BrightnessModel, GatedEngine
from tests.plugin.window import press, results
from tests.properties.conftest import examples

from napari_vrp_sam.inference.runs.engine import ThreadEngine
from napari_vrp_sam.inference.runs.preview_job import PreviewJob
from napari_vrp_sam.inference.runs.segmentation_job import SegmentationJob
from napari_vrp_sam.plugin.layers.outputs.outlines import is_preview_layer
from napari_vrp_sam.plugin.segment.widget import SegmentStackWidget

FRAMES = 4
MODELS = "lite", "vit_b", "dinov2_s"
"""Of different kinds; the engine of the tests replaces them."""


class PanelMachine(RuleBasedStateMachine):
    """Actions of a user, in any order, in one window for all sequences."""

    def __init__(self, qtbot, viewer, dock, stack, gate, models) -> None:
        super().__init__()
        self.models = models
        self.qtbot, self.viewer, self.dock, self.gate = qtbot, viewer, dock, gate
        self.data, self.truth = (one[:FRAMES] for one in stack)
        self.add_image()

    def teardown(self) -> None:
        self.dock.cancel()
        self.let_through(100)
        self.wait_for_end()
        self.dock.preview_box.setChecked(False)
        self.viewer.layers.clear()
        self.gate.drain()

    def wait_for_end(self) -> None:
        self.qtbot.waitUntil(lambda: not self.dock.running, timeout=60_000)

    def let_through(self, frames: int) -> None:
        self.gate.let_through(frames)

    @property
    def image(self) -> Image | None:
        return self.dock.form.image_box.layer

    def drawings(self) -> list[Labels]:
        labels = (layer for layer in self.viewer.layers if isinstance(layer, Labels))
        return [layer for layer in labels if layer.name.startswith("drawn")]

    @rule()
    def add_image(self) -> None:
        if sum(isinstance(layer, Image) for layer in self.viewer.layers) < 3:
            self.viewer.add_image(self.data, name="stack")

    @rule(frame=st.integers(0, FRAMES - 1), new=st.booleans(), partly=st.booleans())
    def annotate(self, frame: int, new: bool, partly: bool) -> None:
        drawn = self.drawings()
        layer = drawn[-1] if drawn and not new else None
        if layer is None:
            if len(drawn) > 2:
                return
            layer = self.viewer.add_labels(np.zeros_like(self.truth), name="drawn")
        where = np.nonzero(self.truth[frame] == 1 if partly else self.truth[frame])
        layer.data_setitem((np.full(len(where[0]), frame), *where), self.truth[frame][where])

    @rule(frame=st.integers(0, FRAMES - 1))
    def move(self, frame: int) -> None:
        if self.viewer.layers:
            self.viewer.dims.set_current_step(0, frame)

    @rule()
    def preview(self) -> None:
        self.dock.preview_box.toggle()

    @rule()
    def segment(self) -> None:
        self.dock.segment()

    @precondition(lambda self: self.dock.running)
    @rule(frames=st.integers(1, 2))
    def wait_for_frames(self, frames: int) -> None:
        self.let_through(frames)
        self.qtbot.wait(20)

    @precondition(lambda self: self.dock.running)
    @rule()
    def finish(self) -> None:
        image = self.image
        self.let_through(100)
        self.wait_for_end()
        self.gate.drain()
        assert "Unexpected" not in self.dock.status.text()
        if image is not None and image is self.image:
            assert self.dock.status.text()

    @precondition(lambda self: self.dock.running)
    @rule()
    def cancel(self) -> None:
        press(self.qtbot, self.dock.cancel_button)
        press(self.qtbot, self.dock.cancel_button)

    @precondition(lambda self: results(self.viewer))
    @rule(data=st.data())
    def correct(self, data) -> None:
        layer = data.draw(st.sampled_from(results(self.viewer)))
        layer.data_setitem((np.array([0, 0]), np.array([1, 2]), np.array([3, 3])), 1)

    @rule()
    def accept(self) -> None:
        press(self.qtbot, self.dock.accept_button)

    @rule(redo=st.booleans())
    def undo(self, redo: bool) -> None:
        buttons = self.dock.undo_buttons
        press(self.qtbot, buttons.redo_button if redo else buttons.undo_button)

    @precondition(lambda self: self.viewer.layers)
    @rule(data=st.data())
    def delete(self, data) -> None:
        number = data.draw(st.integers(0, len(self.viewer.layers) - 1))
        self.viewer.layers.pop(number)

    @precondition(lambda self: self.viewer.layers)
    @rule(data=st.data(), name=st.sampled_from(("drawn again", "stack", "renamed")))
    def rename(self, data, name: str) -> None:
        number = data.draw(st.integers(0, len(self.viewer.layers) - 1))
        self.viewer.layers[number].name = name

    @rule(data=st.data())
    def change_image(self, data) -> None:
        box = self.dock.form.image_box
        if box.count():
            box.setCurrentIndex(data.draw(st.integers(0, box.count() - 1)))

    @rule(data=st.data())
    def change_model(self, data) -> None:
        box = self.dock.form.model_box
        if box.isEnabled():
            box.choose(data.draw(st.sampled_from(self.models)))

    @rule(changed=st.booleans())
    def close_and_open_the_panel(self, changed: bool) -> None:
        """A closed panel has ended its run, and touches no layer."""
        image, result = self.image, [layer.data.copy() for layer in results(self.viewer)]
        frame = self.dock.parentWidget()
        frame.close()
        assert not self.dock.running
        self.let_through(100)
        if changed:
            self.add_image()
            self.annotate(0, new=False, partly=True)
        self.qtbot.wait(20)
        assert not any(map(is_preview_layer, self.viewer.layers))
        for layer, before in zip(results(self.viewer), result, strict=True):
            np.testing.assert_array_equal(layer.data, before)
        frame.show()
        self.gate.drain()
        if not changed:
            assert self.image is image

    @rule(step=st.sampled_from((1, -1)))
    def change_tile_size(self, step: int) -> None:
        box = self.dock.form.tile_box
        if box.isEnabled():
            box.setValue(box.value() + step)

    @invariant()
    def what_is_shown_is_true(self) -> None:
        dock = self.dock
        assert dock.segment_button.isEnabled() == (not dock.running)
        assert dock.running or not dock.cancel_button.isEnabled()
        text = dock.status.text()
        assert text
        assert "Unexpected error" not in text
        assert dock.progress.value() <= dock.progress.maximum()
        if not dock.running:
            assert not text.startswith(("Frame ", "Starting", "Loading", "Learning", "Cancelling"))
        if self.image is not None:
            assert self.image in self.viewer.layers
        for layer in results(self.viewer):
            assert layer.data.shape == self.truth.shape
        previews = [layer for layer in self.viewer.layers if is_preview_layer(layer)]
        assert len(previews) <= 1


class StepEngine(GatedEngine):
    """Gated engine whose previews do not wait, and whose gate can be closed again."""

    def submit(self, job):
        if isinstance(job, PreviewJob):
            self.runs.append(ThreadEngine().submit(replace(job, model=BrightnessModel().eval())))
            return self.runs[-1]
        if not isinstance(job, SegmentationJob):
            return ThreadEngine().submit(job)
        return super().submit(job)

    def drain(self) -> None:
        while self.gate.acquire(blocking=False):
            pass


class OpenGate:
    """Gate of an engine that does not wait."""

    def let_through(self, frames: int) -> None:
        """Do nothing."""

    def drain(self) -> None:
        """Do nothing."""


@pytest.fixture
def engine():
    engine = StepEngine()
    yield engine
    for run in engine.runs:
        run.cancel()
    engine.let_through()
    for run in engine.runs:
        list(run.events())


def play(qtbot, viewer, dock, stack, gate, *, count: int, steps: int, models=MODELS) -> None:
    settings = examples(count)
    run_state_machine_as_test(
        lambda: PanelMachine(qtbot, viewer, dock, stack, gate, models),
        settings=type(settings)(settings, stateful_step_count=steps),
    )


def test_any_short_sequence_of_actions(qtbot, viewer, dock, engine, stack):
    play(qtbot, viewer, dock, stack, engine, count=3, steps=12)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_any_long_sequence_of_actions(qtbot, viewer, dock, engine, stack):
    play(qtbot, viewer, dock, stack, engine, count=40, steps=40)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_any_sequence_with_lite(qtbot, viewer, stack, tmp_path):
    dock = SegmentStackWidget(viewer)  # with its worker process
    dock.preview_box.setChecked(False)
    viewer.window.add_dock_widget(dock, name="Segment stack")
    copy = tmp_path / "copy.safetensors"
    shutil.copy(resources.files("napari_vrp_sam") / "models/weights/lite.safetensors", copy)
    models = "lite", str(copy)
    play(qtbot, viewer, dock, stack, OpenGate(), count=8, steps=20, models=models)
