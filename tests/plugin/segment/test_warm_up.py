"""The worker prepares for the first job while the user draws."""

import dask.array as da
import numpy as np
import pytest

from napari_vrp_sam.inference.runs.prepare_job import PrepareJob
from napari_vrp_sam.inference.runs.process.engine import ProcessEngine
from napari_vrp_sam.plugin.segment.widget import SegmentStackWidget


class RecordingEngine(ProcessEngine):
    """Process engine that records its jobs and starts none of them."""

    def __init__(self):
        super().__init__()
        self.jobs = []

    def submit(self, job):
        self.jobs.append(job)


@pytest.fixture
def viewer(make_napari_viewer):
    return make_napari_viewer(show=True)


@pytest.fixture
def opened(qtbot, viewer):
    engine = RecordingEngine()
    assert engine.state == "stopped"

    def open_dock():
        dock = SegmentStackWidget(viewer, engine)
        viewer.window.add_dock_widget(dock, name="Segment stack")
        qtbot.waitUntil(lambda: bool(engine.jobs), timeout=30_000)
        return dock, engine

    yield open_dock
    engine.close()


def test_the_worker_starts_and_loads_the_model_when_the_panel_opens(viewer, opened):
    _dock, engine = opened()
    assert engine.state in ("starting", "ready")
    (job,) = engine.jobs
    assert isinstance(job, PrepareJob)
    assert job.model == "lite"
    assert job.first_frame is None  # there is no image
    assert len(job.view()) == 1  # else the worker process would refuse the job

    image = viewer.add_image(np.zeros((5, 32, 32), np.uint8))
    viewer.dims.set_current_step(0, 3)
    assert engine.jobs[-1].data is image.data
    count = len(engine.jobs)
    viewer.add_labels(np.zeros((5, 32, 32), np.uint8))
    viewer.dims.set_current_step(0, 4)
    assert len(engine.jobs) == count  # once for each image


def test_another_model_is_loaded_unless_it_needs_a_download(viewer, opened):
    viewer.add_image(np.zeros((5, 32, 32), np.uint8))
    dock, engine = opened()
    (job,) = engine.jobs
    assert job.first_frame is not None
    dock.form.model_box.setCurrentText("vit_b")
    assert len(engine.jobs) == 1


def test_nothing_of_a_lazy_image_is_read_in_advance(viewer, opened):
    viewer.add_image(da.zeros((5, 32, 32), chunks=(1, 32, 32), dtype=np.uint8))
    _dock, engine = opened()
    (job,) = engine.jobs
    assert job.first_frame is None
    assert isinstance(job.data, np.ndarray)


def test_a_worker_that_ended_is_prepared_again(viewer, opened):
    viewer.add_image(np.zeros((5, 32, 32), np.uint8))
    _dock, engine = opened()
    engine.close()
    viewer.add_labels(np.zeros((5, 32, 32), np.uint8))  # the user goes on
    assert len(engine.jobs) == 2
    assert engine.state != "stopped"
