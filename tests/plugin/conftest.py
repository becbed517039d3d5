"""Viewer, docks and engines that wait at each frame or step until the test lets it through."""

import shutil
import threading
from dataclasses import dataclass, replace
from importlib import resources

import numpy as np
import pytest
import torch
from qtpy.QtWidgets import QWidget
from tests.plugin.done_once import (  # noqa: F401
    frozen_imports,
    frozen_survivors,
    plugins_found_once,
    sample_made_once,
)
from torch import nn

from napari_vrp_sam.fine_tuning.events import (
    Comparison,
    FineTuningResult,
    TrainingStep,
    Validation,
)
from napari_vrp_sam.fine_tuning.interrupted.saved_job import save_job
from napari_vrp_sam.fine_tuning.job import FineTuneJob
from napari_vrp_sam.inference.runs.engine import Run, ThreadEngine
from napari_vrp_sam.inference.runs.events import Progress
from napari_vrp_sam.inference.runs.objects_job import ObjectsJob, ObjectsPreviewJob
from napari_vrp_sam.inference.runs.segmentation_job import SegmentationJob
from napari_vrp_sam.models.base import FrameFeatures, Model, Prompts
from napari_vrp_sam.models.zoo import user_models as store


class BrightnessModel(nn.Module, Model):
    """Model that assigns each pixel to the class of its brightness."""

    name = "brightness"

    def __init__(self, gate=None, calibrations=None):
        super().__init__()
        self.gate = gate
        self.made = calibrations or {}

    def encode(self, frames):
        return FrameFeatures(tuple(frames.shape[-2:]), frames.mean(dim=1, keepdim=True), ())

    def prepare(self, references):
        return {
            reference.class_id: reference.features.embedding[0, 0][reference.mask > 0].mean()
            for reference in references
            if reference.mask.any()
        }

    def calibrations(self, prepared):
        return self.made

    def prompt(self, features, prepared):
        levels = torch.stack([prepared[class_id] for class_id in sorted(prepared)])
        return Prompts(tuple(sorted(prepared)), levels[:, None, None], torch.empty(0))

    def decode(self, features, prompts):
        if self.gate is not None and not self.gate.acquire(timeout=60):
            raise TimeoutError("the test let no frame through")
        return 100 * (0.1 - (features.embedding[0] - prompts.sparse).abs())


class GatedStack:
    """Stack that waits for its gate before it returns a frame."""

    def __init__(self, stack, gate):
        self._stack, self._gate = stack, gate
        self.shape, self.dtype = stack.shape, stack.dtype

    def __getitem__(self, selection):
        if not self._gate.acquire(timeout=60):
            raise TimeoutError("the test let no frame through")
        return self._stack[selection]


class GatedEngine:
    """Thread engine with a `BrightnessModel`, whose frames wait for `let_through`."""

    def __init__(self):
        self.gate = threading.Semaphore(0)
        self.jobs: list[SegmentationJob] = []
        self.runs: list[Run] = []
        self.calibrations = {}

    def submit(self, job):
        if isinstance(job, ObjectsPreviewJob):  # does not wait
            return ThreadEngine().submit(job)
        self.jobs.append(job)
        if isinstance(job, ObjectsJob):
            gated = replace(job, data=GatedStack(job.data, self.gate))
            self.runs.append(ThreadEngine().submit(gated))
            return self.runs[-1]
        model = BrightnessModel(self.gate, self.calibrations).eval()  # not copied
        # Frames wait one by one, so no other one may be needed for them.
        job = replace(job, model=model, neighbours=False)
        self.runs.append(ThreadEngine().submit(job))
        return self.runs[-1]

    def let_through(self, frames=1000):
        self.gate.release(frames)


