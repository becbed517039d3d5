"""Work on several processes or machines: dask.distributed, a frame a task."""

from __future__ import annotations

import contextlib
import logging
import math
import time
import uuid
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from napari_vrp_sam.errors import InputError
from napari_vrp_sam.inference.engine import AnyJob, Learned, ThreadRun
from napari_vrp_sam.inference.job import Job, normalisation_of, plan
from napari_vrp_sam.inference.remote_stack import described
from napari_vrp_sam.inference.tasks import FrameWriter, Order, keep, learn, segment_frame

if TYPE_CHECKING:
    from distributed import Client, Future

AHEAD = 2
"""Frames a worker that are handed out before they are asked for: so many results, and where pixels
have to be sent so many frames, are in memory at a time."""

PATIENCE = 10
"""Seconds that a scheduler may take to answer."""


class DaskEngine:
    """Does jobs on workers of dask.distributed, each of which keeps one model.

    A worker that is lost is no loss: its frames are done by others. Models and image files have
    to be where the workers find them under the same paths; stacks that lie in no file are sent
    frame by frame.

    Parameters
    ----------
    workers : int, optional
        Start so many on this machine: one a GPU where there are several and dask-cuda is
        installed, else processes that share the processors.
    scheduler : str, optional
        Or the address of a scheduler that has workers, tcp://HOST:PORT.
    writer : FrameWriter, optional
        Lets the workers write labels themselves; runs then tell of `FrameWritten`.

    Raises
    ------
    InputError
        If dask.distributed is not installed, or no scheduler answers.
    """

    def __init__(
        self,
        *,
        workers: int | None = None,
        scheduler: str | None = None,
        writer: FrameWriter | None = None,
    ) -> None:
        if (workers is None) == (scheduler is None):
            raise InputError("Say either how many workers to start, or where a scheduler is.")
        if workers is not None and workers < 1:
            raise InputError(f"There cannot be {workers} workers: start 1 or more.")
        try:
            from distributed import Client
        except ImportError as error:
            raise InputError(
                "To work on several processes or machines, dask.distributed is missing: "
                "python -m pip install 'napari-vrp-sam[distributed]'."
            ) from error
        self._writer = writer
        self._cluster = None if workers is None else _local_cluster(workers)
        try:
            self._client = Client(self._cluster or scheduler, timeout=PATIENCE)
        except (OSError, ValueError) as error:
            raise InputError(
                f"No scheduler of dask answers at {scheduler}: start one with `dask scheduler`, "
                "and workers with `dask worker ADDRESS`."
            ) from error

    def submit(self, job: AnyJob) -> DaskRun:
        """Start a job and return at once; mistakes in the job arrive as `Failed`.

        The job's model has to be a name or a file. Jobs other than segmentation are done here.
        """
        return DaskRun(job, self._client, self._writer)

    def close(self) -> None:
        """Leave the scheduler; end the workers that were started."""
        self._client.close()
        if self._cluster is not None:
            self._cluster.close()

    def __enter__(self) -> DaskEngine:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


class DaskRun(ThreadRun):
    """A `Run` whose frames are segmented elsewhere; a thread here hands them out."""

    def __init__(self, job: AnyJob, client: Client, writer: FrameWriter | None) -> None:
        self._client = client
        self._writer = writer
        self._workers, self._asked = 0, -math.inf
        super().__init__(job)

    def _segment(self, job: Job) -> None:
        frames, indices = plan(job)
        self._total = len(indices)
        self._report("Sampling intensities")
        normalisation = normalisation_of(job, frames)
        stack = described(job.data)
        sent = replace(
            job,
            data=stack,
            axes=frames.axes,
            model=_absolute(job.model),
            normalisation=normalisation,
        )
        self._report("Waiting for a worker")
        # Not scattered: a task is done again when all workers that had its result are lost.
        order = self._submit(keep, Order.of(uuid.uuid4().hex, sent, self._writer))
        pending = [self._submit(learn, order)]
        try:
            self._queue.put(Learned(self._next(pending)))
            if self._writer is not None:
                self._writer.open()
            self._report("Segmenting")
            for index in indices:
                while len(pending) >= self._room():
                    self._tell_frame(self._next(pending))
                pixels = frames[index] if stack is None else None
                pending.append(self._submit(segment_frame, order, index, pixels))
            while pending:
                self._tell_frame(self._next(pending))
        finally:
            self._client.cancel(pending)

    def _submit(self, task: Callable[..., Any], *arguments: Any) -> Future[Any]:
        import dask

        with dask.config.set({"distributed.admin.large-graph-warning-threshold": "1TB"}):
            return self._client.submit(task, *arguments, pure=False)

    def _next(self, pending: list[Future[Any]]) -> Any:
        """Wait for any of the tasks, take it off the list, and give its result."""
        from distributed import CancelledError, KilledWorker, wait

        while True:
            self._control.check()
            try:
                done = wait(pending, timeout=0.2, return_when="FIRST_COMPLETED").done
            except TimeoutError:
                continue
            future = done.pop()
            pending.remove(future)
            try:
                return future.result()
            except KilledWorker as error:
                raise InputError(
                    "One frame has ended several workers, perhaps because their memory ran out: "
                    "give each more, start fewer on a machine, or use smaller tiles."
                ) from error
            except CancelledError as error:
                raise InputError(
                    "The scheduler has gone away, or has forgotten this run: what is finished is "
                    "kept; start it again."
                ) from error

    def _room(self) -> int:
        """How many frames may be under way; workers come and go."""
        if time.monotonic() > self._asked + 5:
            self._asked = time.monotonic()
            self._workers = len(self._client.nthreads())
        return AHEAD * max(self._workers, 1)


def _absolute(model: Any) -> Any:
    """A model's file as workers in other folders find it; names stay as they are."""
    is_file = isinstance(model, str | Path) and Path(model).is_file()
    return Path(model).absolute() if is_file else model


def _local_cluster(workers: int) -> Any:
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

        gpus = cuda.device_count()
        if gpus > 1:
            devices = [number % gpus for number in range(workers)]
            return LocalCUDACluster(CUDA_VISIBLE_DEVICES=devices[:gpus], **options)
    return LocalCluster(**options)
