"""A real window, and an engine whose frames the test lets through one by one."""

import threading
from dataclasses import replace

import numpy as np
import pytest
import torch
from qtpy.QtWidgets import QWidget
from torch import nn

from napari_vrp_sam.inference.engine import Job, Run, ThreadEngine
from napari_vrp_sam.inference.objects import ObjectsJob
from napari_vrp_sam.models.types import FrameFeatures, Prompts


class BrightnessModel(nn.Module):
    """A model of the simplest kind: a pixel belongs to the class whose brightness it has."""

    name = "brightness"

    def __init__(self, gate=None, choices=None):
        super().__init__()
        self.gate = gate
        self.made = choices or {}

    def encode(self, frames):
        return FrameFeatures(tuple(frames.shape[-2:]), frames.mean(dim=1, keepdim=True), ())

    def prepare(self, references):
        return {
            reference.class_id: reference.features.embedding[0, 0][reference.mask > 0].mean()
            for reference in references
            if reference.mask.any()
        }

    def choices(self, prepared):
        return self.made

    def prompt(self, features, prepared):
        levels = torch.stack([prepared[class_id] for class_id in sorted(prepared)])
        return Prompts(tuple(sorted(prepared)), levels[:, None, None], torch.empty(0))

    def decode(self, features, prompts):
        if self.gate is not None and not self.gate.acquire(timeout=60):
            raise TimeoutError("the test let no frame through")
        return 100 * (0.1 - (features.embedding[0] - prompts.sparse).abs())


class GatedStack:
    """A stack that hands out a frame for each release of a gate."""

    def __init__(self, stack, gate):
        self._stack, self._gate = stack, gate
        self.shape, self.dtype = stack.shape, stack.dtype

    def __getitem__(self, selection):
        if not self._gate.acquire(timeout=60):
            raise TimeoutError("the test let no frame through")
        return self._stack[selection]


class GatedEngine:
    """Works in a thread, like the plugin's own, but waits at each frame for `let_through`."""

    def __init__(self):
        self.gate = threading.Semaphore(0)
        self.jobs: list[Job] = []
        self.runs: list[Run] = []
        self.choices = {}

    def submit(self, job):
        self.jobs.append(job)
        if isinstance(job, ObjectsJob):
            gated = replace(job, data=GatedStack(job.data, self.gate))
            self.runs.append(ThreadEngine().submit(gated))
            return self.runs[-1]
        model = BrightnessModel(self.gate, self.choices)
        self.runs.append(ThreadEngine().submit(replace(job, model=model)))
        return self.runs[-1]

    def let_through(self, frames=1000):
        self.gate.release(frames)


@pytest.fixture(autouse=True)
def preferences(monkeypatch, tmp_path):
    """The plugin's page of napari's Preferences, untouched; saved for this test alone."""
    from napari import settings

    settings._PLUGIN_SETTINGS.clear()
    monkeypatch.setattr(settings, "_CFG_PATH", str(tmp_path / "settings.yaml"))
    yield lambda: settings.get_plugin_settings("napari-vrp-sam").segmentation
    settings._PLUGIN_SETTINGS.clear()


@pytest.fixture
def engine():
    engine = GatedEngine()
    yield engine
    for run in engine.runs:  # no thread outlives its test
        run.cancel()
    engine.let_through()
    for run in engine.runs:
        run._thread.join(timeout=30)
        assert not run._thread.is_alive()


@pytest.fixture
def stack():
    """Squares of two brightnesses that drift through 7 frames, and their truth."""
    stack = np.full((7, 48, 64), 20, dtype=np.uint8)
    truth = np.zeros(stack.shape, dtype=np.uint8)
    for z in range(7):
        for class_id, column in ((1, 5), (2, 40)):
            square = (z, slice(4 + 3 * z, 16 + 3 * z), slice(column, column + 14))
            stack[square] = 100 * class_id
            truth[square] = class_id
    return stack, truth


@pytest.fixture
def viewer(make_napari_viewer_proxy):
    return make_napari_viewer_proxy(show=True)


@pytest.fixture
def dock(viewer, engine):
    """The dock widget in the window, with a gated engine."""
    from napari_vrp_sam.plugin.segment_widget import SegmentStackWidget

    widget = SegmentStackWidget(viewer, engine)
    widget.preview_box.setChecked(False)  # the gate is for the runs
    viewer.window.add_dock_widget(widget, name="Segment stack")
    return widget


@pytest.fixture
def annotated(viewer, dock, stack):
    """The stack opened, and both classes drawn on frame 3: image and annotation layer."""
    data, truth = stack
    image = viewer.add_image(data, name="stack", scale=(2, 0.5, 0.5), units=("um",) * 3)
    drawn = np.zeros_like(truth)
    drawn[3] = truth[3]
    labels = viewer.add_labels(drawn, name="drawn", scale=(2, 0.5, 0.5), units=("um",) * 3)
    return image, labels


@pytest.fixture
def canvas(dock):
    """The widget that napari draws on, and that takes the keys."""
    (canvas,) = [
        child
        for child in dock.window().findChildren(QWidget)
        if type(child).__name__.startswith("CanvasBackend")
    ]
    return canvas
