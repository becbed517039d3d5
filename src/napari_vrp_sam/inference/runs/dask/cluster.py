"""A local cluster of dask.distributed."""

from __future__ import annotations

import contextlib
import logging
import multiprocessing
import signal
from typing import Any

from napari_vrp_sam.errors import InputError


def dask_setup(worker: Any) -> None:
    """Prepare a worker; dask calls this in each one, also in replacements of lost ones.

    Ctrl+C is ignored: terminals send it to all processes, and the main process ends the workers
    without tracebacks. A worker near its memory limit is not paused: it holds a model and a frame,
    nothing that could be spilled to disk, and would stay paused for ever. A worker that exceeds
    its limit is still killed, and its frame repeated.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # Set here, because dask passes its configuration to the first workers only.
    worker.memory_manager.memory_pause_fraction = False
    worker.memory_manager.memory_spill_fraction = False


def local_cluster(workers: int) -> Any:
    """Start workers on this machine, each in its own process (spawned, never forked).

    Raises
    ------
    InputError
        If they do not start, as in a script that starts them on import.
    """
    if getattr(multiprocessing.current_process(), "_inheriting", False):
        # A new process imports the script that it was started from, here for a worker. This message
        # would appear beside that of the script itself.
        raise SystemExit(1)
    from dask.system import CPU_COUNT
    from distributed import LocalCluster

    options = {
        "n_workers": workers,
        "threads_per_worker": 1,
        # No dashboard; the scheduler's own pages are served to this machine only, on a free port.
        "dashboard_address": "127.0.0.1:0",
        "scheduler_kwargs": {"dashboard": False},
        "silence_logs": logging.CRITICAL,
        "preload": __name__,
        # Workers share the CPU cores, so waiting threads must not spin.
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
    try:
        return LocalCluster(**options)
    except RuntimeError as error:
        raise InputError(
            "The worker processes did not start: in a script, put the code that starts them under "
            '`if __name__ == "__main__":`, because each of them imports the script.'
        ) from error
