"""Tasks of dask workers that are threads of this process: the same results as without dask."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tifffile
from tests.inference.runs.dask.wandering import results, wandering_square

from napari_vrp_sam.annotations.labels import labels_checksum
from napari_vrp_sam.errors import InputError
from napari_vrp_sam.inference.frames import Frames
from napari_vrp_sam.inference.references.gather import gather_references
from napari_vrp_sam.inference.runs.dask.engine import DaskEngine
from napari_vrp_sam.inference.runs.engine import ThreadEngine
from napari_vrp_sam.inference.runs.events import (
    Cancelled,
    Done,
    Failed,
    FrameResult,
    FrameWritten,
    Learned,
    Progress,
)
from napari_vrp_sam.inference.runs.files.dispatch import job_events
from napari_vrp_sam.inference.runs.segmentation_job import SegmentationJob
from napari_vrp_sam.io.images.stacks import read_stack
from napari_vrp_sam.io.labels.zarr_writer import ZarrWriter
from napari_vrp_sam.testing import PixelModel

LENGTH = 12


@pytest.fixture(scope="module")
def scheduler() -> Iterator[str]:
    from distributed import LocalCluster

    with LocalCluster(2, processes=False, threads_per_worker=1, dashboard_address=None) as cluster:
        yield cluster.scheduler_address


@pytest.fixture(scope="module")
def engine(scheduler: str) -> Iterator[DaskEngine]:
    with DaskEngine(scheduler=scheduler) as engine:
        yield engine


@pytest.fixture(scope="module")
def job() -> SegmentationJob:
    """A square that changes little, so that frames are averaged with their neighbours."""
    return wandering_square(LENGTH, noise=90, contrast=80, model=PixelModel())


@pytest.fixture(scope="module")
def large_job(job: SegmentationJob) -> SegmentationJob:
    """Three frames of several tiles each, and a small annotated image."""
    assert isinstance(job.data, np.ndarray)
    stack = np.tile(job.data[:3], (1, 1, 10))[:, :40]
    references = [replace(job.references[0], frame=None)]
    return replace(job, data=stack, references=references, tile_size=256)


def assert_same_results(job: SegmentationJob, found: list[FrameResult]) -> None:
    expected = {event.index: event for event in results(ThreadEngine().submit(job).events())}
    assert sorted(event.index for event in found) == sorted(expected)
    for event in found:
        assert event.labels.any()
        np.testing.assert_array_equal(event.labels, expected[event.index].labels)
        assert event.confidence == pytest.approx(expected[event.index].confidence)


@pytest.mark.parametrize("neighbours", [True, False])
def test_frames_in_memory(engine: DaskEngine, job: SegmentationJob, neighbours: bool) -> None:
    job = replace(job, neighbours=neighbours, probabilities=True)
    events = list(engine.submit(job).events())
    assert events[-1] == Done(LENGTH)
    kinds = [type(event) for event in events]
    assert kinds.index(Learned) < kinds.index(FrameResult)
    assert_same_results(job, results(events))
    assert {event.probabilities.shape for event in results(events)} == {(1, 64, 64)}


def test_workers_read_a_file_and_write_the_labels(
    scheduler: str, job: SegmentationJob, tmp_path: Path
) -> None:
    tifffile.imwrite(tmp_path / "stack.tif", job.data, imagej=True, metadata={"axes": "ZYX"})
    data, axes = read_stack(tmp_path / "stack.tif")
    writer = ZarrWriter(tmp_path / "labels.zarr", job.data.shape, np.dtype(np.uint8), "ZYX")
    with DaskEngine(scheduler=scheduler, writer=writer) as engine:
        *events, end = engine.submit(replace(job, data=data, axes=axes)).events()
    assert end == Done(LENGTH)
    labels, _ = read_stack(tmp_path / "labels.zarr")
    written = [event for event in events if isinstance(event, FrameWritten)]
    assert len(written) == LENGTH
    for event in results(ThreadEngine().submit(job).events()):
        np.testing.assert_array_equal(labels[event.index], event.labels)
    assert all(e.checksum == labels_checksum(np.asarray(labels[e.index])) for e in written)


@pytest.mark.parametrize("in_memory", [True, False])
def test_tiles_of_large_frames(
    engine: DaskEngine, large_job: SegmentationJob, tmp_path: Path, in_memory: bool
) -> None:
    np.save(tmp_path / "large.npy", large_job.data)
    data = large_job.data if in_memory else np.load(tmp_path / "large.npy", mmap_mode="r")
    events = list(engine.submit(replace(large_job, data=data)).events())
    assert_same_results(large_job, results(events))
    tiles = [event.tiles for event in events if isinstance(event, Progress) and event.tiles]
    assert min(tiles) >= 3


def test_tiles_of_large_frames_that_are_averaged(
    engine: DaskEngine, large_job: SegmentationJob
) -> None:
    drawn = np.zeros(large_job.data.shape[1:], np.uint8)
    drawn[6:26, 12:40] = 3
    references = gather_references(Frames(large_job.data), drawn, reference_frame=1)
    job = replace(large_job, references=references)
    assert_same_results(job, results(engine.submit(job).events()))


def test_a_cancelled_run_keeps_the_frames_that_were_read(
    engine: DaskEngine, job: SegmentationJob
) -> None:
    run = engine.submit(job)
    events = run.events()
    for event in events:
        if isinstance(event, FrameResult):
            run.cancel()
            break
    *_, end = events
    assert isinstance(end, Cancelled)
    assert 1 <= end.frames_written < LENGTH


def test_errors_of_workers_arrive_in_one_sentence(
    engine: DaskEngine, job: SegmentationJob, tmp_path: Path
) -> None:
    missing = replace(job, model=tmp_path / "missing.safetensors")
    *_, end = engine.submit(missing).events()
    assert isinstance(end, Failed)
    assert "There is no weights file" in end.message
    assert not end.detail


def test_a_scheduler_is_an_option_of_every_run(
    scheduler: str, job: SegmentationJob, tmp_path: Path
) -> None:
    assert_same_results(job, results(job_events(job, scheduler=scheduler)))
    missing = replace(job, model=tmp_path / "missing.safetensors")
    with pytest.raises(InputError, match="There is no weights file"):
        list(job_events(missing, scheduler=scheduler))


def test_errors_at_the_start_are_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match="either a number of workers"):
        DaskEngine()
    with pytest.raises(InputError, match="0 workers cannot be started"):
        DaskEngine(workers=0)
    monkeypatch.setattr("napari_vrp_sam.inference.runs.dask.engine.PATIENCE", 1)
    with pytest.raises(InputError, match=r"No dask scheduler answers at tcp://127\.0\.0\.1:9"):
        DaskEngine(scheduler="tcp://127.0.0.1:9")
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(InputError, match=r"need dask\.distributed, which is not installed"):
        DaskEngine(workers=2)
