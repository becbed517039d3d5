"""What a terminal shows of a download, and the option that forbids it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer

from napari_vrp_sam.cli.app import stderr_console

if TYPE_CHECKING:
    from napari_vrp_sam.models.weights.downloads import DownloadProgress


OfflineOption = Annotated[
    bool, typer.Option("--offline", help="Download nothing; the same as VRP_SAM_OFFLINE=1.")
]


def forbid_downloads(offline: bool) -> None:
    """Do as `--offline` says, here and in the processes that do the work."""
    if offline:
        from napari_vrp_sam.models.weights.downloads import OFFLINE_VARIABLE

        os.environ[OFFLINE_VARIABLE] = "1"


@contextmanager
def download_bar() -> Iterator[DownloadProgress]:
    """A bar for each file, with size, speed and the time left."""
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn
    from rich.progress import TimeRemainingColumn as Left
    from rich.progress import TransferSpeedColumn as Speed

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        DownloadColumn(),
        Speed(),
        Left(),
    )
    with Progress(*columns, console=stderr_console, transient=True) as bar:
        tasks: dict[str, Any] = {}

        def tell(name: str, done: int, total: int | None) -> None:
            if name not in tasks:
                tasks[name] = bar.add_task(name, total=total, completed=done)
            bar.update(tasks[name], completed=done, total=total)

        yield tell