@dataclass(frozen=True, eq=False)
class ScriptedJob:
    """Fine-tuning job that only emits events: six steps, each of which waits for the gate."""

    data: object
    job: FineTuneJob
    gate: threading.Semaphore
    gain: float
    error: Exception | None
    axes: str | None = None
    channels: tuple[int, ...] | None = None

    def events(self, control, memory):
        save_job(self.job, {"image": list(self.data.shape), "channels": None, "parts": "decoder"})
        yield Progress(0, 1, "Loading the model")
        shape = self.data.shape[-2:]
        before = np.zeros(shape, np.uint8)
        for step in range(1, 7):
            while not self.gate.acquire(timeout=0.01):
                control.check()
            control.check()
            yield TrainingStep(step, 6, 1 / step, 10.0 * (6 - step), 10.0 * step, 60.0)
            if self.error is not None:
                raise self.error
            if step % 2 == 0:
                if step == 2:  # measured as late as that
                    yield Progress(0, 1, "Measuring the base model on held-out annotation")
                    yield Validation(0, 0.5, 0.5)
                iou = 0.5 + self.gain * step / 6
                yield Validation(step, iou, max(iou, 0.5))
                after = np.full(shape, step, np.uint8)
                yield Comparison(self.job.preview_frame or 0, before, after)
        path = self.job.output if self.gain > 0 else None
        if path is not None:
            packaged = resources.files("napari_vrp_sam") / "models/weights/lite.safetensors"
            with resources.as_file(packaged) as source:
                store.add(source, path.stem)
        shutil.rmtree(self.job.folder)
        yield FineTuningResult(path, 0.5, 0.5 + max(self.gain, 0), 600, "time")


class ScriptedEngine:
    """Thread engine that runs a `ScriptedJob` instead of each job."""

    def __init__(self):
        self.gate = threading.Semaphore(0)
        self.jobs: list[FineTuneJob] = []
        self.runs: list[Run] = []
        self.gain = 0.2
        self.error: Exception | None = None

    def submit(self, job):
        self.jobs.append(job)
        lesson = ScriptedJob(job.data, job, self.gate, self.gain, self.error)
        self.runs.append(ThreadEngine().submit(lesson))
        return self.runs[-1]

    def let_through(self, steps=6):
        self.gate.release(steps)


@pytest.fixture(autouse=True)
def preferences(monkeypatch, tmp_path):
    """Return the plugin's preferences: defaults, saved for this test only."""
    from napari import settings

    settings._PLUGIN_SETTINGS.clear()
    monkeypatch.setattr(settings, "_CFG_PATH", str(tmp_path / "settings.yaml"))
    yield lambda: settings.get_plugin_settings("napari-vrp-sam").segmentation
    settings._PLUGIN_SETTINGS.clear()


@pytest.fixture
def engine():
    engine = GatedEngine()
    yield engine
    for run in engine.runs:
        run.cancel()
    engine.let_through()
    for run in engine.runs:  # the threads of runs must end with the test
        list(run.events())


@pytest.fixture
def lessons():
    engine = ScriptedEngine()
    yield engine
    for run in engine.runs:
        run.cancel()
        list(run.events())


@pytest.fixture
def tuner(viewer, lessons):
    """Dock widget 'Fine-tune' with the engine of `lessons`."""
    from napari_vrp_sam.plugin.fine_tune.widget import FineTuneWidget

    widget = FineTuneWidget(viewer, lessons)
    viewer.window.add_dock_widget(widget, name="Fine-tune")
    return widget


@pytest.fixture
def stack():
    """Stack of 7 frames with moving squares of two brightnesses, and its ground truth."""
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
def cold_worker(monkeypatch):
    """Start worker processes with the first run only: each loads PyTorch for five seconds."""
    from napari_vrp_sam.plugin.segment.warm_up import WarmUp

    monkeypatch.setattr(WarmUp, "request", lambda _: None)


@pytest.fixture
def dock(viewer, engine):
    """Dock widget 'Segment stack' with a gated engine and without previews."""
    from napari_vrp_sam.plugin.segment.widget import SegmentStackWidget

    widget = SegmentStackWidget(viewer, engine)
    widget.preview_box.setChecked(False)  # they would pass the gate
    viewer.window.add_dock_widget(widget, name="Segment stack")
    return widget


@pytest.fixture
def annotated(viewer, dock, stack):
    """Image and annotation layer: the stack with both classes drawn on frame 3."""
    return open_annotated(viewer, stack)


@pytest.fixture
def opened(viewer, tuner, stack):
    """Image and annotation layer for the dock 'Fine-tune'."""
    return open_annotated(viewer, stack)


def open_annotated(viewer, stack):
    data, truth = stack
    image = viewer.add_image(data, name="stack", scale=(2, 0.5, 0.5), units=("um",) * 3)
    drawn = np.zeros_like(truth)
    drawn[3] = truth[3]
    labels = viewer.add_labels(drawn, name="drawn", scale=(2, 0.5, 0.5), units=("um",) * 3)
    return image, labels


@pytest.fixture
def canvas(dock):
    """Canvas widget of napari, which receives the keys."""
    (canvas,) = [
        child
        for child in dock.window().findChildren(QWidget)
        if type(child).__name__.startswith("CanvasBackend")
    ]
    return canvas
