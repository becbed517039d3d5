"""The scheduler: reached from this computer only, and lost during a run."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import psutil
import pytest

from napari_vrp_sam.inference.frames import Frames
from napari_vrp_sam.inference.references.gather import gather_references
from napari_vrp_sam.inference.runs.dask.cluster import local_cluster
from napari_vrp_sam.inference.runs.dask.engine import DaskEngine
from napari_vrp_sam.inference.runs.events import Failed, FrameResult
from napari_vrp_sam.inference.runs.segmentation_job import SegmentationJob

pytestmark = pytest.mark.slow

SCHEDULER = """
import sys
from distributed import LocalCluster

if __name__ == "__main__":
    cluster = LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=None)
    print(cluster.scheduler_address, flush=True)
    sys.stdin.read()
"""


def test_nothing_listens_to_other_computers():
    before = {connection.laddr for connection in psutil.net_connections("inet")}
    with local_cluster(1) as cluster:
        assert cluster.scheduler_address.startswith("tcp://127.0.0.1:")
        processes = [psutil.Process(), *psutil.Process().children(recursive=True)]
        listening = [
            connection.laddr
            for process in processes
            for connection in process.net_connections("inet")
            if connection.status == psutil.CONN_LISTEN and connection.laddr not in before
        ]
    assert len(listening) >= 4  # scheduler, its pages, nanny, worker
    assert {address.ip for address in listening} == {"127.0.0.1"}


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such signals")
def test_a_lost_scheduler_ends_the_run(tmp_path):
    (tmp_path / "scheduler.py").write_text(SCHEDULER)
    process = subprocess.Popen(
        [sys.executable, str(tmp_path / "scheduler.py")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    address = process.stdout.readline().strip()
    stack = np.random.default_rng(0).integers(0, 255, (400, 64, 64), dtype=np.uint8)
    drawn = np.zeros((64, 64), np.uint8)
    drawn[9:30, 9:30] = 1
    references = gather_references(Frames(stack), drawn, reference_frame=0)
    job = SegmentationJob(stack, references=references, device="cpu", effort=0.1, neighbours=False)
    with DaskEngine(scheduler=address) as engine:
        done = 0
        for event in engine.submit(job).events():
            done += isinstance(event, FrameResult)
            if done == 1 and process.poll() is None:
                process.kill()
                process.wait()
    process.stdin.close()
    process.stdout.close()
    assert isinstance(event, Failed), event
    assert done < 400
    assert "\n" not in event.message
    assert event.detail == "", event
