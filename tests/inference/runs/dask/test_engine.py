"""Two workers, one of them killed midway: the same labels as in one process."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace

import dask
import dask.array as da
import numpy as np
import psutil
import pytest
import tifffile
import zarr
from distributed import LocalCluster
from tests.inference.runs.dask.wandering import results, wandering_square
from typer.testing import CliRunner

from napari_vrp_sam.annotations.labels import labels_checksum
from napari_vrp_sam.cli import app
from napari_vrp_sam.errors import InputError
from napari_vrp_sam.inference.runs.dask.cluster import local_cluster
from napari_vrp_sam.inference.runs.dask.engine import DaskEngine
from napari_vrp_sam.inference.runs.dask.paused_workers import PausedWorkerWatch
from napari_vrp_sam.inference.runs.dask.stacks import sendable_stack
from napari_vrp_sam.inference.runs.engine import ThreadEngine
from napari_vrp_sam.inference.runs.events import (
    Cancelled,
    Done,
    Failed,
    FrameResult,
    FrameWritten,
    Learned,
)
from napari_vrp_sam.inference.runs.segmentation_job import SegmentationJob
from napari_vrp_sam.io.images.stacks import read_stack
from napari_vrp_sam.io.labels.zarr_writer import ZarrWriter

pytestmark = pytest.mark.slow

LENGTH = 16


@pytest.fixture(scope="module")
def engine():
    with DaskEngine(workers=2) as engine:
        yield engine


@pytest.fixture(scope="module")
def job() -> SegmentationJob:
    return wandering_square(LENGTH, noise=40, contrast=160)


@pytest.fixture(scope="module")
def expected(job):
    return {event.index: event for event in results(ThreadEngine().submit(job).events())}


def test_frames_in_memory_are_sent_one_by_one(engine, job, expected):
    events = list(engine.submit(replace(job, probabilities=True)).events())
    assert events[-1] == Done(LENGTH)
    kinds = [type(event) for event in events]
    assert kinds.index(Learned) < kinds.index(FrameResult)
    found = {event.index: event for event in results(events)}
    assert sorted(found) == list(range(LENGTH))
    for index, event in found.items():
        np.testing.assert_array_equal(event.labels, expected[index].labels)
        assert event.confidence == pytest.approx(expected[index].confidence)
        assert event.probabilities.shape == (1, 64, 64)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such signals")
def test_frames_of_a_lost_worker_are_repeated(engine, job, expected, tmp_path):
    """The workers read a file, and write one image together."""
    tifffile.imwrite(tmp_path / "stack.tif", job.data, imagej=True, metadata={"axes": "ZYX"})
    data, axes = read_stack(tmp_path / "stack.tif")
    writer = ZarrWriter(tmp_path / "labels.zarr", job.data.shape, np.dtype(np.uint8), "ZYX")
    client = engine._client
    before = set(client.run(os.getpid).values())
    running = DaskEngine.submit(_with_writer(engine, writer), replace(job, data=data, axes=axes))
    written = {}
    for event in running.events():
        if isinstance(event, FrameWritten):
            written[event.index] = event
            if len(written) == 3:
                os.kill(min(before), signal.SIGKILL)
    assert event == Done(LENGTH)
    client.wait_for_workers(2, timeout=60)
    assert min(before) not in client.run(os.getpid).values()
    labels, _ = read_stack(tmp_path / "labels.zarr")
    for index in range(LENGTH):
        np.testing.assert_array_equal(labels[index], expected[index].labels)
        assert written[index].checksum == labels_checksum(expected[index].labels)
        assert written[index].confidence == pytest.approx(expected[index].confidence)


@pytest.mark.timeout(60)
def test_workers_read_a_lazy_array_by_themselves(engine, job, expected, tmp_path):
    """A task that lets go of its turn while it reads waits for the next one, and that for it."""
    zarr.create_array(str(tmp_path / "stack.zarr"), data=job.data, chunks=(1, 64, 64))
    lazy = da.from_zarr(str(tmp_path / "stack.zarr"))
    assert sendable_stack(lazy) is lazy
    *events, end = engine.submit(replace(job, data=lazy)).events()
    assert end == Done(LENGTH)
    for event in results(events):
        np.testing.assert_array_equal(event.labels, expected[event.index].labels)


def _with_writer(engine, writer):
    """The same workers, who write."""
    other = object.__new__(DaskEngine)
    other.__dict__.update(engine.__dict__, _writer=writer)
    return other


def test_the_command_line_takes_a_scheduler(engine, job, expected, tmp_path):
    tifffile.imwrite(tmp_path / "stack.tif", job.data, imagej=True, metadata={"axes": "ZYX"})
    drawn = (job.references[0].mask * 3).astype(np.uint8)
    tifffile.imwrite(tmp_path / "drawn.tif", drawn)
    given = [
        "segment",
        "stack.tif",
        "--reference",
        "drawn.tif",
        "--reference-frame",
        "2",
        "--device",
        "cpu",
    ]
    given[1], given[3] = (str(tmp_path / name) for name in (given[1], given[3]))
    address = engine._client.scheduler.address
    for output in ("labels.zarr", "labels.tif"):
        to = ["--output", str(tmp_path / output), "--scheduler", address]
        result = CliRunner().invoke(app, [*given, *to])
        assert result.exit_code == 0, result.stderr
        assert f"{LENGTH} of {LENGTH} frames are in" in result.stderr
        labels = np.asarray(read_stack(tmp_path / output)[0])
        for index in range(LENGTH):
            np.testing.assert_array_equal(labels[index], expected[index].labels)
    again = CliRunner().invoke(app, [*given, *to[:1], str(tmp_path / "labels.zarr"), "--resume"])
    assert "frames are in" in again.stderr
    wrong = CliRunner().invoke(app, [*given, *to, "--overwrite", "--workers", "2"])
    assert wrong.exit_code == 2
    assert "either a number of workers" in wrong.stderr


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such signals")
@pytest.mark.timeout(180)
def test_ctrl_c_ends_the_run_without_a_word_of_the_workers(job, tmp_path):
    """A terminal sends it to all processes, one of which has followed a lost one here."""
    stack = np.tile(job.data, (400, 1, 1))
    tifffile.imwrite(tmp_path / "stack.tif", stack, imagej=True, metadata={"axes": "ZYX"})
    tifffile.imwrite(tmp_path / "drawn.tif", job.references[0].mask.astype(np.uint8))
    journal = tmp_path / "labels.zarr.journal"

    def finished() -> int:
        return journal.read_bytes().count(b"\n") - 1 if journal.exists() else 0

    command = "from napari_vrp_sam.cli import app; app()"
    more = "segment stack.tif --reference drawn.tif --reference-frame 2 --device cpu"
    process = subprocess.Popen(
        [sys.executable, "-c", command, *more.split(), "--output", "labels.zarr", "--workers", "2"],
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )

    def wait_for(frames: int) -> None:
        while finished() < frames and process.poll() is None:
            time.sleep(0.01)

    wait_for(1)
    started = {child.pid: child for child in psutil.Process(process.pid).children()}
    workers = [pid for pid, child in started.items() if "spawn_main" in str(child.cmdline())]
    os.kill(workers[0], signal.SIGKILL)
    while not _new_children(process.pid, started) and process.poll() is None:
        time.sleep(0.01)
    time.sleep(10)  # the new one is at work by then
    known = finished()
    wait_for(known + 1)
    os.killpg(process.pid, signal.SIGINT)
    _, told = process.communicate(timeout=60)
    assert process.returncode == 130, told
    assert b"Traceback" not in told
    assert f"{finished()} of {len(stack)} frames are in".encode() in told
    assert known < finished() < len(stack)


def _new_children(process, known):
    return [child for child in psutil.Process(process).children() if child.pid not in known]


@pytest.mark.parametrize("in_memory", [True, False])
def test_tiles_of_a_large_frame_are_shared(engine, job, tmp_path, in_memory):
    """One annotated small image, a frame of three tiles: the labels of the whole in one process."""
    large = np.tile(job.data[0], (1, 1, 10))[:, :40]
    np.save(tmp_path / "large.npy", large)
    references = [replace(job.references[0], frame=None)]
    data = large if in_memory else np.load(tmp_path / "large.npy", mmap_mode="r")
    large_job = replace(job, data=data, references=references, tile_size=256)
    (expected,) = results(ThreadEngine().submit(large_job).events())
    (found,) = results(engine.submit(large_job).events())
    assert found.labels.any()
    np.testing.assert_array_equal(found.labels, expected.labels)
    assert found.confidence == pytest.approx(expected.confidence)


def test_input_errors_arrive_in_one_sentence(engine, job, tmp_path):
    missing = replace(job, model=tmp_path / "missing.safetensors")
    (end,) = [e for e in engine.submit(missing).events() if isinstance(e, Failed)]
    assert "There is no weights file" in end.message
    assert not end.detail
    axes = replace(job, axes="QQ")
    assert list(engine.submit(axes).events()) == [
        Failed(
            f"'QQ' names 2 axes, but the image has the shape ({LENGTH}, 64, 64): give one "
            "letter for each axis."
        )
    ]


def test_a_run_can_be_cancelled(engine, job):
    run = engine.submit(job)
    events = run.events()
    for event in events:
        if isinstance(event, FrameResult):
            run.cancel()
            break
    *_, end = events
    assert isinstance(end, Cancelled)
    assert 1 <= end.frames_written < LENGTH


def test_runs_beside_each_other_do_not_share_a_port(engine):
    """Else dask warns, and warnings are errors here."""
    with local_cluster(1) as second:
        ports = {cluster.scheduler.http_server.port for cluster in (engine._cluster, second)}
        assert len(ports) == 2
        assert 8787 not in ports


@pytest.mark.timeout(120)
@pytest.mark.parametrize("end", ["read", "cancelled"])
def test_results_wait_for_whoever_reads_them(engine, job, monkeypatch, end):
    monkeypatch.setattr("napari_vrp_sam.inference.runs.dask.engine.UNREAD", 3)
    run = engine.submit(job)
    # Three events until a model is there, Learned, and three frames with their Progress.
    while run._queue.qsize() < 3 + 1 + 2 * 3:
        time.sleep(0.1)
    time.sleep(1)
    assert run._queue.qsize() == 3 + 1 + 2 * 3
    (thread,) = (t for t in threading.enumerate() if t.name == "vrp-sam-run")
    if end == "cancelled":
        run.cancel()
    *events, last = run.events()
    if end == "read":
        assert last == Done(LENGTH)
        assert len(results(events)) == LENGTH
    else:
        assert last == Cancelled(4)
        assert len(results(events)) == 4
    thread.join(10)
    assert not thread.is_alive()


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such signals")
def test_workers_near_their_memory_limits_go_on(engine):
    """Those that follow a lost one, too."""

    def actions(dask_worker):
        manager = dask_worker.memory_manager
        return [manager.memory_spill_fraction, manager.memory_pause_fraction]

    client = engine._client
    before = set(client.run(os.getpid).values())
    os.kill(min(before), signal.SIGKILL)
    while len(now := set(client.run(os.getpid, on_error="ignore").values())) < 2 or now == before:
        time.sleep(0.2)
    assert list(client.run(actions).values()) == [[False] * 2] * 2
    (terminate,) = {
        nanny.memory_manager.memory_terminate_fraction for nanny in engine._cluster.workers.values()
    }
    assert 0.9 < terminate < 1


@pytest.mark.timeout(120)
def test_a_cluster_of_paused_workers_is_reported(job, monkeypatch):
    monkeypatch.setattr("napari_vrp_sam.inference.runs.dask.paused_workers.INTERVAL", 0.1)
    monkeypatch.setattr("napari_vrp_sam.inference.runs.dask.paused_workers.TIMEOUT", 1)
    with (
        dask.config.set({"distributed.worker.memory.pause": 1e-3}),
        LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address="127.0.0.1:0") as cluster,
        DaskEngine(scheduler=cluster.scheduler_address) as engine,
    ):
        *_, end = engine.submit(job).events()
        watch = PausedWorkerWatch(engine._client)
        watch.check()
        time.sleep(1.2)
        watch.reset()  # late, of work that was under way
        watch.check()
        time.sleep(1.2)
        with pytest.raises(InputError, match="All workers are paused"):
            watch.check()
    assert isinstance(end, Failed)
    assert end.message.startswith("All workers are paused")
    assert not end.detail
