"""An engine on the workers of dask.distributed."""

from __future__ import annotations

from types import TracebackType

from napari_vrp_sam.errors import InputError
from napari_vrp_sam.inference.job import Job
from napari_vrp_sam.inference.runs.dask.backend import DaskBackend
from napari_vrp_sam.inference.runs.dask.cluster import local_cluster
from napari_vrp_sam.inference.runs.dask.content import FrameWriter
from napari_vrp_sam.inference.runs.engine import Run

UNREAD = 8
"""Largest number of unread results, because workers may be faster than a disk."""

PATIENCE = 10
"""Seconds to wait for an answer of the scheduler."""


class DaskEngine:
    """Run jobs on workers of dask.distributed, each of which holds one model.

    The frames of a lost worker are done by others. Workers must find models and image files under
    the same paths; stacks in memory are sent frame by frame.

    Parameters
    ----------
    workers : int, optional
        Number of workers to start on this machine: one per GPU if there are several and
        dask-cuda is installed, otherwise processes that share the CPU cores.
    scheduler : str, optional
        Address of a scheduler that has workers, tcp://HOST:PORT, instead of `workers`.
    writer : FrameWriter, optional
        Writes labels on the workers; runs then yield `FrameWritten`.

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
            raise InputError(
                "Give either a number of workers to start, or the address of a scheduler."
            )
        if workers is not None and workers < 1:
            raise InputError(f"{workers} workers cannot be started: give 1 or more.")
        try:
            from distributed import Client
        except ImportError as error:
            raise InputError(
                "Workers need dask.distributed, which is not installed: "
                "python -m pip install 'napari-vrp-sam[distributed]'."
            ) from error
        self._writer = writer
        self._cluster = None if workers is None else local_cluster(workers)
        try:
            self._client = Client(self._cluster or scheduler, timeout=PATIENCE)
        except (OSError, ValueError) as error:
            raise InputError(
                f"No dask scheduler answers at {scheduler}: start one with `dask scheduler`, and "
                "workers with `dask worker ADDRESS`."
            ) from error

    def submit(self, job: Job) -> Run:
        """Start a job and return at once; errors in the job arrive as `Failed`.

        The job's model must be a name or a file. Jobs other than segmentation are done here.
        """
        return Run(job, DaskBackend(self._client, self._writer), unread=UNREAD).start()

    def close(self) -> None:
        """Disconnect from the scheduler and end the workers that were started."""
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
