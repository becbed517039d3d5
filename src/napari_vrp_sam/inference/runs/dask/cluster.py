"""Workers of dask.distributed on this machine."""

from __future__ import annotations

import contextlib
import logging
import signal
from typing import Any


def dask_setup(worker: Any) -> None:
    """Prepare a worker; dask calls this in each, and in those that follow a lost one.

    Ctrl+C is left to whoever started it: terminals send it to all processes, and the first of them
    ends the others, without tracebacks. A worker near its memory limit goes on: it holds a model
    and a frame, nothing that could be put on disk, and paused it would wait for ever. One that
    takes more is still ended, and its frame done again.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # By the configuration, only the first workers would know: dask shares it, and takes it back.
    worker.memory_manager.memory_pause_fraction = False
    worker.memory_manager.memory_spill_fraction = False


def local_cluster(workers: int) -> Any:
    """Workers on this machine, each in a process of its own that was started afresh."""
    from dask.system import CPU_COUNT
    from distributed import LocalCluster

    options = {
        "n_workers": workers,
        "threads_per_worker": 1,
        # No dashboard; the scheduler's few pages are for this machine, on whichever port is free.
        "dashboard_address": "127.0.0.1:0",
        "scheduler_kwargs": {"dashboard": False},
        "silence_logs": logging.CRITICAL,
        "preload": __name__,
        # Processors are shared out; threads that wait must not keep those of the others busy.
        "env": {
            "OMP_NUM_THREADS": str(max(1, CPU_COUNT // workers)),
            "OMP_WAIT_POLICY": "PASSIVE",
        },
    }
    with contextlib.suppress(ImportError):
        from dask_cuda import LocalCUDACluster
        from torch import cuda

        if cuda.device_count() > 1:
            return LocalCUDACluster(**options)
    return LocalCluster(**options)
