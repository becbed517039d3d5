"""Workers of dask.distributed on this machine."""

from __future__ import annotations

import contextlib
import logging
import signal
from typing import Any

MEMORY = {f"distributed.worker.memory.{action}": False for action in ("target", "spill", "pause")}
"""A worker near its limit goes on: it holds a model and a frame, nothing that could be put on disk,
and paused it would wait for ever. One that takes more is still ended, and its frame done again."""


def dask_setup(worker: Any) -> None:  # noqa: ARG001
    """Let a worker leave Ctrl+C to whoever started it; dask calls this in each, restarted or not.

    Terminals send it to all processes: the first of them ends the others, without tracebacks.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def local_cluster(workers: int) -> Any:
    """Workers on this machine, each in a process of its own that was started afresh."""
    import dask
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
    # Workers get the configuration of the moment they are planned at, those that follow a lost one
    # too.
    with dask.config.set(MEMORY):
        with contextlib.suppress(ImportError):
            from dask_cuda import LocalCUDACluster
            from torch import cuda

            if cuda.device_count() > 1:
                return LocalCUDACluster(**options)
        return LocalCluster(**options)
