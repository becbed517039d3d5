"""Workers that dask has paused, since they are short of memory: nobody is to wait for them."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from napari_vrp_sam.errors import InputError

if TYPE_CHECKING:
    from distributed import Client

LOOK = 10
"""Seconds between two looks at the workers of a scheduler, while no result comes."""

STANDSTILL = 60
"""Seconds that all workers may be paused."""


class PausedWorkerWatch:
    """Looks at the workers of a scheduler while no result comes.

    Parameters
    ----------
    client : distributed.Client
    """

    def __init__(self, client: Client) -> None:
        self._client = client
        self._looked = -math.inf
        self._since = math.inf

    def reset(self) -> None:
        """Somebody works: whatever was seen before counts no more."""
        self._since = math.inf

    def check(self) -> None:
        """Look, unless that was just done.

        Raises
        ------
        InputError
            If all workers are paused, and have been for a while.
        """
        now = time.monotonic()
        if now - self._looked < LOOK:
            return
        self._looked = now
        workers = self._client.scheduler_info()["workers"].values()
        if not workers or not all(map(_stands_still, workers)):
            self._since = math.inf
            return
        self._since = min(self._since, now)
        if now - self._since >= STANDSTILL:
            raise InputError(
                "All workers are paused, since they are near their memory limits: give each more "
                "(`dask worker --memory-limit`), or start fewer on a machine. What is finished is "
                "kept."
            )


def _stands_still(worker: Mapping[str, Any]) -> bool:
    """Whether a worker, as its scheduler knows it, is paused and has ended what it had begun."""
    executing = worker["metrics"].get("task_counts", {}).get("executing", 0)
    return worker["status"] == "paused" and not executing
