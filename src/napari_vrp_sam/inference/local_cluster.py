"""Workers of dask.distributed on this machine."""

from __future__ import annotations

import contextlib
import logging
from typing import Any


def local_cluster(workers: int) -> Any:
    """Workers on this machine, each in a process of its own that was started afresh."""
    from dask.system import CPU_COUNT
    from distributed import LocalCluster

    options = {
        "n_workers": workers,
        "threads_per_worker": 1,
        "dashboard_address": None,
        "silence_logs": logging.CRITICAL,
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
