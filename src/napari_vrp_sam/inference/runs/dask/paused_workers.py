"""Detection of workers that dask has paused because they are short of memory."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from napari_vrp_sam.errors import InputError

if TYPE_CHECKING:
    from distributed import Client

INTERVAL = 10
"""Seconds between two checks of the workers while no result comes."""

TIMEOUT = 60
"""Seconds that all workers may be paused."""


class PausedWorkerWatch:
    """Check the workers of a scheduler while no result comes.

    Parameters
    ----------
    client : distributed.Client
    """

    def __init__(self, client: Client) -> None:
        self._client = client
        self._checked = -math.inf
        self._since = math.inf

    def reset(self) -> None:
        """Start again, because a result has come."""
        self._since = math.inf

    def check(self) -> None:
        """Check the workers, unless that was just done.

        Raises
        ------
        InputError
            If all workers have been paused for a while.
        """
        now = time.monotonic()
        if now - self._checked < INTERVAL:
            return
        self._checked = now
        workers = self._client.scheduler_info()["workers"].values()
        if not workers or not all(map(_is_paused, workers)):
            self._since = math.inf
            return
        self._since = min(self._since, now)
        if now - self._since >= TIMEOUT:
            raise InputError(
                "All workers are paused, because they are near their memory limits: give each more "
                "memory (`dask worker --memory-limit`), or start fewer per machine. Finished "
                "frames are kept."
            )


def _is_paused(worker: Mapping[str, Any]) -> bool:
    """Return whether a worker is paused and executes nothing."""
    executing = worker["metrics"].get("task_counts", {}).get("executing", 0)
    return worker["status"] == "paused" and not executing
